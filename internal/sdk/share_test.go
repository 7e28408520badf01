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
		if err := i.Confirm(t.Context(), eng, Digests{}); err != nil || i.Recorded().SDK != maker.id {
			t.Fatalf("%q, %v", i.Recorded().SDK, err)
		}
	}
	for _, trusts := range []func(string) bool{nil, func(string) bool { return false }} {
		i.Trusts = trusts
		if _, err := i.Find(t.Context(), eng); errkind.Of(err) != errkind.Environment {
			t.Errorf("an image of another origin: %v", err)
		}
		if d := i.Recorded(); d.SDK != "" {
			t.Errorf("keys have the digest %s of an image of another origin", d.SDK)
		}
	}
	if err := i.Records.MadeHere("sdk:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Find(t.Context(), eng); err != nil {
		t.Errorf("an image that was made here: %v", err)
	}
}

// TestOriginOfTheDigest: a digest that only the cache of another run claims is not uploaded to the
// one of this run, where others would take it for that of the image.
func TestOriginOfTheDigest(t *testing.T) {
	theirs, ours := remote.Location{Dir: t.TempDir()}, remote.Location{Dir: t.TempDir()}
	open := func(from, to remote.Location) *remote.Cache {
		o := remote.Options{To: to, Warn: func(text string) { t.Error(text) },
			Have: func(cache.Blob) (*os.File, error) { return nil, fs.ErrNotExist }}
		if from != (remote.Location{}) {
			o.From = []remote.Location{from}
		}
		c, err := remote.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	none := remote.Location{}
	evil := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("evil")))
	if err := open(none, theirs).PushSDK(t.Context(), remote.SDK{Image: "sdk:1", ID: evil}, nil,
		false); err != nil {
		t.Fatal(err)
	}
	i := Images{SDK: "sdk:1", Records: RecordsIn(t.TempDir()), Remote: open(theirs, none),
		Trusts: func(string) bool { return true }}
	d, err := i.Know(t.Context(), nil)
	if err != nil || d.SDK != evil {
		t.Fatalf("%v, %v", d, err)
	}
	share := func() bool {
		i.Remote = open(none, ours)
		i.ShareID(Digests{SDK: evil})
		i.Remote.Close(t.Context(), nil)
		_, ok := open(ours, none).FindSDK(t.Context(), "sdk:1")
		return ok
	}
	i.Trusts = func(origin string) bool { return origin != theirs.String() }
	if share() {
		t.Error("the digest was uploaded")
	}
	eng := &owner{id: evil}
	if err := i.Confirm(t.Context(), eng, Digests{}); err != nil {
		t.Fatal(err)
	}
	if !share() { // the engine has the image, and from elsewhere
		t.Error("the digest of an image of the engine was not uploaded")
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
