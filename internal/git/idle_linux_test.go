package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPipesAreNamed has a pipe in each kind of place where git reads a file.
func TestPipesAreNamed(t *testing.T) {
	old := maxIdle
	maxIdle = time.Second
	t.Cleanup(func() { maxIdle = old })
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(key, value string) func(dir string) {
		return func(dir string) { git(t, dir, "config", key, value) }
	}
	at := func(name string) func(dir string) {
		return func(dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(pipe, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		make func(dir string)
		want string
	}{
		"excludes":      {config("core.excludesFile", pipe), pipe + " as core.excludesfile"},
		"excludes zero": {config("core.excludesFile", "/dev/zero"), "/dev/zero as core.excludesfile"},
		"attributes":    {config("core.attributesFile", pipe), pipe + " as core.attributesfile"},
		"include":       {config("include.path", pipe), "one that its configuration names"},
		"packed refs":   {at(".git/packed-refs"), ".git/packed-refs, which is a pipe"},
		"index":         {at(".git/index"), ".git/index, which is a pipe"},
		"ignored":       {at(".git/info/exclude"), ".git/info/exclude, which is a pipe"},
		"work tree": {func(dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, ".gitattributes"), 0o600); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "README"), "A TREE\n", 0o644)
		}, ".gitattributes, which is a pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := checkout(t)
			test.make(dir)
			if commit, err := Commit(t.Context(), dir, "os"); err == nil ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("commit %q, %v, want %q", commit, err, test.want)
			}
		})
	}
}

// TestCommitTimeNeedsNoNames has pipes where git looks for the names of people.
func TestCommitTimeNeedsNoNames(t *testing.T) {
	dir := checkout(t)
	want := git(t, dir, "log", "-1", "--format=%ct")
	for _, name := range []string{".mailmap", ".git/order"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "config", "mailmap.file", filepath.Join(dir, ".mailmap"))
	git(t, dir, "config", "diff.orderFile", filepath.Join(dir, ".git/order"))
	seconds, err := CommitTime(t.Context(), dir)
	if err != nil || fmt.Sprint(seconds) != want {
		t.Errorf("%d, %v, want %s", seconds, err, want)
	}
}
