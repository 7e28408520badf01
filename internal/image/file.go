// Opens image files: raw ones directly, compressed ones through a temporary file.

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// File is an image that can be read at any offset.
type File struct {
	*os.File
	Size       int64  // of the disk, in bytes
	PackedSize int64  // of the file as stored, in bytes
	Member     string // name within the archive it was in; empty for a separate file
}

// UnsupportedError reports that an image may be good but is of an unsupported kind.
type UnsupportedError struct{ What string }

// Error returns what is wrong, and how to convert the image.
func (e *UnsupportedError) Error() string {
	return e.What + " cannot be read: convert the image with qemu-img convert -O raw"
}

// ErrorKind returns errkind.Usage.
func (*UnsupportedError) ErrorKind() errkind.Kind { return errkind.Usage }

const lz4Magic = "\x04\x22\x4d\x18"

// Open opens a disk image, whatever its name: raw, compressed by lz4, qcow2 or stream-optimized
// VMDK. It expands all but raw images into a temporary file in dir (the default place if empty),
// which has no name any more when Open returns. A *BadImageError means that the file is damaged, an
// *UnsupportedError that its kind is not supported.
func Open(ctx context.Context, path, dir string) (*File, error) {
	some := anyDisk
	return open(ctx, path, dir, &some)
}

// open is Open within limits.
func open(ctx context.Context, path, dir string, l *limits) (*File, error) {
	f, err := confined.Path{Name: path}.Open()
	if err != nil {
		return nil, err
	}
	return openFile(ctx, f, dir, l)
}

// openFile is open for an open file, which it closes or returns.
func openFile(ctx context.Context, f *os.File, dir string, l *limits) (*File, error) {
	path := f.Name()
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read image: %w", err), f.Close())
	}
	expander, err := expanderOf(f, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read image: %w", err), f.Close())
	}
	if expander == nil {
		return &File{File: f, Size: info.Size(), PackedSize: info.Size()}, nil
	}
	defer f.Close()
	packed := io.NewSectionReader(f, 0, info.Size())
	return expand(expansion{ctx: ctx, limits: l}, expander, packed, path, dir)
}

// An expandFunc writes the disk in src, which has packed bytes, to an empty file and returns its
// size in bytes.
type expandFunc func(x *expansion, src io.ReaderAt, packed int64) (int64, error)

func expandLZ4(x *expansion, src io.ReaderAt, packed int64) (int64, error) {
	return expandFrame(x, io.NewSectionReader(src, 0, packed))
}

// expanderOf recognises a format by its first bytes, and a truncated lz4 file by its name as well.
// It returns nil for raw images.
func expanderOf(f io.ReaderAt, name string) (expandFunc, error) {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch { // as Identify
	case string(head) == lz4Magic, strings.HasSuffix(name, ".lz4"):
		return expandLZ4, nil
	case string(head) == qcow2Magic:
		return expandQcow2, nil
	case string(head) == vmdkMagic:
		return expandVMDK, nil
	}
	return nil, nil
}

// expand unpacks an image into a file without a name, which x gets.
func expand(x expansion, expander expandFunc, packed *io.SectionReader, name,
	dir string) (*File, error) {
	raw, err := os.CreateTemp(dir, "buildsys-image-*.img")
	if err != nil {
		return nil, fmt.Errorf("expand image %s: %w", name, err)
	}
	size := int64(0)
	// It loses its name now, so that nothing is left behind however this ends.
	if err = os.Remove(raw.Name()); err == nil {
		x.dst = raw
		size, err = expander(&x, packed, packed.Size())
	}
	if err == nil {
		return &File{File: raw, Size: size, PackedSize: packed.Size()}, nil
	}
	raw.Close() // the error above says more
	_, system := errors.AsType[*fs.PathError](err)
	_, unsupported := errors.AsType[*UnsupportedError](err)
	if x.ctx.Err() == nil && !system && !unsupported { // otherwise the data is at fault
		return nil, &BadImageError{name, []error{err}}
	}
	return nil, fmt.Errorf("expand image %s: %w", name, err)
}

// CheckFile checks a finished disk image in a file that Open can open. If signing is not nil, it
// also checks the Secure Boot signatures of an OS disk. dir is for its temporary file.
func CheckFile(ctx context.Context, path, dir string, l Layout, disk string,
	signing *Signing) error {
	f, err := open(ctx, path, dir, disksOf(l, disk))
	if err != nil {
		return err
	}
	defer f.Close()
	return checkDisk(ctx, f, path, l, disk, signing)
}

// checkDisk checks an open disk. name is the image's name in errors.
func checkDisk(ctx context.Context, f *File, name string, l Layout, disk string,
	signing *Signing) error {
	img := newMeter(ctx, f, f.Size)
	err := Check(ctx, img, f.Size, l, disk)
	if err == nil && signing != nil && disk == OSDisk {
		err = signing.check(img, l)
	}
	if ctx.Err() != nil { // it may look like a fault of the image
		return context.Cause(ctx)
	}
	if bad, ok := errors.AsType[*BadImageError](err); ok {
		bad.Image = name
	}
	return err
}
