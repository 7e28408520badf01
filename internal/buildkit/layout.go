// Layout: SDK images kept as an OCI image layout, for engines that can be handed an image but not be told to keep one.
//
// buildkitd has no images of its own. It takes one from a registry, or blob by blob from its client, which is how it
// gets the SDK from here: only once, for it keeps the layer in its cache.

package buildkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"buildsys/internal/atomicfile"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is a directory by the OCI image layout specification, shared by all checkouts. Names of images are the
// annotation org.opencontainers.image.ref.name, as skopeo and others have it.
type layout struct{ dir string }

// layoutImage is one image of a layout.
type layoutImage struct {
	manifest digest.Digest
	config   dockerspec.DockerOCIImage
}

// find looks for the image ref; a layout that is not there has none.
func (l layout) find(ref string) (img layoutImage, ok bool, err error) {
	index, err := l.index()
	if err != nil {
		return img, false, err
	}
	i := slices.IndexFunc(index.Manifests, func(d ocispecs.Descriptor) bool { return d.Annotations[ocispecs.AnnotationRefName] == ref })
	if i < 0 {
		return img, false, nil
	}
	img.manifest = index.Manifests[i].Digest
	var manifest ocispecs.Manifest
	if err := l.readBlob(img.manifest, &manifest); err != nil {
		return img, false, err
	}
	for _, layer := range manifest.Layers {
		// Its bytes are checked by the engine that takes them.
		if info, err := os.Stat(l.blob(layer.Digest)); err != nil || info.Size() != layer.Size {
			return img, false, nil // half removed: as good as not there
		}
	}
	return img, true, l.readBlob(manifest.Config.Digest, &img.config)
}

func (l layout) blob(d digest.Digest) string {
	return filepath.Join(l.dir, ocispecs.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (l layout) readBlob(d digest.Digest, into any) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("the image layout %s: %w", l.dir, err)
	}
	data, err := os.ReadFile(l.blob(d))
	if err == nil && digest.FromBytes(data) != d {
		err = fmt.Errorf("%s has other content than its name says", l.blob(d))
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("the image layout %s: %w; remove the directory and import the image again", l.dir, err)
	}
	return nil
}

func (l layout) index() (ocispecs.Index, error) {
	index := ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex}
	data, err := os.ReadFile(filepath.Join(l.dir, ocispecs.ImageIndexFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return index, nil
	case err == nil:
		err = json.Unmarshal(data, &index)
	}
	if err != nil {
		return index, fmt.Errorf("the image layout %s: %w", l.dir, err)
	}
	return index, nil
}

// put makes the image ref of one layer, a tar of a root file system that may be packed with gzip. Equal tars give equal
// images, on every machine. An older image of the same name is replaced.
func (l layout) put(ref string, tar io.Reader, labels map[string]string) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	layer, err := l.putLayer(tar)
	if err != nil {
		return err
	}
	config, err := l.putJSON(ocispecs.MediaTypeImageConfig, ocispecs.Image{
		Platform: ocispecs.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispecs.ImageConfig{Labels: labels},
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}}, // not packed: one digest for both
	})
	if err != nil {
		return err
	}
	manifest, err := l.putJSON(ocispecs.MediaTypeImageManifest, ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageManifest,
		Config: config, Layers: []ocispecs.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{ocispecs.AnnotationRefName: ref}
	index, err := l.index()
	if err != nil {
		return err
	}
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispecs.Descriptor) bool { return d.Annotations[ocispecs.AnnotationRefName] == ref })
	index.Manifests = append(index.Manifests, manifest)
	if err := l.putFile(ocispecs.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := l.putFile(ocispecs.ImageIndexFile, data); err != nil {
		return err
	}
	return l.sweep(index)
}

// lock keeps two imports from sweeping away each other's blobs. The kernel gives it up when the process ends.
func (l layout) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(l.dir, ocispecs.ImageBlobsDir, "sha256"), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(l.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
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
func (l layout) putLayer(tar io.Reader) (ocispecs.Descriptor, error) {
	tar, err := unpacked(tar)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	f, err := atomicfile.New(l.dir, 0o644)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	defer f.Discard()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), tar)
	if err == nil && n == 0 {
		err = errors.New("the tar is empty")
	}
	d := digest.NewDigest(digest.SHA256, sum)
	if err == nil {
		err = f.ReplaceDurable(l.blob(d))
	}
	return ocispecs.Descriptor{MediaType: ocispecs.MediaTypeImageLayer, Digest: d, Size: n}, err
}

// unpacked looks at the first bytes of a tar, as docker import does.
func unpacked(tar io.Reader) (io.Reader, error) {
	b := bufio.NewReader(tar)
	start, _ := b.Peek(6)
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		return gzip.NewReader(b)
	case bytes.HasPrefix(start, []byte("BZh")), bytes.HasPrefix(start, []byte("\xfd7zXZ\x00")), bytes.HasPrefix(start, []byte("\x28\xb5\x2f\xfd")):
		return nil, errors.New("the tar is packed with bzip2, xz or zstd: unpack it first, or pack it with gzip")
	}
	return b, nil
}

func (l layout) putJSON(mediaType string, v any) (ocispecs.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	d := ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, atomicfile.ReplaceDurable(l.blob(d.Digest), data, 0o644)
}

func (l layout) putFile(name string, data []byte) error {
	return atomicfile.ReplaceDurable(filepath.Join(l.dir, name), data, 0o644)
}

// sweep removes blobs that no image of the index has any more: an SDK is a gigabyte.
func (l layout) sweep(index ocispecs.Index) error {
	keep := map[digest.Digest]bool{}
	for _, d := range index.Manifests {
		var manifest ocispecs.Manifest
		if err := l.readBlob(d.Digest, &manifest); err != nil {
			return err
		}
		keep[d.Digest], keep[manifest.Config.Digest] = true, true
		for _, layer := range manifest.Layers {
			keep[layer.Digest] = true
		}
	}
	blobs, err := os.ReadDir(filepath.Join(l.dir, ocispecs.ImageBlobsDir, "sha256"))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if d := digest.NewDigestFromEncoded(digest.SHA256, b.Name()); !keep[d] {
			if err := os.Remove(l.blob(d)); err != nil {
				return err
			}
		}
	}
	return nil
}
