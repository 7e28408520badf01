// objects: packs of what compilers made (package objects), by the name of their space. A later pack
// of a space replaces the one before.

package remote

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

const (
	objectsType = "application/vnd.buildsys.objects.v1"
	packType    = "application/vnd.buildsys.objects.v1.tar+zstd"
	spaceNote   = "invalid.buildsys.objects" // name of the space
)

// maxPack is the largest pack that is fetched.
const maxPack = 1 << 30

func objectsTag(space string) string { return "objects-" + space }

// FetchObjects fills the empty file to with the pack of a space. The error is fs.ErrNotExist if no
// cache has one that can be used.
func (c *Cache) FetchObjects(ctx context.Context, space string, to *os.File) error {
	for _, t := range c.from {
		var pack cache.Blob
		err := t.do(ctx, 0, func(ctx context.Context) error {
			data, err := t.back.manifest(ctx, objectsTag(space))
			if err != nil {
				return err
			}
			if pack, err = decodeObjects(data, space); err != nil {
				return oci.Bad("%v", err)
			}
			return nil
		})
		if err == nil {
			err = t.download(ctx, pack, to)
		}
		if err == nil || ctx.Err() != nil || errkind.Is[*oci.LocalError](err) {
			return err
		}
		if errkind.Is[oci.BadError](err) {
			c.o.Warn(fmt.Sprintf("compiled objects in the remote cache %s are refused: %v",
				t.place, err))
		} // the target reports its own failures
	}
	return fs.ErrNotExist
}

func decodeObjects(data []byte, space string) (cache.Blob, error) {
	var m spec.Manifest
	if err := oci.Decode(data, &m); err != nil || m.ArtifactType != objectsType ||
		m.MediaType != manifestType || m.Annotations[spaceNote] != space || len(m.Layers) != 1 ||
		m.Layers[0].MediaType != packType {
		return cache.Blob{}, fmt.Errorf("it is not the pack of %s but %.100q", space, m.ArtifactType)
	}
	return oci.Blob(m.Layers[0], maxPack)
}

// ShareObjects uploads the pack of a space in the background, and removes its file.
func (c *Cache) ShareObjects(space, file string) error {
	if !c.Writes() {
		return os.Remove(file)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	_ = os.Remove(file)
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	pack := cache.Blob{SHA256: [sha256.Size]byte(sum.Sum(nil)), Size: size}
	e := cache.Entry{Action: sha256.Sum256([]byte(objectsTag(space))), Step: "compilers, " + space}
	c.push.enqueue(e, func(ctx context.Context) error { return c.pushObjects(ctx, space, pack, f) },
		func() { _ = f.Close() }, c.o.Warn)
	return nil
}

func (c *Cache) pushObjects(ctx context.Context, space string, pack cache.Blob, f *os.File) error {
	t := c.push.target
	if err := t.uploadBlob(ctx, oci.BlobOf(emptyBlob), fromMemory(emptyBlob), false); err != nil {
		return err
	}
	open := func() (io.ReadSeekCloser, error) {
		_, err := f.Seek(0, io.SeekStart)
		return keepOpen{f}, err
	}
	if err := t.uploadBlob(ctx, pack, open, false); err != nil {
		return err
	}
	m := newManifest(objectsType, map[string]string{spaceNote: space})
	m.Layers = []spec.Descriptor{oci.Describe(packType, pack)}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return t.do(ctx, 0, func(ctx context.Context) error {
		return t.back.putManifest(ctx, objectsTag(space), data)
	})
}
