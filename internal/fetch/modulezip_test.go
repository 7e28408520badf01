// The zip files of modules are hashed within the go command's limits.

package fetch

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// zipOf writes a zip file with files that have size zeros each.
func zipOf(t *testing.T, files, size int) string {
	t.Helper()
	zeros := make([]byte, size)
	var packed, out bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(zeros); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(&out)
	for i := range files {
		h := &zip.FileHeader{Name: fmt.Sprintf("a@v1.0.0/%d", i), Method: zip.Deflate,
			CRC32: crc32.ChecksumIEEE(zeros), UncompressedSize64: uint64(size),
			CompressedSize64: uint64(packed.Len())}
		one, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := one.Write(packed.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestModuleThatUnpacksToTooMuch: what is hashed is bounded by the bytes that come out of a zip
// file, and ends with the context.
func TestModuleThatUnpacksToTooMuch(t *testing.T) {
	good := zipOf(t, 3, 1000)
	want, err := dirhash.HashZip(good, dirhash.Hash1)
	if got, e := hashZip(t.Context(), good); err != nil || e != nil || got != want {
		t.Errorf("got %s, %v; want %s, %v", got, e, want, err)
	}
	const size = 64 << 20
	_, err = hashZip(t.Context(), zipOf(t, 9, size))
	if err == nil || !strings.Contains(err.Error(), "more bytes than the 524288000") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hashZip(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// What is packed well comes out without anything being read.
	left := int64(size)
	u := &unpacked{ctx, io.NopCloser(strings.NewReader("text")), &left}
	if n, err := u.Read(make([]byte, 10)); n > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %d bytes, %v", n, err)
	}
}
