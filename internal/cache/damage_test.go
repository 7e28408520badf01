// damage_test: whatever happens to the files of a store, it returns what was put in, or nothing.

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/need"
)

// fetch gets and restores an entry and reports whether it was found. It fails the test if the
// result is not what was put.
func fetch(t testing.TB, s *Store, want Entry) bool {
	t.Helper()
	got, ok := s.Get(want.Action)
	if !ok {
		return false
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got the entry %+v, want %+v", got, want)
	}
	dir := t.TempDir()
	log := filepath.Join(t.TempDir(), "log")
	for _, err := range []error{s.Restore(got, dir), restoreLog(s, got, log)} {
		if _, ok := errors.AsType[*DamagedError](err); ok {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if files, _, err := ScanDir(dir); err != nil || !reflect.DeepEqual(files, want.Files) {
		t.Errorf("restored %+v (%v), want %+v", files, err, want.Files)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "log of "+want.Step+"\n" {
		t.Errorf("restored the log %q (%v)", text, err)
	}
	return true
}

// storeFiles returns the files of a store below the given directories, relative to it.
func storeFiles(t testing.TB, s *Store, below ...string) []string {
	t.Helper()
	var names []string
	for _, dir := range below {
		err := filepath.WalkDir(s.path(dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				rel, _ := filepath.Rel(s.Dir, path)
				names = append(names, rel)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// overwrite changes a file in place, as a failing disk does, even if its mode forbids it.
func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// positions returns up to n positions in size bytes, including the first and the last.
func positions(size, n int) []int {
	var at []int
	for i := range min(size, n) {
		at = append(at, i*(size-1)/max(1, min(size, n)-1))
	}
	return at
}

// A single flipped bit anywhere in the store, or a truncated file, is noticed and reported; running
// the step again repairs it.
func TestBitFlips(t *testing.T) {
	s := open(t)
	warnings := 0
	put2 := func() (Entry, Entry) {
		return put(t, s, "package/bash x86_64", bashFiles),
			put(t, s, "package/other x86_64", map[string]string{"other.rpm": "other", "same.rpm": "bash"})
	}
	s.Warn = func(string) { warnings++ }
	a, b := put2()
	damages := map[string]func(data []byte, at int) []byte{
		"flip": func(data []byte, at int) []byte { data[at] ^= 1 << (at % 8); return data },
		"cut":  func(data []byte, at int) []byte { return data[:at] },
		"more": func(data []byte, at int) []byte { return append(data, data[at]) },
	}
	for _, name := range storeFiles(t, s, entriesDir, blobsDir) {
		for kind, damage := range damages {
			data, err := os.ReadFile(s.path(name))
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range positions(len(data), 7) {
				warnings = 0
				overwrite(t, s.path(name), damage(append([]byte(nil), data...), at))
				gotA, gotB := fetch(t, s, a), fetch(t, s, b)
				if gotA && gotB || warnings == 0 {
					t.Fatalf("%s: %s at %d: not noticed (%d warnings)", name, kind, at, warnings)
				}
				if len(storeFiles(t, s, quarantineDir)) == 0 {
					t.Fatalf("%s: %s at %d: nothing in quarantine", name, kind, at)
				}
				a2, b2 := put2()
				a, b = a2, b2
				if !fetch(t, s, a) || !fetch(t, s, b) {
					t.Fatalf("%s: %s at %d: not healed", name, kind, at)
				}
				data, _ = os.ReadFile(s.path(name)) // build times differ
			}
		}
	}
}

// The other files hold hints: damaging them costs no result.
func TestBitFlipsInHints(t *testing.T) {
	s := open(t)
	e := put(t, s, "package/bash x86_64", bashFiles)
	names := append(storeFiles(t, s, lastDir), formatFile, readmeFile)
	for _, name := range names {
		data, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		for at := range data {
			data[at] ^= 1 << (at % 8)
			overwrite(t, s.path(name), data)
			data[at] ^= 1 << (at % 8)
			again, err := Open(s.Dir)
			if err != nil {
				t.Fatalf("%s: flip at %d: %v", name, at, err)
			}
			if _, ok := again.Get(e.Action); !ok {
				t.Fatalf("%s: flip at %d: the entry is gone", name, at)
			}
			if took, ok := again.Took(e.Step); ok && took != e.Took {
				t.Fatalf("%s: flip at %d: took %v", name, at, took)
			}
			overwrite(t, s.path(name), data)
		}
	}
}

// Something other than a file, or the entry of another action, is not an entry.
func TestStrangeFiles(t *testing.T) {
	for name, put := range map[string]func(path, other string) error{
		"directory":   func(path, _ string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
		"pipe":        func(path, _ string) error { return syscall.Mkfifo(path, 0o644) },
		"link":        func(path, _ string) error { return os.Symlink("/dev/zero", path) },
		"other entry": func(path, other string) error { return os.Rename(other, path) },
		"huge": func(path, _ string) error {
			return errors.Join(os.WriteFile(path, nil, 0o644), os.Truncate(path, 1<<40))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			a := put2(t, s, "a")
			b := put2(t, s, "b")
			var said []string
			s.Warn = func(text string) { said = append(said, text) }
			paths := []string{s.entryPath(a.Action)}
			if name != "other entry" {
				paths = append(paths, s.blobPath(a.Files[0].SHA256))
			}
			for _, path := range paths {
				said = nil
				if err := errors.Join(os.Remove(path), put(path, s.entryPath(b.Action))); err != nil {
					t.Fatal(err)
				}
				if fetch(t, s, a) || len(said) == 0 || !strings.Contains(said[0], "quarantine") {
					t.Errorf("%s: fetched, or said only %q", path, said)
				}
				if a = put2(t, s, "a"); !fetch(t, s, a) {
					t.Errorf("%s: not healed", path)
				}
			}
		})
	}
}

func put2(t *testing.T, s *Store, name string) Entry {
	return put(t, s, "package/"+name, map[string]string{name + ".rpm": name})
}

// A missing blob is a miss at once, and other entries are not affected.
func TestMissingBlob(t *testing.T) {
	s := open(t)
	a, b := put2(t, s, "a"), put2(t, s, "b")
	s.Warn = nil
	got, _ := s.Get(a.Action)
	if err := os.Remove(s.blobPath(a.Files[0].SHA256)); err != nil {
		t.Fatal(err)
	}
	err := s.Restore(got, t.TempDir())
	damaged, ok := errors.AsType[*DamagedError](err)
	if !ok || damaged.Name != "a.rpm" || !strings.Contains(err.Error(), "package/a") ||
		!strings.Contains(err.Error(), "missing") {
		t.Errorf("error is %v", err)
	}
	if _, ok := s.Get(a.Action); ok {
		t.Error("the entry is still there")
	}
	if !fetch(t, s, b) {
		t.Error("the other entry is gone")
	}
}

// Editing a restored file does not change the store.
func TestRestoredFilesAreIndependent(t *testing.T) {
	s := open(t)
	e := put(t, s, "package/bash", bashFiles)
	dir := t.TempDir()
	if err := s.Restore(e, dir); err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Files {
		if f.Link == "" {
			overwrite(t, filepath.Join(dir, f.Name), []byte("edited"))
		}
	}
	if !fetch(t, s, e) {
		t.Error("the store was edited")
	}
	if err := s.Restore(e, dir); err == nil {
		t.Error("restored into a directory that is not empty")
	}
	for _, f := range e.Files {
		if text, _ := os.ReadFile(filepath.Join(dir, f.Name)); f.Link == "" && string(text) != "edited" {
			t.Errorf("%s, which was there, was overwritten", f.Name)
		}
	}
}

// Outputs that change while they are being stored are not stored.
func TestOutputsChangeMeanwhile(t *testing.T) {
	s := open(t)
	dir := write(t, map[string]string{"a.rpm": "before"})
	s.stage = func(name string) {
		if name == "scanned" {
			writeFile(t, dir, "a.rpm", "after!")
		}
	}
	_, err := s.Put(entryOf("package/a"), dir, "")
	if changed, ok := errors.AsType[*ChangedError](err); !ok ||
		!strings.HasSuffix(changed.Path, "a.rpm") {
		t.Errorf("error is %v", err)
	}
	if _, ok := s.Get(entryOf("package/a").Action); ok {
		t.Error("they were stored")
	}
	if left := storeFiles(t, s, tmpDir, blobsDir, entriesDir); len(left) > 0 {
		t.Errorf("left in the store: %q", left)
	}
}

func TestWhatCannotBeStored(t *testing.T) {
	s := open(t)
	for name, make := range map[string]func(dir string) error{
		"pipe":     func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "p"), 0o644) },
		"link up":  func(dir string) error { return os.Symlink("../x", filepath.Join(dir, "l")) },
		"link abs": func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "l")) },
		"no dir":   os.Remove,
	} {
		dir := t.TempDir()
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(entryOf(name), dir, ""); err == nil {
			t.Errorf("%s was stored", name)
		}
	}
}

// A full disk is reported as such, leaves no debris, and keeps everything stored before intact.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	need.Mount(t, dir, "-t", "tmpfs", "-o", "size=256k", "none")
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	s.Warn = func(text string) { t.Errorf("warning: %s", text) }
	first := put2(t, s, "first")
	before := storeFiles(t, s, entriesDir, blobsDir)
	_, err = s.Put(entryOf("big"), write(t, map[string]string{"big.rpm": strings.Repeat("x", 1<<20)}),
		"")
	if _, ok := errors.AsType[*StoreError](err); !ok || !errors.Is(err, syscall.ENOSPC) ||
		!strings.Contains(err.Error(), "cache trim") {
		t.Errorf("error is %v", err)
	}
	if after := storeFiles(t, s, entriesDir, blobsDir,
		tmpDir); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("left in the store: %q, before %q", after, before)
	}
	if !fetch(t, s, first) {
		t.Error("the first entry is gone")
	}
	// Restoring to a full disk fails because of this machine, not because of the blob.
	full := filepath.Join(dir, "full")
	large, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := large.Put(entryOf("big"),
		write(t, map[string]string{"big.rpm": strings.Repeat("x", 1<<20)}), "")
	if err = errors.Join(err, os.Mkdir(full, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := large.Restore(e, full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	if _, ok := large.Get(e.Action); !ok {
		t.Error("a full disk elsewhere cost the entry")
	}
}

func TestNewerStore(t *testing.T) {
	s := open(t)
	overwrite(t, s.path(formatFile), []byte(formatText(7)+"more that only it knows\n"))
	_, err := Open(s.Dir)
	if newer, ok := errors.AsType[*FormatError](err); !ok || newer.Found != 7 {
		t.Errorf("error is %v", err)
	}
	for _, damaged := range []string{"buildsys store 7\n", strings.Replace(formatText(1), "1", "3", 1),
		""} {
		overwrite(t, s.path(formatFile), []byte(damaged))
		if _, err := Open(s.Dir); err != nil {
			t.Errorf("the damaged format %q: %v", damaged, err)
		}
		if text, _ := os.ReadFile(s.path(formatFile)); string(text) != formatText(storeFormat) {
			t.Errorf("the damaged format %q was not mended: %q", damaged, text)
		}
	}
}
