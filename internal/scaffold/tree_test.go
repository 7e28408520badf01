// tree_test: new trees are their own, harm nothing, and are what they say.

package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/errkind"
)

func newTree(t *testing.T, dir string, o TreeOptions) string {
	t.Helper()
	tree, err := Tree(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Write(); err != nil {
		t.Fatal(err)
	}
	return tree.Dir
}

// texts returns the files below a directory.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTreeHasItsOwnNames: nothing in a new tree is called after Skiff.
func TestTreeHasItsOwnNames(t *testing.T) {
	for name, text := range texts(t, newTree(t, filepath.Join(t.TempDir(), "my-os"),
		TreeOptions{CI: "github"})) {
		if strings.Contains(strings.ToLower(text), "skiff") {
			t.Errorf("%s names Skiff", name)
		}
		if i := strings.Index(text, "@"); i >= 0 && strings.Contains("NUPV", text[i+1:][:1]) {
			t.Errorf("%s has a word to fill in: %.20q", name, text[i:])
		}
	}
}

// TestSharedTree: with Skiff's prefix the base packages are those of this repository, by bytes and
// by modes, which enter keys, and the tree has no macros of its own.
func TestSharedTree(t *testing.T) {
	dir := newTree(t, filepath.Join(t.TempDir(), "x"), TreeOptions{Prefix: SharedPrefix, CI: "none"})
	all := texts(t, dir)
	for _, pkg := range []string{"busybox", "console", "filesystem", "findutils", "grub", "kernel",
		"linux-headers", "musl", "systemd-stub"} {
		for name, want := range texts(t, filepath.Join("../../packages", pkg)) {
			at := filepath.Join("packages", pkg, name)
			ours, err := os.Stat(filepath.Join("../..", at))
			if err != nil || all[at] != want || ours.Mode()&0o100 != 0 {
				t.Errorf("%s is not as in this repository, or can be run there (%v)", at, err)
			}
		}
	}
	if _, there := all["macros/shared"]; there {
		t.Error("the tree has macros of its own, which change every key")
	}
	if got := all["packages/release/os-release"]; got != "NAME=\"x\"\nID=x\n" {
		t.Errorf("os-release is %q", got)
	}
}

// TestTreeLeavesAlone: what is in the way stops a new tree before its first file, whatever it is.
func TestTreeLeavesAlone(t *testing.T) {
	elsewhere := t.TempDir()
	for name, put := range map[string]func(dir string) error{
		"README.md": func(dir string) error { return os.WriteFile(dir+"/README.md", nil, 0o644) },
		"variants":  func(dir string) error { return os.WriteFile(dir+"/variants", nil, 0o644) },
		"packages":  func(dir string) error { return os.Symlink(elsewhere, dir+"/packages") },
		"packages/os": func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/packages", 0o755), os.Symlink(elsewhere, dir+"/packages/os"))
		},
		"buildspec.yml": func(dir string) error { return os.Symlink("nowhere", dir+"/buildspec.yml") },
	} {
		dir := t.TempDir()
		if err := put(dir); err != nil {
			t.Fatal(err)
		}
		before := entries(t, dir)
		tree, err := Tree(dir, TreeOptions{Name: "os", CI: "codebuild"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tree.Write()
		if err == nil || err.Error() != name+" already exists in "+dir+", and nothing is overwritten" {
			t.Errorf("%s: error %v", name, err)
		}
		if after := entries(t, dir); after != before || entries(t, elsewhere) != "" {
			t.Errorf("%s: %s became %s", name, before, after)
		}
	}
}

func entries(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestTreeRefuses(t *testing.T) {
	root := newTree(t, filepath.Join(t.TempDir(), "first"), TreeOptions{CI: "none"})
	for _, test := range []struct {
		dir  string
		o    TreeOptions
		want string
	}{
		{root, TreeOptions{Name: "second", CI: "none"}, "is in the tree " + root},
		{root + "/packages/os/second", TreeOptions{CI: "none"}, "is in the tree " + root},
		{t.TempDir() + "/My OS", TreeOptions{CI: "none"}, `"My OS" cannot be the name of an OS`},
		{t.TempDir() + "/x", TreeOptions{Name: "a--b", CI: "none"}, "cannot be the name"},
		{t.TempDir() + "/x", TreeOptions{Name: strings.Repeat("a", 26), CI: "none"}, "at most 25"},
		{t.TempDir() + "/x", TreeOptions{Prefix: "x\n%y", CI: "none"}, "cannot be the name"},
		{t.TempDir() + "/x", TreeOptions{CI: "jenkins"}, "use one of codebuild, github, gitlab, none"},
	} {
		_, err := Tree(test.dir, test.o)
		if err == nil || !strings.Contains(err.Error(), test.want) || errkind.Of(err) != errkind.Usage {
			t.Errorf("%s %+v: error %v, want one with %q", test.dir, test.o, err, test.want)
		}
	}
}
