// trim_test: trimming, measuring and verifying.

package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain keeps the stores in memory if possible: on a disk, fsync would take most of the tests'
// time.
func TestMain(m *testing.M) {
	if os.Getenv("TMPDIR") == "" {
		if dir, err := os.MkdirTemp("/dev/shm", "buildsys-cache-test-"); err == nil {
			_ = os.Setenv("TMPDIR", dir)
			code := m.Run()
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}
	}
	os.Exit(m.Run())
}

// aged puts an entry with an output of its own of the given size, last used the given time ago.
func aged(t *testing.T, s *Store, name string, size int, now time.Time, age time.Duration) Entry {
	e := put(t, s, name, map[string]string{"own": strings.Repeat(name, size), "shared": "shared"})
	used := now.Add(-age)
	if err := os.Chtimes(s.entryPath(e.Action), used, used); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTrim(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for _, tt := range []struct {
		name     string
		maxAge   time.Duration
		maxBytes int64
		left     string
	}{
		{"no limits", 0, 0, "abc"},
		{"wide limits", 100 * day, 1 << 30, "abc"},
		{"age", 20 * day, 0, "bc"},
		{"age of most", 2 * day, 0, "c"},
		{"age of all", time.Hour, 0, ""},
		{"size", 0, 20_000, "bc"},
		{"size for one", 0, 8_000, "c"},
		{"size for none", 0, 1, ""},
		{"both", 20 * day, 8_000, "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			entries := []Entry{
				aged(t, s, "a", 10_000, now, 30*day),
				aged(t, s, "b", 10_000, now, 10*day),
				aged(t, s, "c", 5_000, now, day),
			}
			before, err := s.Stat()
			if err != nil || before.Entries != 3 || before.Blobs != 7 { // 3 own, 1 shared, 3 logs
				t.Fatalf("stat: %+v, %v", before, err)
			}
			if used := now.Add(-30 * day); !before.Oldest.Equal(used) {
				t.Errorf("oldest is %v, want %v", before.Oldest, used)
			}
			removed, err := s.Trim(tt.maxAge, tt.maxBytes, now)
			if err != nil {
				t.Fatal(err)
			}
			after, _ := s.Stat()
			if removed.Bytes != before.Bytes-after.Bytes ||
				removed.Entries != before.Entries-after.Entries || removed.Blobs != before.Blobs-after.Blobs {
				t.Errorf("removed %+v, but before %+v and after %+v", removed, before, after)
			}
			if tt.maxBytes > 1 && after.Bytes > tt.maxBytes {
				t.Errorf("%d bytes are left", after.Bytes)
			}
			left := ""
			for _, e := range entries {
				if fetch(t, s, e) {
					left += e.Step
				}
			}
			if left != tt.left {
				t.Errorf("left is %q, want %q", left, tt.left)
			}
			if left == "" && len(storeFiles(t, s, blobsDir)) > 0 {
				t.Error("blobs are left without entries")
			}
		})
	}
}

// Using an entry keeps it; blobs that nothing can use are removed.
func TestTrimByUse(t *testing.T) {
	s := open(t)
	now := time.Now()
	used := aged(t, s, "used", 10, now, 40*24*time.Hour)
	aged(t, s, "unused", 10, now, 40*24*time.Hour)
	s.remember("new", 1)
	if _, ok := s.Get(used.Action); !ok {
		t.Fatal("no entry")
	}
	writeFile(t, s.Dir, "tmp/left-by-a-kill", "x")
	writeFile(t, s.Dir, "blobs/00/"+strings.Repeat("0", 64), "orphan")
	writeFile(t, s.Dir, "entries/00/"+strings.Repeat("0", 64), "damaged")
	if _, err := s.Trim(30*24*time.Hour, 0, now); err != nil {
		t.Fatal(err)
	}
	if !fetch(t, s, used) {
		t.Error("the used entry is gone")
	}
	if left := storeFiles(t, s, tmpDir, blobsDir); len(left) != 3 { // own, shared, log
		t.Errorf("left: %q", left)
	}
	if _, ok := s.Took("new"); !ok {
		t.Error("what was just remembered is gone")
	}
}

// Leftovers of killed writers are removed when the store is opened, but not files of running ones.
func TestLeftovers(t *testing.T) {
	s := open(t)
	s.stage = func(name string) {
		if name != "temporary "+blobsDir {
			return
		}
		before := storeFiles(t, s, tmpDir)
		if _, err := Open(s.Dir); err != nil {
			t.Error(err)
		}
		if after := storeFiles(t, s, tmpDir); !slices.Equal(before, after) || len(before) == 0 {
			t.Errorf("temporary files were %q, are %q", before, after)
		}
	}
	put2(t, s, "a")
	writeFile(t, s.Dir, "tmp/left", "x")
	if _, err := Open(s.Dir); err != nil {
		t.Fatal(err)
	}
	if left := storeFiles(t, s, tmpDir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestVerify(t *testing.T) {
	s := open(t)
	a, b, c := put2(t, s, "a"), put2(t, s, "b"), put2(t, s, "c")
	v, err := s.Verify(t.Context(), func(text string) { t.Errorf("reported %q", text) })
	if err != nil || v.Entries != 3 || v.Blobs != 6 || v.Bytes == 0 ||
		v.Damaged+v.Dropped+v.Unused > 0 {
		t.Errorf("a good store: %+v, %v", v, err)
	}
	// One damaged blob, whose entry is removed and whose log is unused.
	overwrite(t, s.blobPath(a.Files[0].SHA256), []byte("A"))
	// One damaged entry, whose blobs are unused.
	overwrite(t, s.entryPath(b.Action), []byte("buildsys entry\n"))
	var said []string
	v, err = s.Verify(t.Context(), func(text string) { said = append(said, text) })
	if err != nil || v.Damaged != 2 || v.Dropped != 1 || len(said) != 3 {
		t.Errorf("a damaged store: %+v, %v, %q", v, err, said)
	}
	v, err = s.Verify(t.Context(), func(text string) { t.Errorf("reported %q", text) })
	if err != nil || v.Entries != 1 || v.Unused != 3 {
		t.Errorf("the second time: %+v, %v", v, err)
	}
	if !fetch(t, s, c) {
		t.Error("the good entry is gone")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTook(t *testing.T) {
	s := open(t)
	if _, ok := s.Took("a"); ok {
		t.Error("known from nowhere")
	}
	for n, step := range []string{"a", "b\n", "a", "a"} {
		s.remember(step, time.Duration(n))
	}
	for step, want := range map[string]time.Duration{"a": 3, "b\n": 1} {
		if got, ok := s.Took(step); !ok || got != want {
			t.Errorf("%q: took %v, %v", step, got, ok)
		}
	}
	if err := os.Rename(s.recordPath("a"), s.recordPath("b\n")); err != nil {
		t.Fatal(err)
	}
	if took, ok := s.Took("b\n"); ok {
		t.Errorf("took %v by another step's record", took)
	}
}

// BenchmarkGet gets 10,000 entries, as planning an unchanged tree of that size does.
func BenchmarkGet(b *testing.B) {
	s := open(b)
	dir := write(b, map[string]string{"a.rpm": "a", "a-devel.rpm": "devel"})
	var ids []ActionID
	for n := range 10_000 {
		tr := newTranscript(fmt.Sprintf("package/p%d x86_64", n))
		for i := range 20 {
			tr.Add("file", "package", fmt.Sprintf("file%d", i), "0644", strings.Repeat("ab", 32))
		}
		e := Entry{Action: tr.ID(), Step: fmt.Sprintf("package/p%d x86_64", n), Transcript: tr.String(),
			Built: time.Unix(1, 0)}
		if n == 0 {
			var err error
			if e, err = s.Put(e, dir, ""); err != nil {
				b.Fatal(err)
			}
		}
		e.Files, e.Content, _ = ScanDir(dir)
		path := s.entryPath(e.Action)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, e.encode(), 0o644)); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, e.Action)
	}
	b.ResetTimer()
	for range b.N {
		for _, id := range ids {
			if _, ok := s.Get(id); !ok {
				b.Fatal("no entry")
			}
		}
	}
}

// BenchmarkPut puts a package of a usual size.
func BenchmarkPut(b *testing.B) {
	s := open(b)
	for n := range b.N {
		b.StopTimer()
		text := strings.Repeat(fmt.Sprintf("%08d", n), 1<<17)
		dir := write(b, map[string]string{"a.rpm": text, "a-devel.rpm": text[:1000]})
		b.StartTimer()
		if _, err := s.Put(entryOf(fmt.Sprint(n)), dir, ""); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(8 << 17)
}

// TestTrimDaily: old entries are removed, but at most once a day, and not while the store is in
// use.
func TestTrimDaily(t *testing.T) {
	s, now := open(t), time.Now()
	left := func(what string, want int) {
		t.Helper()
		if _, err := s.TrimDaily(now); err != nil {
			t.Fatal(err)
		}
		if st, err := s.Stat(); err != nil || st.Entries != want {
			t.Errorf("%s: %d entries left, want %d (%v)", what, st.Entries, want, err)
		}
	}
	aged(t, s, "a", 10, now, keepUnused+time.Hour)
	aged(t, s, "b", 10, now, keepUnused-48*time.Hour)
	left("first time", 1)
	aged(t, s, "c", 10, now, keepUnused+time.Hour)
	left("the same day", 2)
	now = now.Add(trimEvery + time.Minute)
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	left("while in use", 2)
	unlock()
	left("tried that day", 2)
	now = now.Add(trimEvery + time.Minute)
	left("two days later", 0)
}

// A clock that is months ahead empties no store, whether the store was trimmed before or not.
func TestTrimWithAWrongClock(t *testing.T) {
	for _, trimmed := range []bool{false, true} {
		s, now := open(t), time.Now()
		aged(t, s, "a", 10, now, time.Hour)
		aged(t, s, "b", 10, now, 0)
		if trimmed {
			if _, err := s.TrimDaily(now); err != nil {
				t.Fatal(err)
			}
		}
		wrong := now.Add(keepUnused + 24*time.Hour)
		aged(t, s, "c", 10, wrong, 0) // that run's own
		if !trimmed {
			s = open(t)
			aged(t, s, "a", 10, now, time.Hour)
			aged(t, s, "b", 10, now, 0)
		}
		for _, now := range []time.Time{wrong, now} {
			if removed, err := s.TrimDaily(now); err != nil || removed.Entries > 0 {
				t.Errorf("trimmed before: %v: %+v, %v", trimmed, removed, err)
			}
		}
	}
}

// The file with the time of the last trim is a file of the store, not one that a link leads to.
func TestTrimFollowsNoLink(t *testing.T) {
	s, victim := open(t), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, s.path(trimFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TrimDaily(time.Now()); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("%q, %v", data, err)
	}
}
