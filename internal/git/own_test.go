package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSeriesOfPeople: what tools of people put into a repository does no harm.
func TestSeriesOfPeople(t *testing.T) {
	_, dir := newTestSeries(t)
	if err := os.MkdirAll(filepath.Join(dir, ".git/hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/elsewhere", filepath.Join(dir, ".git/hooks/pre-commit")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(dir, ".git/monitor.ipc"), unix.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSeries(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := s.Uncommitted(t.Context()); err != nil || rest != "" {
		t.Errorf("%v: %s", err, rest)
	}
}

// A repository in dev is all in its own directory: what would lead git to read or write elsewhere,
// or to wait, is refused before git is asked.
func TestSeriesIsAllInItsDirectory(t *testing.T) {
	user(t)
	private := checkout(t)
	head := git(t, private, "symbolic-ref", "HEAD")
	outside := t.TempDir()
	link := func(to, name string) func(*testing.T, string) {
		return func(t *testing.T, dotgit string) {
			at := filepath.Join(dotgit, name)
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, change := range map[string]func(t *testing.T, dotgit string){
		"info is a link":    link(outside, "info"),
		"objects is a link": link(filepath.Join(private, ".git/objects"), "objects"),
		"a link deep below": link(filepath.Join(private, ".git/refs/heads"), "refs/heads"),
		"alternates": func(t *testing.T, dotgit string) {
			// Shows a file of another repository as a change: its branch is the base.
			write(t, filepath.Join(dotgit, "objects/info/alternates"),
				filepath.Join(private, ".git/objects")+"\n", 0o644)
			id := git(t, private, "rev-parse", "HEAD")
			write(t, filepath.Join(dotgit, "HEAD"), id+"\n", 0o644)
			write(t, filepath.Join(dotgit, "refs/buildsys/base"), id+"\n", 0o644)
		},
		"a common directory": func(t *testing.T, dotgit string) {
			write(t, filepath.Join(dotgit, "commondir"), filepath.Join(private, ".git")+"\n", 0o644)
			write(t, filepath.Join(dotgit, "HEAD"), "ref: "+head+"\n", 0o644)
		},
		"a pipe": func(t *testing.T, dotgit string) {
			if err := os.Remove(filepath.Join(dotgit, "info/attributes")); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(filepath.Join(dotgit, "info/attributes"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := newTestSeries(t)
			change(t, filepath.Join(dir, ".git"))
			s, err := OpenSeries(t.Context(), dir)
			if err == nil {
				rest, err := s.Uncommitted(t.Context())
				t.Errorf("it was opened: %v\n%s", err, rest)
			} else if !strings.Contains(err.Error(), "git") {
				t.Error(err)
			}
			if made, _ := os.ReadDir(outside); len(made) > 0 {
				t.Errorf("%s was made outside", made[0].Name())
			}
		})
	}
}
