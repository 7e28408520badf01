package objects

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// packOf packs the objects of a step's space.
func packOf(t *testing.T, s *Step) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.space.pack(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPack: another machine has what this one has shared.
func TestPack(t *testing.T) {
	use := newUse(t)
	shared := map[string][]byte{}
	use.Share = func(space, file string) (err error) {
		shared[space], err = os.ReadFile(file)
		return errors.Join(err, os.Remove(file))
	}
	step := use.Step("musl")
	c := dial(t, step)
	say(t, c, words("SET", key1, "value"), "+OK\r\n")
	say(t, c, words("SET", key2, ""), "+OK\r\n")
	if _, err := step.Close(true); err != nil || len(shared) != 1 {
		t.Fatalf("%d packs, %v", len(shared), err)
	}
	if !bytes.Equal(packOf(t, step), packOf(t, step)) {
		t.Error("two packs of the same objects differ")
	}
	other := newUse(t)
	fetched := 0
	other.Fetch = func(space string, to *os.File) error {
		fetched++
		data, ok := shared[space]
		if !ok {
			return fs.ErrNotExist
		}
		_, err := to.Write(data)
		return err
	}
	c = dial(t, other.Step("musl"))
	say(t, c, words("GET", key1), bulk("value"))
	say(t, c, words("GET", key2), bulk(""))
	if other.Step("musl"); fetched != 1 {
		t.Errorf("fetched %d times", fetched)
	}
	say(t, dial(t, other.Step("bash")), words("GET", key1), "$-1\r\n")
	if left, _ := filepath.Glob(filepath.Join(other.Store.Dir, "*", tmpDir, "*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	step = use.Step("musl")
	clear(shared)
	if _, err := step.Close(true); err != nil || len(shared) != 0 {
		t.Error("what has not changed was shared again")
	}
}

// TestNothingIsSharedOfFailures: the objects of a step that failed are kept here, and are no pack.
func TestNothingIsSharedOfFailures(t *testing.T) {
	use := newUse(t)
	use.Share = func(string, string) error { t.Error("shared"); return nil }
	step := use.Step("musl")
	say(t, dial(t, step), words("SET", key1, "value"), "+OK\r\n")
	if stats, err := step.Close(false); err != nil || stats.Kept != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestPackBound: a pack has the objects that were used last.
func TestPackBound(t *testing.T) {
	was := maxPack
	maxPack = 200
	t.Cleanup(func() { maxPack = was })
	step := newUse(t).Step("musl")
	c := dial(t, step)
	say(t, c, words("SET", key1, strings.Repeat("1", 100)), "+OK\r\n")
	say(t, c, words("SET", key2, strings.Repeat("2", 100)), "+OK\r\n")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(step.space.object(key1), old, old); err != nil {
		t.Fatal(err)
	}
	other := newUse(t).Step("musl")
	if err := other.space.unpack(bytes.NewReader(packOf(t, step))); err != nil {
		t.Fatal(err)
	}
	c = dial(t, other)
	say(t, c, words("GET", key2), bulk(strings.Repeat("2", 100)))
	say(t, c, words("GET", key1), "$-1\r\n")
}

// packed makes a pack of files.
func packed(t testing.TB, files ...*tar.Header) []byte {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, h := range files {
		err = errors.Join(err, w.WriteHeader(h))
		_, e := io.CopyN(w, zeros{}, h.Size)
		err = errors.Join(err, e)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestHostilePack: what is no object is refused, and changes nothing outside of the space.
func TestHostilePack(t *testing.T) {
	name := strings.Repeat("ab", 32)
	good := &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 100}
	set := func(at *int64, to int64) { // for this test
		was := *at
		*at = to
		t.Cleanup(func() { *at = was })
	}
	set(&maxPack, 1000)
	for what, data := range map[string][]byte{
		"no pack":      []byte("something else"),
		"a path":       packed(t, &tar.Header{Name: "../" + name, Typeflag: tar.TypeReg, Size: 100}),
		"another name": packed(t, &tar.Header{Name: aboutFile, Typeflag: tar.TypeReg, Size: 100}),
		"a link":       packed(t, &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: "/etc"}),
		"a directory":  packed(t, &tar.Header{Name: name, Typeflag: tar.TypeDir}),
		"a pipe":       packed(t, &tar.Header{Name: name, Typeflag: tar.TypeFifo}),
		"no file":      packed(t, &tar.Header{Name: name, Typeflag: tar.TypeCont, Size: 100}),
		"short":        packed(t, &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1}),
		"large":        packed(t, &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 1001}),
		"many": packed(t, good, good, good, good, good, good, good, good, good, good,
			good, good),
		"cut off": packed(t, good)[:60],
	} {
		t.Run(what, func(t *testing.T) {
			use := newUse(t)
			warned := ""
			use.Warn = func(text string) { warned = text }
			use.Fetch = func(_ string, to *os.File) error { _, err := to.Write(data); return err }
			step := use.Step("musl")
			if !strings.Contains(warned, "compiled objects of musl are not fetched") {
				t.Errorf("warned %q", warned)
			}
			c := dial(t, step)
			say(t, c, words("GET", key1), "$-1\r\n")
			say(t, c, words("SET", key1, "x"), "+OK\r\n")
			entries, err := os.ReadDir(use.Store.Dir)
			if err != nil || len(entries) != 1 {
				t.Error(entries, err)
			}
		})
	}
}

// TestPackedUnderAnotherName: an object is never found under the key of another.
func TestPackedUnderAnotherName(t *testing.T) {
	step := newUse(t).Step("musl")
	c := dial(t, step)
	say(t, c, words("SET", key1, "one"), "+OK\r\n")
	path := step.space.object(key2)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(step.space.object(key1), path); err != nil {
		t.Fatal(err)
	}
	other := newUse(t).Step("musl")
	if err := other.space.unpack(bytes.NewReader(packOf(t, step))); err != nil {
		t.Fatal(err)
	}
	c = dial(t, other)
	say(t, c, words("GET", key2), "$-1\r\n")
	say(t, c, words("GET", key1), "$-1\r\n")
}

// FuzzUnpack: whatever a pack has, nothing outside of the space changes.
func FuzzUnpack(f *testing.F) {
	name := strings.Repeat("ab", 32)
	f.Add(packed(f, &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 100}))
	f.Add(packed(f, &tar.Header{Name: "../" + name, Typeflag: tar.TypeReg, Size: 100}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		store := &Store{filepath.Join(dir, "objects")}
		sp, err := store.open(Space{})
		if err != nil {
			t.Fatal(err)
		}
		_ = sp.unpack(bytes.NewReader(data))
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Error(entries, err)
		}
	})
}
