// Expands compressed raw images and keeps their holes: of an image of several GiB only some hundred MiB are data.

package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pierrec/lz4/v4"
)

// holeSize is the run of zero bytes, in bytes, that becomes a hole.
const holeSize = 64 << 10

// ExpandLZ4 writes the contents of an lz4 frame to an empty file, without its runs of zeros, and returns the number of
// bytes. When ctx ends it stops with the cause.
func ExpandLZ4(ctx context.Context, dst *os.File, src io.Reader) (int64, error) {
	r := lz4.NewReader(src)
	buf, zero := make([]byte, holeSize), make([]byte, holeSize)
	size := int64(0)
	for {
		if ctx.Err() != nil {
			return size, context.Cause(ctx)
		}
		n, err := fill(r, buf)
		if n > 0 && !bytes.Equal(buf[:n], zero[:n]) {
			if _, err := dst.WriteAt(buf[:n], size); err != nil {
				return size, fmt.Errorf("expand to %s: %w", dst.Name(), err)
			}
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

// fill is io.ReadFull with the reader's own error: an image need not end with a full buffer, but a torn frame is an error.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// CheckFile checks a finished disk image in a file, raw or with the ending .lz4. A compressed one is expanded into a
// temporary file in the directory dir (the default place when empty), which is removed again.
func CheckFile(ctx context.Context, path, dir string, l Layout, disk string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check image: %w", err)
	}
	defer f.Close()
	raw := f
	if strings.HasSuffix(path, ".lz4") {
		raw, err = os.CreateTemp(dir, "buildsys-check-*.img")
		if err != nil {
			return fmt.Errorf("check image %s: %w", path, err)
		}
		defer func() { err = errors.Join(err, raw.Close(), os.Remove(raw.Name())) }()
		if _, err := ExpandLZ4(ctx, raw, f); err != nil {
			return fmt.Errorf("check image %s: %w", path, err)
		}
	}
	info, err := raw.Stat()
	if err != nil {
		return fmt.Errorf("check image %s: %w", path, err)
	}
	if err := Check(ctx, raw, info.Size(), l, disk); err != nil {
		return fmt.Errorf("image %s is not as planned: %w", path, err)
	}
	return nil
}
