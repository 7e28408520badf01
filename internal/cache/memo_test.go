// memo_test: the memo of hashes saves reading, and never returns an outdated hash.

package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// later returns a memo for which every file of the test has been unchanged for long enough.
func later() *Memo {
	m := NewMemo(context.Background())
	m.now = func() time.Time { return time.Now().Add(time.Minute) }
	return m
}

// spoil makes the memo's hashes wrong, to show whether the memo or the file was used.
func spoil(m *Memo) {
	for name, e := range m.known {
		e.sum = [32]byte{0xff}
		m.known[name] = e
	}
}

func check(t *testing.T, m *Memo, path, text string) {
	t.Helper()
	if sum, err := m.HashFile(path); err != nil || sum != sha256.Sum256([]byte(text)) {
		t.Errorf("the hash of %s is %x (%v)", path, sum, err)
	}
}

func TestMemoRemembers(t *testing.T) {
	path := filepath.Join(write(t, map[string]string{"a": "one"}), "a")
	m := later()
	check(t, m, path, "one")
	spoil(m)
	if sum, _ := m.HashFile(path); sum != [32]byte{0xff} {
		t.Error("the file was read again")
	}
	saved := filepath.Join(t.TempDir(), "new", "memo")
	if err := m.Save("", saved); err != nil {
		t.Fatal(err)
	}
	again := later()
	again.Load(saved)
	if sum, _ := again.HashFile(path); sum != [32]byte{0xff} {
		t.Error("the file was read again after Load")
	}
	if again.changed {
		t.Error("nothing was learnt, but it would be saved")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := again.HashFile(path); !os.IsNotExist(err) {
		t.Errorf("a file that is gone: %v", err)
	}
}

// Every way to change a file is noticed, even if it keeps the size and restores the time.
func TestMemoSeesChanges(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for name, edit := range map[string]func(path string) error{
		"longer":    func(path string) error { return os.WriteFile(path, []byte("longer"), 0o644) },
		"same size": func(path string) error { return os.WriteFile(path, []byte("two"), 0o644) },
		"time put back": func(path string) error {
			if err := os.WriteFile(path, []byte("two"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(path, old, old)
		},
		"replaced": func(path string) error {
			if err := os.WriteFile(path+".new", []byte("two"), 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path+".new", old, old); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(write(t, map[string]string{"a": "one"}), "a")
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			m := later()
			check(t, m, path, "one")
			if err := edit(path); err != nil {
				t.Fatal(err)
			}
			text, _ := os.ReadFile(path)
			check(t, m, path, string(text))
		})
	}
}

// A file that was just changed may change again unnoticed, so its hash is not remembered.
func TestMemoIsNotRacy(t *testing.T) {
	path := filepath.Join(write(t, map[string]string{"a": "one"}), "a")
	at := time.Now()
	m := NewMemo(t.Context())
	m.now = func() time.Time { return at.Add(racyWindow / 2) }
	check(t, m, path, "one")
	if len(m.known) != 0 {
		t.Errorf("remembered: %v", m.known)
	}
	// The clock was set back: the file is from the future.
	m.now = func() time.Time { return at.Add(-time.Hour) }
	check(t, m, path, "one")
	if len(m.known) != 0 {
		t.Errorf("remembered: %v", m.known)
	}
	m.now = func() time.Time { return at.Add(2 * racyWindow) }
	check(t, m, path, "one")
	if len(m.known) != 1 {
		t.Error("not remembered")
	}
}

// Any damage to the saved memo empties it.
func TestDamagedMemo(t *testing.T) {
	dir := write(t, map[string]string{"a": "one", "b c\n": "two"})
	m := later()
	check(t, m, filepath.Join(dir, "a"), "one")
	check(t, m, filepath.Join(dir, "b c\n"), "two")
	saved := filepath.Join(t.TempDir(), "memo")
	if err := m.Save("", saved); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(saved)
	for at := range data {
		bad := append([]byte(nil), data...)
		bad[at] ^= 1 << (at % 8)
		for _, damaged := range [][]byte{bad, data[:at]} {
			overwrite(t, saved, damaged)
			again := later()
			again.Load(saved)
			if len(again.known) != 0 {
				t.Fatalf("byte %d: loaded %v", at, again.known)
			}
		}
	}
	overwrite(t, saved, data)
	again := later()
	again.Load(saved)
	if len(again.known) != 2 {
		t.Errorf("loaded %v", again.known)
	}
}

func TestMemoForgets(t *testing.T) {
	dir := write(t, map[string]string{"old": "old", "new": "new"})
	saved := filepath.Join(t.TempDir(), "memo")
	m := later()
	check(t, m, filepath.Join(dir, "old"), "old")
	m.now = func() time.Time { return time.Now().Add(memoDays*24*time.Hour + 48*time.Hour) }
	check(t, m, filepath.Join(dir, "new"), "new")
	if err := m.Save("", saved); err != nil {
		t.Fatal(err)
	}
	again := NewMemo(t.Context())
	again.Load(saved)
	if _, ok := again.known[filepath.Join(dir, "new")]; !ok || len(again.known) != 1 {
		t.Errorf("loaded %v", again.known)
	}
}

func TestMemoScansDirectories(t *testing.T) {
	dir := write(t, bashFiles)
	want, content, err := ScanDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := later()
	for range 2 {
		got, same, err := m.ScanDir(dir)
		if err != nil || same != content || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("scanned %v (%v), want %v", got, err, want)
		}
	}
}

func FuzzMemoLine(f *testing.F) {
	f.Add(string(appendMemoLine(nil, "/a b/c", memoEntry{day: 5})))
	f.Add("00 1 2")
	f.Fuzz(func(t *testing.T, line string) {
		name, e, err := parseMemoLine(line)
		if err != nil {
			return
		}
		again := string(appendMemoLine(nil, name, e))
		if n, e2, err := parseMemoLine(again[:len(again)-1]); err != nil || n != name || e2 != e {
			t.Errorf("%q was read as %q %v, then %q %v (%v)", line, name, e, n, e2, err)
		}
	})
}

// BenchmarkMemo asks for 10,000 known files, and loads and saves the memo, as a run without changes
// does.
func BenchmarkMemo(b *testing.B) {
	dir := b.TempDir()
	var paths []string
	for n := range 10_000 {
		writeFile(b, dir, fmt.Sprintf("%02d/%d", n%100, n), "text")
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("%02d/%d", n%100, n)))
	}
	saved := filepath.Join(dir, "memo")
	m := later()
	for _, path := range paths {
		if _, err := m.HashFile(path); err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Save("", saved); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		m := later()
		m.Load(saved)
		for _, path := range paths {
			if _, err := m.HashFile(path); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestHashingEnds has a file with holes, which a checkout may bring along and which takes an hour.
func TestHashingEnds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 1<<42)); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := NewMemo(ctx).HashFile(file); !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
	if _, _, err := NewMemo(ctx).ScanDir(filepath.Dir(file)); !errors.Is(err, cause) {
		t.Errorf("outputs: %v, want %v", err, cause)
	}
}
