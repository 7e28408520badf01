// atomicfile_test: whatever fails, and whenever the process dies, a name has the old content or the
// new.

package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the program that the tests below limit and kill.
func TestMain(m *testing.M) {
	switch name := os.Getenv("ATOMICFILE_WRITE"); os.Getenv("ATOMICFILE_HOW") {
	case "":
		os.Exit(m.Run())
	case "full":
		signal.Ignore(syscall.SIGXFSZ)
		small := syscall.Rlimit{Cur: 4096, Max: 4096}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
			panic(err)
		}
		if err := Replace(name, make([]byte, 8192), 0o644); err != nil {
			_, _ = os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
	case "forever":
		for {
			for _, letter := range []string{"a", "b"} {
				data := bytes.Repeat([]byte(letter), 256<<10)
				err := errors.Join(Replace(name, data, 0o644), ReplaceDurable(name, data, 0o644))
				if err != nil {
					panic(err)
				}
			}
		}
	}
}

func child(name, how string) *exec.Cmd {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "ATOMICFILE_WRITE="+name, "ATOMICFILE_HOW="+how)
	return c
}

// holds checks the content of a file, and that its directory has no other file.
func holds(t *testing.T, name, want string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil || string(data) != want {
		t.Errorf("%s holds %.20q, %v; want %q", name, data, err, want)
	}
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want only the file", entries, err)
	}
}

func old(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "file")
	if err := Replace(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReplaces(t *testing.T) {
	for what, replace := range map[string]func(string, []byte, fs.FileMode) error{
		"Replace": Replace, "ReplaceDurable": ReplaceDurable,
	} {
		name := old(t)
		defer syscall.Umask(syscall.Umask(0o077))
		if err := replace(name, []byte("new"), 0o664); err != nil {
			t.Error(err)
		}
		holds(t, name, "new")
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o664 {
			t.Errorf("%s: mode %v, %v", what, info.Mode(), err)
		}
	}
}

// Content is forced to disk before the name appears, and the name before the call returns.
func TestOrder(t *testing.T) {
	var calls []string
	record(t, &calls, func(string) error { return nil })
	name := old(t)
	if calls = nil; Replace(name, nil, 0o644) != nil || !slices.Equal(calls, []string{"rename"}) {
		t.Errorf("Replace calls %q", calls)
	}
	want := []string{"sync file", "rename", "sync directory"}
	if calls = nil; ReplaceDurable(name, nil, 0o644) != nil || !slices.Equal(calls, want) {
		t.Errorf("ReplaceDurable calls %q, want %q", calls, want)
	}
}

// record records the calls that tests observe, and lets fail decide their results.
func record(t *testing.T, calls *[]string, fail func(call string) error) {
	realSync, realRename := syncFile, rename
	t.Cleanup(func() { syncFile, rename = realSync, realRename })
	syncFile = func(f *os.File) error {
		call := "sync file"
		if info, err := f.Stat(); err == nil && info.IsDir() {
			call = "sync directory"
		}
		*calls = append(*calls, call)
		return fail(call)
	}
	rename = func(from, to string) error {
		*calls = append(*calls, "rename")
		if err := fail("rename"); err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return realRename(from, to)
	}
}

func TestFailures(t *testing.T) {
	for call, want := range map[string]string{
		"sync file": "old", "rename": "old", "sync directory": "new",
	} {
		t.Run(call, func(t *testing.T) {
			name := old(t)
			var calls []string
			record(t, &calls, func(c string) error {
				if c == call {
					return syscall.EIO
				}
				return nil
			})
			err := ReplaceDurable(name, []byte("new"), 0o644)
			if !errors.Is(err, syscall.EIO) || err.Error() != "replace "+name+": input/output error" {
				t.Errorf("error %v", err)
			}
			holds(t, name, want)
		})
	}
}

func TestRenameOntoDirectory(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(name, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	err := Replace(name, nil, 0o644)
	if path, ok := errors.AsType[*fs.PathError](err); !ok || path.Path != name {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

func TestMissingDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none", "file")
	err := Replace(name, nil, 0o644)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
}

// A limit on the size of files makes a write fail in the middle, as a full disk does.
func TestFullDisk(t *testing.T) {
	name := old(t)
	out, err := child(name, "full").Output()
	if err == nil || string(out) != "replace "+name+": file too large" {
		t.Errorf("error %v: %s", err, out)
	}
	holds(t, name, "old")
}

// A writer killed at any moment leaves a whole file, and its temporary file is recognised and
// removed.
func TestKill(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for kills := range 40 {
		c := child(name, "forever")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for first := time.Now(); kills == 0; { // the file exists from the first round on
			if _, err := os.Stat(name); err == nil {
				break
			}
			if time.Since(first) > time.Minute {
				t.Fatal("nothing is written")
			}
		}
		moment := time.Duration(5000+237*kills) * time.Microsecond
		time.AfterFunc(moment, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		data, err := os.ReadFile(name)
		if err != nil || len(data) != 256<<10 || len(bytes.Trim(data, string(data[:1]))) != 0 {
			t.Fatalf("kill %d left %d bytes, %v", kills, len(data), err)
		}
	}
	dir := filepath.Dir(name)
	if err := Clean(dir); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// A path that was another directory's, as that of a handle may be, is cleaned again.
func TestCleansWhatAPathLeadsTo(t *testing.T) {
	yesterday := time.Now().Add(-abandoned - time.Minute)
	path := filepath.Join(t.TempDir(), "handle")
	for range 2 {
		dir := t.TempDir()
		left := filepath.Join(dir, prefix+"1")
		if err := errors.Join(os.WriteFile(left, nil, 0o644),
			os.Chtimes(left, yesterday, yesterday), os.Symlink(dir, path),
			Replace(filepath.Join(path, "file"), nil, 0o644),
			os.Remove(path)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file of a killed writer is left: %v", err)
		}
	}
}

// The first use of a directory removes temporary files a day old, and no other files.
func TestCleans(t *testing.T) {
	dir := t.TempDir()
	yesterday := time.Now().Add(-abandoned - time.Minute)
	for _, name := range []string{prefix + "1", prefix + "2", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "2") {
			continue
		}
		if err := os.Chtimes(filepath.Join(dir, name), yesterday, yesterday); err != nil {
			t.Fatal(err)
		}
	}
	if err := Replace(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{prefix + "2", "file", "other"}; !slices.Equal(names, want) {
		t.Errorf("left %q, want %q", names, want)
	}
}

func TestTemp(t *testing.T) {
	dir := t.TempDir()
	left, err := New(dir, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	left.Discard()
	kept, err := New(dir, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Discard()
	if _, err := kept.Write([]byte("text")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "name")
	if err := kept.Replace(name); err != nil {
		t.Fatal(err)
	}
	kept.Discard()
	holds(t, name, "text")
}

func TestLink(t *testing.T) {
	from, name := old(t), old(t)
	for range 2 { // the second time, both are already one file
		if err := Link(from, name, 0o644); err != nil {
			t.Fatal(err)
		}
		a, _ := os.Stat(from)
		b, _ := os.Stat(name)
		if !os.SameFile(a, b) {
			t.Error("the file was copied")
		}
		holds(t, name, "old")
	}
	none := filepath.Join(filepath.Dir(from), "none")
	if err := Link(none, name, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	holds(t, name, "old")
}

// On a file system without hard links, Link copies.
func TestLinkCopies(t *testing.T) {
	t.Cleanup(func() { link = os.Link })
	link = func(from, to string) error {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EPERM}
	}
	from, name := old(t), filepath.Join(t.TempDir(), "file")
	if err := Link(from, name, 0o640); err != nil {
		t.Fatal(err)
	}
	holds(t, name, "old")
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
