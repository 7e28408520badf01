// blobs: the layers of an image that Pack makes.

package kit

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/confined"
)

// parts returns the directories of a repository that become layers: those of the packages, sorted,
// then the metadata.
func parts(dir string) ([]string, error) {
	entries, err := confined.List(filepath.Join(dir, "Packages"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries { // sorted by name
		out = append(out, "Packages/"+e.Name())
	}
	return append(out, "repodata"), nil
}

// layer writes the layer of one directory.
func (p *packer) layer(dir, part string) (spec.Descriptor, error) {
	return p.layout.Put(spec.MediaTypeImageLayer, func(w io.Writer) error {
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
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: epoch, Typeflag: tar.TypeReg,
		Format: tar.FormatUSTAR}
	if len(name) > 100 { // may not fit into USTAR
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
