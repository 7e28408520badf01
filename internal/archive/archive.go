// Package archive finds a few files in an archive of sources without unpacking it. Archives are
// data of strangers: what they hold and claim is bounded.
package archive

import (
	"archive/tar"
	"bufio"
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
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
)

const (
	maxEntries = 1 << 20  // files of an archive
	maxBytes   = 16 << 30 // bytes of an unpacked archive
)

// Error is the reason why what an archive needs cannot be determined: the archive is not what the
// manifest declares.
type Error struct {
	What string // "no go.mod in foo-1.0"
	Hint string // what to do; may be empty
}

// Error returns the reason and what to do.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + "; " + e.Hint
}

// ErrorKind returns errkind.Usage.
func (*Error) ErrorKind() errkind.Kind { return errkind.Usage }

// Wanted are files that lie in one directory of an archive.
type Wanted struct {
	Root  string   // the directory; "" for the only one at the top
	Names []string // the first must be there
	Max   int64    // bytes of each
	Of    string   // whose directory it is, for messages: "the Go module"
}

// Found are the files, by name, and their directory.
type Found struct {
	Root  string
	Files map[string][]byte
}

// finder looks for the files among the entries of an archive.
type finder struct {
	Wanted
	tops  []string                     // directories at the top, at most two
	found map[string]map[string][]byte // by directory, Root or those at the top, and by name
}

// Find reads the wanted files of an archive: a tar, also compressed, or a zip file. The error is an
// *Error, one from reading the file, or ctx's.
func Find(ctx context.Context, archive string, wanted Wanted) (Found, error) {
	want := finder{Wanted: wanted, found: map[string]map[string][]byte{}}
	if err := Walk(ctx, archive, want.add); err != nil {
		return Found{}, err
	}
	return want.result()
}

// Entry is a file or directory of an archive.
type Entry struct {
	Name string // clean; what leads out of the archive begins with ".." or "/"
	Mode fs.FileMode
	open func() (io.ReadCloser, error)
}

// Read returns what a file has, if that is at most max bytes, and otherwise an *Error.
func (e Entry) Read(max int64) ([]byte, error) {
	r, err := e.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, &Error{What: fmt.Sprintf("%s is larger than %d MiB", e.Name, max>>20)}
	}
	return data, nil
}

// Head returns the first bytes that a file has, at most max.
func (e Entry) Head(max int64) (string, error) {
	r, err := e.open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, max))
	return string(data), err
}

// Walk calls visit with each entry of an archive, in its order, until that returns an error. The
// error is that one, an *Error, one from reading the file, or ctx's.
func Walk(ctx context.Context, archive string, visit func(Entry) error) error {
	f, err := confined.Path{Name: archive}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	w := walker{visit: visit}
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); n == 4 && string(head) == "PK\x03\x04" {
		err = w.zip(ctx, f)
	} else {
		err = w.tar(ctx, f)
	}
	if ctx.Err() != nil { // it may look like a fault of the archive
		return context.Cause(ctx)
	}
	return err
}

// Unpack copies what is packed in a file by gzip, xz, zstd or bzip2 to w; other files as they are.
func Unpack(ctx context.Context, file string, w io.Writer) error {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := Decompress(ctxio.NewReader(ctx, f))
	if err != nil {
		return notArchive(err)
	}
	defer r.Close()
	n, err := io.Copy(w, io.LimitReader(ctxio.NewReader(ctx, r), maxBytes+1))
	if n > maxBytes {
		return errTooMuch
	}
	return err
}

var errTooMuch = &Error{What: fmt.Sprintf("the archive unpacks to more than %d GiB", maxBytes>>30)}

func (w *finder) result() (Found, error) {
	root, hint := w.Root, "set bundle-root-path to the directory of "+w.Of
	if root == "" {
		if len(w.tops) != 1 {
			return Found{}, &Error{What: "the archive has no single directory at its top", Hint: hint}
		}
		root = w.tops[0]
	} else {
		hint = "correct bundle-root-path"
	}
	got := w.found[root]
	if _, ok := got[w.Names[0]]; !ok {
		return Found{}, &Error{What: "there is no " + path.Join(root, w.Names[0]) + " in the archive",
			Hint: hint}
	}
	return Found{root, got}, nil
}

// add looks at one entry.
func (w *finder) add(e Entry) error {
	dir, base := path.Split(e.Name)
	dir = path.Clean(dir)
	top, _, below := strings.Cut(e.Name, "/")
	if (below || e.Mode.IsDir()) && top != "." && len(w.tops) < 2 &&
		(len(w.tops) == 0 || w.tops[0] != top) {
		w.tops = append(w.tops, top)
	}
	here := dir == w.Root
	if w.Root == "" {
		here = dir == top && below && w.tops[0] == top
	}
	if !here || !slices.Contains(w.Names, base) || !e.Mode.IsRegular() {
		return nil
	}
	data, err := e.Read(w.Max)
	if err != nil {
		return err
	}
	if w.found[dir] == nil {
		w.found[dir] = map[string][]byte{}
	}
	w.found[dir][base] = data
	return nil
}

// walker goes through the entries of an archive.
type walker struct {
	visit   func(Entry) error
	entries int
}

func (w *walker) add(name string, mode fs.FileMode, open func() (io.ReadCloser, error)) error {
	if w.entries++; w.entries > maxEntries {
		return &Error{What: fmt.Sprintf("the archive has more than %d files", maxEntries)}
	}
	return w.visit(Entry{path.Clean(strings.TrimPrefix(name, "./")), mode, open})
}

func (w *walker) tar(ctx context.Context, f io.Reader) error {
	r, err := Decompress(ctxio.NewReader(ctx, f))
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
			return errTooMuch
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

func (w *walker) zip(ctx context.Context, f *os.File) error {
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

// Decompress undoes gzip, xz, zstd and bzip2, which it detects by the first bytes, as tar does.
func Decompress(f io.Reader) (io.ReadCloser, error) {
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
