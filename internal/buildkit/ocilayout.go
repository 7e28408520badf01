// SDK images kept as an OCI layout, for engines that accept an image but cannot keep one.
//
// buildkitd has no image store. It takes an image from a registry or, blob by blob, from its
// client, which is how it gets the SDK from here: only once, because it keeps the layer in its
// cache.

package buildkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/oci"
)

// sdkLayout is an OCI layout shared by all checkouts. The annotation
// org.opencontainers.image.ref.name holds an image's name, as with skopeo and others.
type sdkLayout struct{ oci.Layout }

// layoutImage is one image of a layout.
type layoutImage struct {
	manifest digest.Digest
	config   dockerspec.DockerOCIImage
}

// find looks up the image ref; a layout that does not exist has none.
func (l sdkLayout) find(ref string) (img layoutImage, ok bool, err error) {
	index, err := l.index()
	if err != nil {
		return img, false, err
	}
	i := slices.IndexFunc(index.Manifests, named(ref))
	if i < 0 {
		return img, false, nil
	}
	img.manifest = index.Manifests[i].Digest
	var manifest ocispecs.Manifest
	if err := l.ReadJSON(index.Manifests[i], &manifest); err != nil {
		return img, false, l.unusable(err)
	}
	for _, layer := range manifest.Layers {
		if !l.Has(layer) { // half removed, so treated as missing; the engine checks the bytes
			return img, false, nil
		}
	}
	if err := l.ReadJSON(manifest.Config, &img.config); err != nil {
		return img, false, l.unusable(err)
	}
	return img, true, nil
}

func named(ref string) func(ocispecs.Descriptor) bool {
	return func(d ocispecs.Descriptor) bool {
		return d.Annotations[ocispecs.AnnotationRefName] == ref
	}
}

func (l sdkLayout) unusable(err error) error {
	return fmt.Errorf("the OCI layout %s: %w; remove the directory and import the image again",
		l.Dir, err)
}

// index returns the images of the layout.
func (l sdkLayout) index() (ocispecs.Index, error) {
	_, index, err := l.Index()
	if errors.Is(err, fs.ErrNotExist) {
		return oci.NewIndex(), nil
	}
	if err != nil {
		return index, l.unusable(err)
	}
	return index, nil
}

// put makes the image ref with one layer, a tar of a root file system that may be compressed with
// gzip. Equal tars give equal images on every machine. It replaces an older image of the same name.
func (l sdkLayout) put(ref string, tar io.Reader) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	image, err := l.putImage(tar)
	if err != nil {
		return err
	}
	image.Annotations = map[string]string{ocispecs.AnnotationRefName: ref}
	index, err := l.index()
	if err != nil {
		return err
	}
	index.Manifests = append(slices.DeleteFunc(index.Manifests, named(ref)), image)
	if err := l.PutIndex(index); err != nil {
		return err
	}
	return l.Sweep() // removes blobs without an image: an SDK is a gigabyte
}

// putImage writes the blobs of an image.
func (l sdkLayout) putImage(tar io.Reader) (ocispecs.Descriptor, error) {
	layer, err := l.putLayer(tar)
	if err != nil {
		return layer, err
	}
	config, err := l.PutJSON(ocispecs.MediaTypeImageConfig, ocispecs.Image{
		Platform: ocispecs.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		// Not compressed: one digest for both.
		RootFS: ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return config, err
	}
	manifest := oci.NewManifest(config, []ocispecs.Descriptor{layer})
	return l.PutJSON(ocispecs.MediaTypeImageManifest, manifest)
}

// lock keeps two imports from sweeping away each other's blobs. The kernel releases it when the
// process ends.
func (l sdkLayout) lock() (unlock func(), err error) {
	if err := l.Make(); err != nil {
		return nil, err
	}
	const how = os.O_RDWR | os.O_CREATE | syscall.O_NOFOLLOW
	f, err := os.OpenFile(filepath.Join(l.Dir, "lock"), how, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// putLayer streams the tar into a blob.
func (l sdkLayout) putLayer(tar io.Reader) (ocispecs.Descriptor, error) {
	tar, err := unpacked(tar)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	return l.Put(ocispecs.MediaTypeImageLayer, func(w io.Writer) error {
		n, err := io.Copy(w, tar)
		if err == nil && n == 0 {
			err = errors.New("the tar is empty")
		}
		return err
	})
}

// unpacked returns the uncompressed tar; like docker import, it looks at the first bytes.
func unpacked(tar io.Reader) (io.Reader, error) {
	b := bufio.NewReader(tar)
	start, _ := b.Peek(6)
	if bytes.HasPrefix(start, []byte("\x1f\x8b")) {
		return gzip.NewReader(b)
	}
	for _, magic := range []string{"BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return nil, errors.New("the tar is compressed with bzip2, xz or zstd: " +
				"decompress it first, or use gzip")
		}
	}
	return b, nil
}
