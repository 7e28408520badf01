// layout: a directory in the form of the OCI image layout specification.

package oci

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
)

// Layout is the OCI layout in the directory Dir. Readers need no lock; there may be one writer.
type Layout struct {
	Dir string
	// Top is the checkout that Dir is in, if it is in one: what is written and removed goes through
	// no link below it.
	Top string
}

// missingError is the error for a layout that does not exist. It is an fs.ErrNotExist.
type missingError struct{ dir string }

func (e missingError) Error() string      { return "there is no OCI layout " + e.dir }
func (missingError) Is(target error) bool { return target == fs.ErrNotExist }

// NewIndex returns an index of images.
func NewIndex(of ...spec.Descriptor) spec.Index {
	return spec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: spec.MediaTypeImageIndex,
		Manifests: of,
	}
}

// NewManifest returns the manifest of an image.
func NewManifest(config spec.Descriptor, layers []spec.Descriptor) spec.Manifest {
	return spec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: spec.MediaTypeImageManifest,
		Config: config, Layers: layers,
	}
}

// Index reads index.json. If there is no layout, the error is an fs.ErrNotExist.
func (l Layout) Index() (data []byte, x spec.Index, err error) {
	data, err = l.ReadFile(spec.ImageIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, x, missingError{l.Dir}
	}
	if err != nil {
		return nil, x, err
	}
	if err := Decode(data, &x); err != nil {
		return nil, x, Bad("%s: %v", filepath.Join(l.Dir, spec.ImageIndexFile), err)
	}
	return data, x, nil
}

// Read returns a document: the bytes of an index, a manifest or a configuration.
func (l Layout) Read(d spec.Descriptor) ([]byte, error) {
	b, err := Blob(d, MaxDocument)
	if err != nil {
		return nil, err
	}
	data, err := l.ReadFile(blobName(d.Digest))
	if err == nil && sha256.Sum256(data) != b.SHA256 {
		err = l.changed(d.Digest)
	}
	return data, err
}

// ReadJSON decodes a document into the value that v points to.
func (l Layout) ReadJSON(d spec.Descriptor, v any) error {
	data, err := l.Read(d)
	if err != nil {
		return err
	}
	if err := Decode(data, v); err != nil {
		return Bad("%s: %v", l.Path(d.Digest), err)
	}
	return nil
}

// Copy writes the bytes of a blob to w. If they do not match its digest, it returns a BadError,
// after it has written them. If w fails, it returns a *LocalError.
func (l Layout) Copy(ctx context.Context, b cache.Blob, w io.Writer) error {
	d := Describe("", b).Digest
	f, err := l.open(blobName(d))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	r := ctxio.NewReader(ctx, io.LimitReader(f, b.Size+1))
	n, err := io.Copy(io.MultiWriter(LocalWriter{w}, sum), r)
	if err == nil && (n != b.Size || [sha256.Size]byte(sum.Sum(nil)) != b.SHA256) {
		err = l.changed(d)
	}
	return err
}

// Open opens the blob with a valid digest, unchecked.
func (l Layout) Open(d spec.Descriptor) (*os.File, error) { return l.open(blobName(d.Digest)) }

// Has reports whether the blob that d names exists with the right size.
func (l Layout) Has(d spec.Descriptor) bool {
	b, err := Blob(d, math.MaxInt64)
	if err != nil {
		return false
	}
	info, err := os.Lstat(l.Path(d.Digest))
	return err == nil && info.Mode().IsRegular() && info.Size() == b.Size
}

// Path returns the path of the blob with a valid digest.
func (l Layout) Path(d digest.Digest) string { return filepath.Join(l.Dir, blobName(d)) }

func blobName(d digest.Digest) string {
	return filepath.Join(spec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (l Layout) changed(d digest.Digest) error {
	return Bad("%s does not match the digest in its name", l.Path(d))
}

// ReadFile returns a file of the layout that is at most as large as a document.
func (l Layout) ReadFile(name string) ([]byte, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxDocument+1))
	if err == nil && len(data) > MaxDocument {
		err = Bad("%s has more than %d bytes", filepath.Join(l.Dir, name), MaxDocument)
	}
	return data, err
}

func (l Layout) open(name string) (*os.File, error) {
	if _, err := os.Stat(l.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, missingError{l.Dir}
	}
	return confined.Path{Root: l.Dir, Name: name}.Open()
}

// Make creates the directories of a layout.
func (l Layout) Make() error {
	dir, err := l.hold(blobsDir)
	dir.Close()
	return err
}

// blobsDir has the blobs, whose digests are of one kind.
var blobsDir = filepath.Join(spec.ImageBlobsDir, "sha256")

// hold opens a directory of the layout to write there, and makes it if it is missing.
func (l Layout) hold(below string) (confined.Held, error) {
	return confined.Hold(l.Top, filepath.Join(l.Dir, below))
}

// replace writes a file of the layout.
func (l Layout) replace(name string, data []byte) error {
	dir, err := l.hold(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	base := filepath.Base(name)
	return dir.Fault("replace", base, atomicfile.ReplaceDurable(dir.Path(base), data, 0o644))
}

// Remove removes a file at the top of the layout.
func (l Layout) Remove(name string) error {
	dir, err := l.hold(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Fault("remove", name, os.Remove(dir.Path(name)))
}

// Put writes the blob that fill writes.
func (l Layout) Put(mediaType string, fill func(io.Writer) error) (spec.Descriptor, error) {
	dir, err := l.hold(blobsDir)
	if err != nil {
		return spec.Descriptor{}, err
	}
	defer dir.Close()
	f, err := atomicfile.New(dir.Path("."), 0o644)
	if err != nil {
		return spec.Descriptor{}, dir.Fault("write to", ".", err)
	}
	defer f.Discard()
	to := &counter{w: f}
	sum := sha256.New()
	if err := fill(io.MultiWriter(to, sum)); err != nil {
		return spec.Descriptor{}, err
	}
	d := Describe(mediaType, cache.Blob{SHA256: [sha256.Size]byte(sum.Sum(nil)), Size: to.n})
	name := d.Digest.Encoded()
	return d, dir.Fault("replace", name, f.ReplaceDurable(dir.Path(name)))
}

// PutJSON writes a document.
func (l Layout) PutJSON(mediaType string, v any) (spec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return spec.Descriptor{}, err
	}
	d := Describe(mediaType, BlobOf(data))
	return d, l.replace(blobName(d.Digest), data)
}

// PutIndex replaces index.json.
func (l Layout) PutIndex(x spec.Index) error {
	version := spec.ImageLayout{Version: spec.ImageLayoutVersion}
	if err := l.PutFile(spec.ImageLayoutFile, version); err != nil {
		return err
	}
	return l.PutFile(spec.ImageIndexFile, x)
}

// PutFile writes v as JSON into a file at the top of the layout.
func (l Layout) PutFile(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.replace(name, append(data, '\n'))
}

// Sweep removes the blobs that index.json does not lead to, and files of killed writers.
func (l Layout) Sweep() error {
	_, x, err := l.Index()
	if err != nil {
		return err
	}
	keep := map[digest.Digest]bool{}
	if err := l.reach(x, keep); err != nil {
		return err
	}
	dir, err := l.hold(blobsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := confined.List(dir.Path("."))
	for _, e := range entries {
		if !keep[digest.NewDigestFromEncoded(digest.SHA256, e.Name())] {
			err = errors.Join(err, dir.Fault("remove", e.Name(), os.Remove(dir.Path(e.Name()))))
		}
	}
	top, e := l.hold(".")
	if e != nil {
		return errors.Join(err, e)
	}
	defer top.Close()
	return errors.Join(err, confined.Unheld(atomicfile.Clean(top.Path("."))))
}

// reach adds the blobs that an index leads to. Digests cannot form a cycle.
func (l Layout) reach(x spec.Index, keep map[digest.Digest]bool) error {
	for _, d := range x.Manifests {
		var both struct { // d is one of the two
			spec.Manifest
			Manifests []spec.Descriptor `json:"manifests"`
		}
		if err := l.ReadJSON(d, &both); err != nil {
			return err
		}
		keep[d.Digest], keep[both.Config.Digest] = true, true
		for _, layer := range both.Layers {
			keep[layer.Digest] = true
		}
		if err := l.reach(spec.Index{Manifests: both.Manifests}, keep); err != nil {
			return err
		}
	}
	return nil
}

// counter counts the bytes written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
