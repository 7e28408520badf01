package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRecordOfADownloadIsAFile: in a cache directory that users share, another one can put a link
// or a pipe in its place.
func TestRecordOfADownloadIsAFile(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	const theirs = `{"URL": "http://example.invalid/a", "Range": "\"1\""}`
	if err := os.WriteFile(outside, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, put := range map[string]func(at string) error{
		"a link": func(at string) error { return os.Symlink(outside, at) },
		"a pipe": func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"a file without end": func(at string) error {
			return errors.Join(os.WriteFile(at, nil, 0o600), os.Truncate(at, 1<<40))
		},
	} {
		path := filepath.Join(dir, what)
		if err := put(path + ".json"); err != nil {
			t.Fatal(err)
		}
		if v := readValidator(path); v != (validator{}) {
			t.Errorf("%s was read: %+v", what, v)
		}
		p := part{path: path}
		want := validator{URL: "http://example.invalid/b", Range: `"2"`, Total: 5}
		if err := p.remember(want); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if v := readValidator(path); v != want {
			t.Errorf("in the place of %s there is %+v, want %+v", what, v, want)
		}
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != theirs {
		t.Errorf("a file outside now has %q, %v", text, err)
	}
}

// TestDownloadIntoAPipe: what lies in the place of a download is written to only if it is a file.
func TestDownloadIntoAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := syscall.Mkfifo(path+".part", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openPart(t.Context(), path, nil); !errors.Is(err, errNotRegular) {
		t.Errorf("%v", err)
	}
}

// TestLooksEndWithTheContext: what a wrong hash comes from may take a gigabyte to find out.
func TestLooksEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read := 0
	zeros := readerFunc(func(b []byte) (int, error) {
		if read += len(b); read > 1<<20 {
			cancel()
		}
		if read > 8<<20 {
			return 0, io.ErrUnexpectedEOF
		}
		return len(b), nil
	})
	if endsEarly(ctx, zeros) {
		t.Errorf("%d bytes were read after the end of the context", read-1<<20)
	}

	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(content(100_000))
	_ = w.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, _ := f.Write(z.Bytes()[:z.Len()-100])
	p := part{f: f, size: int64(n)}
	if looks := p.describe(t.Context()); !strings.Contains(looks, "truncated gzip") {
		t.Errorf("it looks like %q", looks)
	}
	if looks := p.describe(ctx); looks != "" {
		t.Errorf("it was unpacked after the end of the context, and looks like %q", looks)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
