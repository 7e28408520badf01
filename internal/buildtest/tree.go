// Directory trees for tests: written from txtar, and read back for comparison.

package buildtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Tree writes the files of a txtar archive into a new temporary directory and returns it.
func Tree(t testing.TB, archive string) string {
	t.Helper()
	dir := t.TempDir()
	Write(t, dir, archive)
	return dir
}

// Write writes the files of a txtar archive into dir. It replaces existing files.
func Write(t testing.TB, dir, archive string) {
	t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if !filepath.IsLocal(f.Name) {
			t.Fatalf("txtar: file name %q leaves the tree", f.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Snapshot returns everything below dir: the contents of files, "-> target" for symbolic links,
// "dir" for directories, by slash path. A dir that does not exist is empty.
func Snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		text, err := describe(path, d)
		got[filepath.ToSlash(rel)] = text
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return got
}

func describe(path string, d fs.DirEntry) (string, error) {
	switch {
	case d.IsDir():
		return "dir", nil
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return "-> " + target, err
	case !d.Type().IsRegular():
		return fmt.Sprint(d.Type()), nil
	}
	data, err := os.ReadFile(path)
	return string(data), err
}
