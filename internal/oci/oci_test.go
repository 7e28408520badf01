// oci_test: what is refused, and what Sweep keeps. Package kit compares layouts with another
// reader.

package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/confined"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlob(t *testing.T) {
	want := BlobOf([]byte("text"))
	if got, err := Blob(Describe("", want), 4); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, d := range []spec.Descriptor{
		{}, {Digest: "latest"}, {Digest: "sha256:../../etc/passwd"},
		{Digest: digest.Digest("sha512:" + strings.Repeat("0", 128)), Size: 1},
		{Digest: digest.FromString("x"), Size: -1},
		{Digest: digest.FromString("x"), Size: 5},
		{Digest: digest.Digest(strings.ToUpper(digest.FromString("x").String())), Size: 1},
	} {
		if b, err := Blob(d, 4); !errors.As(err, new(BadError)) {
			t.Errorf("%v is %v, %v", d, b, err)
		}
	}
}

func TestMissingLayout(t *testing.T) {
	l := Layout{Dir: filepath.Join(t.TempDir(), "none")}
	if _, _, err := l.Index(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	must(t, l.Make()) // still without index.json
	if _, _, err := l.Index(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// put writes an image of one layer and returns its manifest.
func put(t *testing.T, l Layout, layer string) spec.Descriptor {
	t.Helper()
	must(t, l.Make())
	d, err := l.Put(spec.MediaTypeImageLayer, func(w io.Writer) error {
		_, err := io.WriteString(w, layer)
		return err
	})
	must(t, err)
	config, err := l.PutJSON(spec.MediaTypeImageConfig, map[string]string{"of": layer})
	must(t, err)
	m, err := l.PutJSON(spec.MediaTypeImageManifest, NewManifest(config, []spec.Descriptor{d}))
	must(t, err)
	return m
}

func count(t *testing.T, l Layout) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(l.Dir, "blobs", "sha256"))
	must(t, err)
	return len(entries)
}

// Sweep keeps exactly the blobs that index.json leads to, directly or through another index.
func TestSweep(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	one, two := put(t, l, "one"), put(t, l, "two")
	put(t, l, "three")
	inner, err := l.PutJSON(spec.MediaTypeImageIndex, NewIndex(two))
	must(t, err)
	must(t, l.PutIndex(NewIndex(one, inner)))
	must(t, os.WriteFile(filepath.Join(l.Dir, ".buildsys-new-1"), nil, 0o644))
	must(t, l.Sweep())
	if n := count(t, l); n != 7 {
		t.Errorf("%d blobs of two images and an index, want 7", n)
	}
	if left, _ := filepath.Glob(l.Dir + "/.*"); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	must(t, l.PutIndex(NewIndex()))
	must(t, l.Sweep())
	if n := count(t, l); n != 0 {
		t.Errorf("%d blobs of no image", n)
	}
}

// A failing fill leaves no file.
func TestPutFails(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	must(t, l.Make())
	want := errors.New("no more")
	if _, err := l.Put("", func(io.Writer) error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	if entries, _ := os.ReadDir(l.Dir); len(entries) != 1 || count(t, l) != 0 {
		t.Errorf("left %v", entries)
	}
}

// Content that does not match its digest and documents that are too large are refused.
func TestDamage(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	d := put(t, l, "layer")
	b, err := Blob(d, MaxDocument)
	must(t, err)
	var whole bytes.Buffer
	must(t, l.Copy(t.Context(), b, &whole))
	if data, err := l.Read(d); err != nil || !bytes.Equal(data, whole.Bytes()) || !l.Has(d) {
		t.Fatal(string(data), err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := l.Copy(stopped, b, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for what, data := range map[string][]byte{
		"other bytes": bytes.Replace(whole.Bytes(), []byte("2"), []byte("3"), 1),
		"more":        append(whole.Bytes(), ' '),
		"fewer":       whole.Bytes()[1:],
		"no end":      make([]byte, MaxDocument+1),
	} {
		must(t, os.WriteFile(l.Path(d.Digest), data, 0o644))
		if _, err := l.Read(d); !errors.As(err, new(BadError)) {
			t.Errorf("%s: Read: %v", what, err)
		}
		if err := l.Copy(t.Context(), b, io.Discard); !errors.As(err, new(BadError)) {
			t.Errorf("%s: Copy: %v", what, err)
		}
		if l.Has(d) != (what == "other bytes") {
			t.Errorf("%s: Has: %v", what, l.Has(d))
		}
	}
}

// No link out of the layout is followed.
func TestLinkOut(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	data := []byte(`{"manifests":[]}`)
	must(t, os.WriteFile(outside, data, 0o644))
	l := Layout{Dir: t.TempDir()}
	must(t, l.Make())
	d := Describe("", BlobOf(data))
	must(t, os.Symlink(outside, l.Path(d.Digest)))
	must(t, os.Symlink(outside, filepath.Join(l.Dir, "index.json")))
	if _, err := l.Read(d); err == nil {
		t.Error("the blob was read")
	}
	if _, _, err := l.Index(); err == nil {
		t.Error("the index was read")
	}
}

// TestPipeInALayout: nobody waits for its writer, and it is neither an index nor a blob.
func TestPipeInALayout(t *testing.T) {
	l := Layout{Dir: t.TempDir()}
	must(t, l.Make())
	b := BlobOf([]byte("{}"))
	d := Describe("", b)
	for _, at := range []string{l.Path(d.Digest), filepath.Join(l.Dir, "index.json")} {
		must(t, os.RemoveAll(at))
		must(t, syscall.Mkfifo(at, 0o600))
	}
	if _, _, err := l.Index(); err == nil {
		t.Error("the index was read")
	}
	if _, err := l.Read(d); err == nil {
		t.Error("the document was read")
	}
	if err := l.Copy(t.Context(), b, io.Discard); err == nil {
		t.Error("the blob was read")
	}
}

// TestDocumentsOfManyObjects: a few bytes of a document become a hundred of memory.
func TestDocumentsOfManyObjects(t *testing.T) {
	text := func(n int) []byte {
		return []byte(`{"layers":[{}` + strings.Repeat(",{}", n-3) + `]}`)
	}
	var m spec.Manifest
	if err := Decode(text(maxObjects), &m); err != nil || len(m.Layers) != maxObjects-2 {
		t.Errorf("%d layers, %v", len(m.Layers), err)
	}
	if err := Decode(text(maxObjects+1), &m); err == nil ||
		!strings.Contains(err.Error(), "65537 objects and lists, more than 65536") {
		t.Errorf("error %v", err)
	}
}

// TestLinkThatComesLater: a link that somebody puts in the place of the blobs while a layout in a
// checkout is written does not lead what is written and removed elsewhere.
func TestLinkThatComesLater(t *testing.T) {
	top, victim := t.TempDir(), t.TempDir()
	l := Layout{Dir: filepath.Join(top, "build/kits/oci/core"), Top: top}
	must(t, l.Make())
	must(t, l.PutIndex(NewIndex(put(t, l, "layer"))))
	key := filepath.Join(victim, "id_rsa")
	must(t, os.WriteFile(key, nil, 0o600))
	blobs := filepath.Join(l.Dir, "blobs/sha256")
	must(t, os.Rename(blobs, filepath.Join(victim, "away")))
	entries, err := os.ReadDir(filepath.Join(victim, "away"))
	must(t, err)
	for _, e := range entries { // so that the index can still be read
		must(t, os.Rename(filepath.Join(victim, "away", e.Name()), filepath.Join(victim, e.Name())))
	}
	must(t, os.Symlink(victim, blobs))
	if _, err := l.PutJSON("", "text"); !errors.Is(err, confined.ErrLink) {
		t.Errorf("a document is written: %v", err)
	}
	_ = l.Sweep()
	if _, err := os.Stat(key); err != nil {
		t.Error(err)
	}
}
