// The tests of unpack use a packed SDK image that would fill the engine's disk.

package sdk

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"buildsys/internal/errkind"

	"github.com/klauspost/compress/zstd"
)

func TestSDKBomb(t *testing.T) {
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, 100<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]bool{100 << 20: true, 100<<20 - 1: false} {
		tar, err := unpack(bytes.NewReader(packed.Bytes()), limit)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, tar)
		tar.zstd.Close()
		if (err == nil) != want || err != nil && (!strings.Contains(err.Error(), "is refused") ||
			errkind.Of(err) != errkind.Environment) {
			t.Errorf("%d packed bytes, limit %d: %d bytes, %v", packed.Len(), limit, n, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
