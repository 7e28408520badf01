// modulezip: the sum of a module's zip file, within the limits of the go command.

package fetch

import (
	"archive/zip"
	"context"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"buildsys/internal/archive"
	"buildsys/internal/confined"
)

// hashZip returns the sum of a module's zip file as go.sum has it, until ctx ends. It refuses what
// the go command does: files with together more than 500 MiB, packed or not.
func hashZip(ctx context.Context, path string) (string, error) {
	f, err := confined.Path{Name: path}.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() > modzip.MaxZipFile {
		return "", fmt.Errorf("has %d bytes; the go command takes modules of at most %d", info.Size(),
			modzip.MaxZipFile)
	}
	z, err := archive.OpenZip(ctx, f, info.Size())
	if err != nil {
		return "", err
	}
	var names []string
	files := map[string]*zip.File{}
	for _, file := range z.File {
		names = append(names, file.Name)
		files[file.Name] = file
	}
	left := int64(modzip.MaxZipFile)
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		r, err := files[name].Open()
		if err != nil {
			return nil, err
		}
		return &unpacked{ctx, r, &left}, nil
	})
}

// unpacked is a file of a module, which ends with ctx and when all files have too many bytes.
type unpacked struct {
	ctx context.Context
	io.ReadCloser
	left *int64
}

// Read reads from the file.
func (u *unpacked) Read(b []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	n, err := u.ReadCloser.Read(b)
	if *u.left -= int64(n); *u.left < 0 {
		return 0, fmt.Errorf("its files have more bytes than the %d that the go command takes",
			modzip.MaxZipFile)
	}
	return n, err
}
