// share_test: a packed SDK image that would fill the engine's disk, and engines that lose one.

package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/remote"

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

// owner is an engine with the images that were imported; the ID is the digest of what was.
type owner struct{ id string }

func (o *owner) HasImage(context.Context, string) (id string, ok bool, err error) {
	return o.id, o.id != "", nil
}

func (o *owner) ImportImage(_ context.Context, _ string, rootfs io.Reader) error {
	sum := sha256.New()
	_, err := io.Copy(sum, rootfs)
	o.id = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	return err
}

// An SDK image that a run fetched from a remote cache is not used by runs that take nothing from
// there: its name stands for a recipe, and anybody may put another image into a cache.
func TestOriginOfTheImage(t *testing.T) {
	at, maker, eng := remote.Location{Dir: t.TempDir()}, &owner{}, &owner{}
	open := func() *remote.Cache {
		c, err := remote.Open(remote.Options{From: []remote.Location{at}, To: at, Warn: func(string) {},
			Have: func(cache.Blob) (*os.File, error) { return nil, fs.ErrNotExist }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	made := Images{SDK: "sdk:1", Records: RecordsIn(t.TempDir()), Remote: open()}
	packed, err := NewPacked(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Remove()
	if err := maker.ImportImage(t.Context(), "sdk:1", io.TeeReader(strings.NewReader("tar"),
		packed)); err != nil {
		t.Fatal(err)
	}
	if _, err := made.Share(t.Context(), maker, packed, false); err != nil {
		t.Fatal(err)
	}
	trusts := func(origin string) bool { return origin == at.String() }
	i := Images{SDK: "sdk:1", Records: RecordsIn(t.TempDir()), Remote: open(), Trusts: trusts,
		Tell: func(progress.Kind, string) {}}
	for range 2 { // fetched, then there
		if id, err := i.Find(t.Context(), eng); err != nil || id != maker.id {
			t.Fatalf("%q, %v", id, err)
		}
	}
	for _, trusts := range []func(string) bool{nil, func(string) bool { return false }} {
		i.Trusts = trusts
		if _, err := i.Find(t.Context(), eng); errkind.Of(err) != errkind.Environment {
			t.Errorf("an image of another origin: %v", err)
		}
	}
	if err := i.Records.MadeHere("sdk:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Find(t.Context(), eng); err != nil {
		t.Errorf("an image that was made here: %v", err)
	}
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
