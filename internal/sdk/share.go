// share: the SDK image in remote caches: fetching it on a machine without it, and uploading it from
// the one that made it.

package sdk

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"buildsys/internal/bytesize"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

const (
	maxRootfs = 32 << 30  // bytes of an SDK image's unpacked root file system; Skiff's has 1 GB
	maxWindow = 128 << 20 // bytes of memory that unpacking may take
)

// Fetch imports the SDK image from a remote cache; ok is false if none has it.
func (i Images) Fetch(ctx context.Context, eng Engine) (id string, ok bool, err error) {
	there, ok := i.Remote.FindSDK(ctx, i.SDK)
	if !ok {
		return "", false, nil
	}
	i.Tell(progress.FetchProgress, fmt.Sprintf("fetching the SDK image from %s (%s)",
		there.Origin, bytesize.Format(there.Rootfs.Size)))
	packed, err := os.CreateTemp(i.Records.TempDir(), "sdk-*.tar.zst")
	if err != nil {
		return "", false, errkind.BadEnvironment(err)
	}
	defer os.Remove(packed.Name())
	defer packed.Close()
	if err := i.Remote.FetchSDK(ctx, there, packed); err != nil {
		return "", false, errkind.Environmentf("the engine does not have the SDK image %s: %w",
			there.Image, err)
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return "", false, errkind.BadEnvironment(err)
	}
	rootfs, err := unpack(packed, maxRootfs)
	if err != nil {
		return "", false, errkind.BadEnvironment(err)
	}
	defer rootfs.zstd.Close()
	if err := i.Records.setOrigin(there.Image, there.ID, there.Origin); err != nil {
		return "", false, err
	}
	if err := eng.ImportImage(ctx, there.Image, rootfs); err != nil {
		return "", false, err
	}
	id, ok, err = eng.HasImage(ctx, there.Image)
	if err == nil && id != there.ID {
		err = errkind.Environmentf("the SDK image %s from %s has ID %s; the cache records %s",
			there.Image, there.Origin, id, there.ID)
	}
	return id, ok, err
}

// unpacked is a root file system that is unpacked while it is read, up to a limit.
type unpacked struct {
	zstd *zstd.Decoder
	left int64 // bytes that may still come
}

func unpack(packed io.Reader, limit int64) (*unpacked, error) {
	d, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxWindow))
	return &unpacked{d, limit}, err
}

// Read fails if the root file system is larger than the limit.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.zstd.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, errkind.Environmentf("the SDK image in the remote cache is refused: " +
			"it unpacks to more than any SDK image")
	}
	return n, err
}

// Packed is a copy of an image's tar, made while the tar is imported.
type Packed struct {
	file *os.File
	hash hash.Hash
	zstd *zstd.Encoder
}

// NewPacked returns an empty copy in the directory dir. Remove deletes it.
func NewPacked(dir string) (*Packed, error) {
	f, err := os.CreateTemp(dir, "sdk-*.tar.zst")
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	p := &Packed{file: f, hash: sha256.New()}
	p.zstd, err = zstd.NewWriter(io.MultiWriter(f, p.hash))
	return p, err
}

// Write packs bytes that the engine reads.
func (p *Packed) Write(b []byte) (int, error) { return p.zstd.Write(b) }

// Remove deletes the copy.
func (p *Packed) Remove() {
	_ = p.file.Close()
	_ = os.Remove(p.file.Name())
}

func (p *Packed) finish() (cache.Blob, error) {
	if err := p.zstd.Close(); err != nil {
		return cache.Blob{}, err
	}
	info, err := p.file.Stat()
	if err != nil {
		return cache.Blob{}, err
	}
	return cache.Blob{SHA256: [32]byte(p.hash.Sum(nil)), Size: info.Size()}, nil
}

// Share uploads the SDK image that was just imported, with p as its copy, and returns the number of
// bytes sent. If replace is true, it replaces another image of the same name.
func (i Images) Share(ctx context.Context, eng Engine, p *Packed, replace bool) (int64, error) {
	rootfs, err := p.finish()
	if err != nil {
		return 0, errkind.BadEnvironment(err)
	}
	id, ok, err := eng.HasImage(ctx, i.SDK)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, errkind.Environmentf("the engine no longer has the image %s, which it has just "+
			"imported: import it again", i.SDK)
	}
	made := remote.SDK{Image: i.SDK, ID: id, Rootfs: rootfs}
	return rootfs.Size, errkind.BadEnvironment(i.Remote.PushSDK(ctx, made, p.file, replace))
}
