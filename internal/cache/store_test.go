// The store in use: what is put comes back, and nothing else ever does.

package cache

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// write makes the files of a directory; names that end in + are executable, names that begin with @ are links.
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

func entryOf(step string) Entry {
	t := NewTranscript(step)
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

var bashFiles = map[string]string{"bash.rpm": "bash", "tool+": "#!", "sub/a b\xff.rpm": "", "@latest": "bash.rpm", "same.rpm": "bash"}

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
	if err := again.RestoreLog(got, log); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(log); string(text) != "log of package/bash x86_64\n" {
		t.Errorf("the log is %q", text)
	}
	if took, ok := again.Took("package/bash x86_64"); !ok || took != e.Took {
		t.Errorf("took %v, %v", took, ok)
	}
}
