// share_test: a packed SDK image that would fill the engine's disk, and engines that lose one.

package sdk

import (
	"bytes"
	"context"
	"errors"
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

// forgetful is an engine without images.
type forgetful struct {
	Engine
	err error
}

func (f forgetful) HasImage(context.Context, string) (id string, ok bool, err error) {
	return "", false, f.err
}

func TestShareWithoutTheImage(t *testing.T) {
	for want, eng := range map[string]forgetful{
		"no answer": {err: errors.New("no answer")},
		"the engine no longer has the image sdk:1, which it has just imported: import it again": {},
	} {
		packed, err := NewPacked(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Remove()
		_, err = Images{SDK: "sdk:1"}.Share(t.Context(), eng, packed, false)
		if err == nil || err.Error() != want ||
			eng.err == nil && errkind.Of(err) != errkind.Environment {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
