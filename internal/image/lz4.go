// Expands compressed raw images and keeps their holes: an image of several GiB has only a few
// hundred MiB of data.

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pierrec/lz4/v4"
)

// holeSize is the length, in bytes, of a run of zeros that becomes a hole.
const holeSize = 64 << 10

// ExpandLZ4 writes the contents of an lz4 frame to an empty file, without its runs of zeros, and
// returns the number of bytes. If ctx ends, it stops and returns the cause.
func ExpandLZ4(ctx context.Context, dst *os.File, src io.Reader) (int64, error) {
	some := anyDisk
	return expandFrame(&expansion{ctx, dst, &some}, src)
}

func expandFrame(x *expansion, src io.Reader) (int64, error) {
	r, dst := lz4.NewReader(reader{x.ctx, src}), x.dst
	buf, size := make([]byte, holeSize), int64(0)
	for {
		n, err := fill(r, buf)
		if x.ctx.Err() != nil {
			return size, context.Cause(x.ctx)
		}
		if err := errors.Join(x.fits(size+int64(n)), x.write(buf[:n], size)); err != nil {
			return size, fmt.Errorf("expand to %s: %w", dst.Name(), err)
		}
		size += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return size, fmt.Errorf("expand to %s: after %d bytes: %w", dst.Name(), size, err)
		}
	}
	if err := dst.Truncate(size); err != nil { // makes a hole at the end part of the file
		return size, fmt.Errorf("expand to %s: %w", dst.Name(), err)
	}
	return size, nil
}

// fill is io.ReadFull with the reader's own error: an image need not end with a full buffer, but a
// truncated frame is an error.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
