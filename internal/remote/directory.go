// directory: a remote cache in a directory that machines share.

package remote

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

// directory keeps manifests/<tag> and blobs/sha256/<hex>. Each file is written under another name
// and renamed, so that any number of machines may write at once. It is not an OCI layout, whose
// single index.json the writers would overwrite.
type directory struct {
	dir string
	t   *target
}

func (d *directory) manifestPath(tag string) string {
	return filepath.Join(d.dir, "manifests", tag)
}
func (d *directory) blobPath(b cache.Blob) string {
	return filepath.Join(d.dir, "blobs", "sha256", hex.EncodeToString(b.SHA256[:]))
}

// failure distinguishes a miss from a directory that cannot be used.
func (d *directory) failure(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return finalError{err}
}

func (d *directory) open(path string) (*os.File, error) {
	// Opening must not wait for the writer of a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, d.failure(err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, oci.Bad("%s is not a file", path)
	}
	return f, nil
}

func (d *directory) manifest(_ context.Context, tag string) ([]byte, error) {
	f, err := d.open(d.manifestPath(tag))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, oci.MaxDocument+1))
	if err != nil {
		return nil, d.failure(err)
	}
	d.t.down.Add(int64(len(data)))
	return data, nil
}

func (d *directory) hasManifest(_ context.Context, tag string) (bool, error) {
	return d.has(d.manifestPath(tag))
}

func (d *directory) has(path string) (bool, error) {
	_, err := os.Stat(path)
	if err == nil {
		return true, nil
	}
	if err = d.failure(err); errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return false, err
}

func (d *directory) blob(_ context.Context, b cache.Blob) (io.ReadCloser, error) {
	f, err := d.open(d.blobPath(b))
	if err != nil {
		return nil, err
	}
	return &countedFile{f, d.t}, nil
}

// countedFile counts the bytes read.
type countedFile struct {
	*os.File
	t *target
}

func (f *countedFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.t.down.Add(int64(n))
	return n, err
}

// WriteTo replaces that of os.File, which would not count.
func (f *countedFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{f})
}

func (d *directory) hasBlob(_ context.Context, b cache.Blob) (bool, error) {
	return d.has(d.blobPath(b))
}

func (d *directory) putManifest(_ context.Context, tag string, data []byte) error {
	return d.write(d.manifestPath(tag), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (d *directory) putBlob(ctx context.Context, b cache.Blob, data io.ReadSeeker) error {
	return d.write(d.blobPath(b), func(w io.Writer) error {
		check := newVerifier(b)
		_, err := io.Copy(io.MultiWriter(w, check), ctxio.NewReader(ctx, data))
		if err != nil {
			return err
		}
		if err := check.end(); err != nil { // the local file is damaged; the store will notice
			return oci.Local(err)
		}
		return nil
	})
}

// write creates a file as a whole, readable for everyone who may read the directory.
func (d *directory) write(path string, fill func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return finalError{err}
	}
	f, err := atomicfile.New(d.dir, 0o644) // not beside path: there, cleaning would list many files
	if err != nil {
		return finalError{err}
	}
	defer f.Discard()
	if err = fill(&countingWriter{f, d.t}); err == nil {
		err = f.ReplaceDurable(path)
	}
	if err != nil && !errkind.Is[*oci.LocalError](err) {
		return finalError{err}
	}
	return err
}

type countingWriter struct {
	w io.Writer
	t *target
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.t.up.Add(int64(n))
	return n, err
}
