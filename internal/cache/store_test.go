// store_test: what is put comes back unchanged, and nothing else ever does.

package cache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/errkind"
)

// write writes the files of a directory. Names that end in + are executable; names that begin with
// @ are links.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, dir, name, text)
	}
	return dir
}

func writeFile(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if name[0] == '@' {
		if err := os.Symlink(text, filepath.Join(dir, name[1:])); err != nil {
			t.Fatal(err)
		}
		return
	}
	mode := os.FileMode(0o644)
	if name[len(name)-1] == '+' {
		mode = 0o755
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// open returns a new store that fails the test on any warning.
func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	s.Warn = func(text string) { t.Errorf("warning: %s", text) }
	return s
}

func newTranscript(step string) *Transcript {
	t := &Transcript{}
	t.Restart(step)
	return t
}

func entryOf(step string) Entry {
	t := newTranscript(step)
	t.Add("arg", "NAME", "a b")
	return Entry{Action: t.ID(), Step: step, Transcript: t.String(), Took: 1500 * time.Millisecond}
}

func put(t testing.TB, s *Store, step string, files map[string]string) Entry {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("log of "+step+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := s.Put(entryOf(step), write(t, files), log)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var bashFiles = map[string]string{"bash.rpm": "bash", "tool+": "#!", "sub/a b\xff.rpm": "",
	"@latest": "bash.rpm", "same.rpm": "bash"}

// restoreLog copies the log of an entry to a file.
func restoreLog(s *Store, e Entry, file string) error {
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(s.copyBlob(e, namedBlob{e.Log, "log"}, to), to.Close())
}

func TestRoundTrip(t *testing.T) {
	s := open(t)
	if _, ok := s.Get(entryOf("package/bash x86_64").Action); ok {
		t.Fatal("an empty store had an entry")
	}
	e := put(t, s, "package/bash x86_64", bashFiles)
	again, err := Open(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := again.Get(e.Action)
	if !ok || !reflect.DeepEqual(got, e) {
		t.Fatalf("got %+v, want %+v", got, e)
	}
	dir := t.TempDir()
	if err := again.Restore(got, dir); err != nil {
		t.Fatal(err)
	}
	files, content, err := ScanDir(dir)
	if err != nil || content != e.Content || !reflect.DeepEqual(files, e.Files) {
		t.Errorf("restored %+v (%v), want %+v", files, err, e.Files)
	}
	log := filepath.Join(t.TempDir(), "log")
	if err := restoreLog(again, got, log); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(log); string(text) != "log of package/bash x86_64\n" {
		t.Errorf("the log is %q", text)
	}
	if took, ok := again.Took("package/bash x86_64"); !ok || took != e.Took {
		t.Errorf("took %v, %v", took, ok)
	}
}

// The results of ScanDir and Restore do not depend on the umask of this process.
func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	s := open(t)
	dir := write(t, map[string]string{"plain": "p", "tool+": "t"})
	for path, mode := range map[string]fs.FileMode{"plain": 0o640, "tool+": 0o711} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	e, err := s.Put(entryOf("package/modes"), dir, "")
	if err != nil || e.Files[0].Mode != 0o644 || e.Files[1].Mode != 0o755 {
		t.Fatalf("put %+v, %v", e.Files, err)
	}
	out := t.TempDir()
	if err := s.Restore(e, out); err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Files {
		if info, err := os.Stat(filepath.Join(out, f.Name)); err != nil || info.Mode() != f.Mode {
			t.Errorf("%s was restored with %v (%v)", f.Name, info.Mode(), err)
		}
	}
}

func TestScanDirRefuses(t *testing.T) {
	for text, make := range map[string]func(dir string) error{
		"leaves the outputs (../x)": func(dir string) error {
			return os.Symlink("../x",
				filepath.Join(dir, "l"))
		},
		"leaves the outputs (/etc)": func(dir string) error {
			return os.Symlink("/etc",
				filepath.Join(dir, "l"))
		},
		"not a regular file": func(dir string) error {
			return syscall.Mkfifo(filepath.Join(dir,
				"p"), 0o644)
		},
		"no such file": os.Remove,
	} {
		dir := t.TempDir()
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ScanDir(dir); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error is %v, want %q", err, text)
		}
	}
}

// TestLockThatIsHeld: whoever may read a store may hold its lock, and is not waited for for ever.
func TestLockThatIsHeld(t *testing.T) {
	s := open(t)
	f, err := os.Open(s.path(lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	defer func(d time.Duration) { lockWait = d }(lockWait)
	lockWait = 0
	if _, err := Open(s.Dir); !errkind.Is[*StoreError](err) ||
		!strings.Contains(err.Error(), "another process has held the lock") {
		t.Errorf("%v", err)
	}
}
