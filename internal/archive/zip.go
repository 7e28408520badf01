// zip: opens zip files whose directory and contents are bounded.

package archive

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

const (
	// maxDirectory bounds the directory of a zip file, in bytes: archive/zip reads all of it, and
	// takes up to eight times its size. It is enough for 300,000 files.
	maxDirectory = 32 << 20
	// maxZip bounds the size of a zip file. archive/zip takes a quarter of it if the directory
	// claims as many files as would fit.
	maxZip = 1 << 30
)

// OpenZip opens a zip file of size bytes, and reads its directory. Everything that is read of it
// ends with ctx.
func OpenZip(ctx context.Context, f io.ReaderAt, size int64) (*zip.Reader, error) {
	if size > maxZip {
		return nil, fmt.Errorf("the zip file has %d bytes, more than %d", size, maxZip)
	}
	r := &zipFile{ctx: ctx, f: f}
	r.left.Store(maxDirectory)
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	r.opened.Store(true)
	return z, nil
}

// zipFile is a zip file of which, until it is opened, only so many bytes are read.
type zipFile struct {
	ctx    context.Context
	f      io.ReaderAt
	left   atomic.Int64
	opened atomic.Bool
}

// ReadAt reads from the file.
func (z *zipFile) ReadAt(b []byte, off int64) (int, error) {
	if z.ctx.Err() != nil {
		return 0, context.Cause(z.ctx)
	}
	if !z.opened.Load() && z.left.Add(-int64(len(b))) < 0 {
		return 0, fmt.Errorf("the directory of the zip file has more than %d MiB: it lists too many "+
			"files", maxDirectory>>20)
	}
	return z.f.ReadAt(b, off)
}
