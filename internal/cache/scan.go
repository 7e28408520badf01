// scan: lists and hashes the files of an output directory.

package cache

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/ctxio"
)

// ScanDir returns the files below dir, sorted by name, and their content ID. Directories matter
// only by the files in them. Anything except regular files, directories and relative links that
// stay inside is an error.
func ScanDir(dir string) ([]File, ContentID, error) {
	return scanDir(dir, func(path string) ([32]byte, error) {
		return hashFile(context.Background(), path) // what was just made has bounds
	})
}

func scanDir(dir string, hash func(path string) ([32]byte, error)) ([]File, ContentID, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f := File{Name: filepath.ToSlash(rel)}
		switch {
		case d.Type() == fs.ModeSymlink:
			f.Link, err = os.Readlink(path)
			if err == nil && !localLink(f.Name, f.Link) {
				err = fmt.Errorf("%s is a symbolic link that leaves the outputs (%s)", path, f.Link)
			}
		case d.Type().IsRegular():
			err = f.scan(path, d, hash)
		default:
			err = fmt.Errorf("%s is not a regular file (%s)", path, d.Type())
		}
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, ContentID{}, fmt.Errorf("scan %s: %w", dir, err)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, ContentOf(files), nil
}

func (f *File) scan(path string, d fs.DirEntry, hash func(string) ([32]byte, error)) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	f.Size = info.Size()
	f.Mode = 0o644
	if info.Mode()&0o100 != 0 {
		f.Mode = 0o755
	}
	f.SHA256, err = hash(path)
	return err
}

// hashFile ends with ctx: a file with holes may be longer than anybody waits for.
func hashFile(ctx context.Context, path string) (sum [32]byte, err error) {
	f, err := openRegular(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, ctxio.NewReader(ctx, f)); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}
