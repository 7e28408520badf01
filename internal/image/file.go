// Opens image files: raw ones as they are, compressed ones by way of a temporary file.

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"buildsys/internal/errkind"
)

// File is an image that can be read at any place.
type File struct {
	*os.File
	Size       int64  // of the disk in bytes
	PackedSize int64  // in bytes, as it lies in the file
	Member     string // name within the archive it was in; empty for a file of its own
}

// UnsupportedError says that an image may be good but is of a kind that cannot be read.
type UnsupportedError struct{ What string }

// Error says what to do instead.
func (e *UnsupportedError) Error() string {
	return e.What + " cannot be read: convert the image with qemu-img convert -O raw"
}

// ErrorKind returns errkind.Usage.
func (*UnsupportedError) ErrorKind() errkind.Kind { return errkind.Usage }

const lz4Magic = "\x04\x22\x4d\x18"

// Open opens a disk image whatever its name: raw, compressed by lz4, qcow2 or stream-optimized
// VMDK. All but raw ones are expanded into a temporary file in the directory dir (the default place
// when empty), which has no name any more when Open returns. A *BadImageError says that the file is
// damaged, an *UnsupportedError that its kind cannot be read.
func Open(ctx context.Context, path, dir string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
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
	return expand(ctx, expander, io.NewSectionReader(f, 0, info.Size()), path, dir)
}

// An expandFunc writes the disk in src, of size bytes, to an empty file and returns its size in
// bytes.
type expandFunc func(ctx context.Context, dst *os.File, src io.ReaderAt, size int64) (int64, error)

func expandLZ4(ctx context.Context, dst *os.File, src io.ReaderAt, size int64) (int64, error) {
	return ExpandLZ4(ctx, dst, io.NewSectionReader(src, 0, size))
}

// expanderOf recognises a format by its first bytes, a torn lz4 file by its name as well. It is nil
// for raw images.
func expanderOf(f io.ReaderAt, name string) (expandFunc, error) {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case string(head) == lz4Magic, strings.HasSuffix(name, ".lz4"):
		return expandLZ4, nil
	case string(head) == qcow2Magic:
		return expandQcow2, nil
	case string(head) == vmdkMagic:
		return expandVMDK, nil
	}
	return nil, nil
}

// expand unpacks an image into a file without a name.
func expand(ctx context.Context, expander expandFunc, packed *io.SectionReader, name,
	dir string) (*File, error) {
	raw, err := os.CreateTemp(dir, "buildsys-image-*.img")
	if err != nil {
		return nil, fmt.Errorf("expand image %s: %w", name, err)
	}
	size := int64(0)
	// now, so that nothing is left behind however this ends
	if err = os.Remove(raw.Name()); err == nil {
		size, err = expander(ctx, raw, packed, packed.Size())
	}
	if err == nil {
		return &File{File: raw, Size: size, PackedSize: packed.Size()}, nil
	}
	raw.Close() // the error above says more
	_, system := errors.AsType[*fs.PathError](err)
	_, unsupported := errors.AsType[*UnsupportedError](err)
	if ctx.Err() == nil && !system && !unsupported { // then it is the data
		return nil, &BadImageError{name, []error{err}}
	}
	return nil, fmt.Errorf("expand image %s: %w", name, err)
}

// CheckFile checks a finished disk image in a file that Open can open, and with signing, which may
// be nil, an OS disk for the signatures of Secure Boot. dir is for its temporary file.
func CheckFile(ctx context.Context, path, dir string, l Layout, disk string,
	signing *Signing) error {
	f, err := Open(ctx, path, dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkDisk(ctx, f, path, l, disk, signing)
}

// checkDisk checks a disk that is open. name is what an error calls the image.
func checkDisk(ctx context.Context, f *File, name string, l Layout, disk string,
	signing *Signing) error {
	err := Check(ctx, f, f.Size, l, disk)
	if err == nil && signing != nil && disk == OSDisk {
		err = signing.check(f, l)
	}
	if bad, ok := errors.AsType[*BadImageError](err); ok {
		bad.Image = name
	}
	return err
}
