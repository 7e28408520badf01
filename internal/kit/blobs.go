// blobs: the parts of an image that Pack makes, written under their digests.

package kit

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
)

// parts are the directories of a repository that become layers, sorted: those of the packages, then the metadata.
func parts(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "Packages"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries { // sorted by name
		out = append(out, "Packages/"+e.Name())
	}
	return append(out, "repodata"), nil
}

// layer makes the layer of one directory.
func (p *packer) layer(dir, part string) (descriptor, error) {
	return p.put(layerType, func(w io.Writer) error {
		archive := tar.NewWriter(w)
		root := os.DirFS(dir)
		err := fs.WalkDir(root, part, func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return addMember(archive, root, name, e)
		})
		return errors.Join(err, archive.Close())
	})
}

func addMember(archive *tar.Writer, root fs.FS, name string, e fs.DirEntry) error {
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: epoch, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if len(name) > 100 { // does not always fit into USTAR
		h.Format = tar.FormatPAX
	}
	if e.IsDir() {
		h.Name, h.Mode, h.Typeflag = name+"/", 0o755, tar.TypeDir
		return archive.WriteHeader(h)
	}
	if !e.Type().IsRegular() {
		return fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if h.Size = info.Size(); h.Size >= 8<<30 {
		h.Format = tar.FormatPAX
	}
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

// put writes a blob.
func (p *packer) put(mediaType string, fill func(io.Writer) error) (descriptor, error) {
	f, err := atomicfile.New(p.dir, 0o644)
	if err != nil {
		return descriptor{}, err
	}
	defer f.Discard()
	sum := sha256.New()
	count := &counter{}
	if err := fill(io.MultiWriter(f, sum, count)); err != nil {
		return descriptor{}, err
	}
	b := cache.Blob{SHA256: [32]byte(sum.Sum(nil)), Size: count.n}
	d := descriptor{MediaType: mediaType, Digest: digestOf(b), Size: b.Size}
	return d, f.ReplaceDurable(filepath.Join(p.dir, blobName(b)))
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (p *packer) putJSON(mediaType string, v any) (descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return p.put(mediaType, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}
