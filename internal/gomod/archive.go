// archive: finds go.mod and go.sum in an archive without unpacking it.

package gomod

import (
	"archive/tar"
	"bufio"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// MaxText is the size of the largest go.mod or go.sum, as in the go command.
const MaxText = 16 << 20

const (
	maxEntries = 1 << 20  // files of an archive
	maxBytes   = 16 << 30 // bytes of an unpacked archive
)

// files are the two files of a Go module.
type files struct {
	root     string // their directory
	mod, sum []byte // sum is nil if there is none
}

// finder looks for the two files among the entries of an archive.
type finder struct {
	root    string           // "" for the only directory at the top
	tops    []string         // directories at the top, at most two
	found   map[string]files // by directory: root, or those at the top
	entries int
}

// find reads the go.mod and go.sum of the module in the directory root of an archive.
func find(ctx context.Context, archive, root string) (files, error) {
	f, err := confined.Path{Name: archive}.Open()
	if err != nil {
		return files{}, err
	}
	defer f.Close()
	want := finder{root: root, found: map[string]files{}}
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); n == 4 && string(head) == "PK\x03\x04" {
		err = want.zip(ctx, f)
	} else {
		err = want.tar(ctx, f)
	}
	if ctx.Err() != nil { // it may look like a fault of the archive
		return files{}, context.Cause(ctx)
	}
	if err != nil {
		return files{}, err
	}
	return want.result()
}

func (w *finder) result() (files, error) {
	root := w.root
	if root == "" {
		if len(w.tops) != 1 {
			return files{}, &Error{What: "the archive has no single directory at its top",
				Hint: "set bundle-root-path to the directory of the Go module"}
		}
		root = w.tops[0]
	}
	got, ok := w.found[root]
	if !ok || got.mod == nil {
		hint := "set bundle-root-path to the directory of the Go module"
		if w.root != "" {
			hint = "correct bundle-root-path"
		}
		return files{}, &Error{What: "there is no " + path.Join(root, "go.mod") + " in the archive",
			Hint: hint}
	}
	got.root = root
	return got, nil
}

// add looks at one entry; read opens its contents.
func (w *finder) add(name string, mode fs.FileMode, read func() (io.ReadCloser, error)) error {
	if w.entries++; w.entries > maxEntries {
		return &Error{What: fmt.Sprintf("the archive has more than %d files", maxEntries)}
	}
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	dir, base := path.Split(clean)
	dir = path.Clean(dir)
	top, _, below := strings.Cut(clean, "/")
	if (below || mode.IsDir()) && top != "." && len(w.tops) < 2 &&
		(len(w.tops) == 0 || w.tops[0] != top) {
		w.tops = append(w.tops, top)
	}
	here := dir == w.root
	if w.root == "" {
		here = dir == top && below && w.tops[0] == top
	}
	if !here || (base != "go.mod" && base != "go.sum") || !mode.IsRegular() {
		return nil
	}
	r, err := read()
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return err
	}
	if len(data) > MaxText {
		return &Error{What: fmt.Sprintf("%s is larger than %d MiB", clean, MaxText>>20)}
	}
	got := w.found[dir]
	if base == "go.mod" {
		got.mod = data
	} else {
		got.sum = data
	}
	w.found[dir] = got
	return nil
}

func (w *finder) tar(ctx context.Context, f io.Reader) error {
	r, err := decompress(ctxio.NewReader(ctx, f))
	if err != nil {
		return notArchive(err)
	}
	defer r.Close()
	limited := &io.LimitedReader{R: ctxio.NewReader(ctx, r), N: maxBytes}
	for t := tar.NewReader(limited); ; {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case limited.N <= 0:
			return &Error{What: fmt.Sprintf("the archive unpacks to more than %d GiB", maxBytes>>30)}
		case err != nil:
			return notArchive(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive begins with one
			continue
		}
		if err := w.add(h.Name, h.FileInfo().Mode(),
			func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
			return err
		}
	}
}

func (w *finder) zip(ctx context.Context, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := OpenZip(ctx, f, info.Size())
	if err != nil {
		return notArchive(err)
	}
	for _, entry := range z.File {
		if err := w.add(entry.Name, entry.Mode(), entry.Open); err != nil {
			return err
		}
	}
	return nil
}

func notArchive(err error) error {
	return &Error{What: "it is not a readable archive: " + err.Error()}
}

// decompress undoes gzip, xz, zstd and bzip2, which it detects by the first bytes, as tar does.
func decompress(f io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(f, 1<<16)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	begins := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case begins("\x1f\x8b"):
		return gzip.NewReader(in)
	case begins("\xfd7zXZ\x00"):
		return io.NopCloser(newXZ(in)), nil
	case begins("\x28\xb5\x2f\xfd"):
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return r.IOReadCloser(), nil
	case begins("BZh"):
		return io.NopCloser(bzip2.NewReader(in)), nil
	}
	return io.NopCloser(in), nil
}
