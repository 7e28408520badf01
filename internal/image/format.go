// Tells the format of an image file by its header, for programs that open it by themselves.

package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// The formats of image files.
const (
	Raw   = "raw"
	LZ4   = "lz4" // a raw image, compressed
	Qcow2 = "qcow2"
	VMDK  = "vmdk"
)

// Format is the format of an image file.
type Format struct {
	Name string
	Size int64 // of the disk, in bytes; 0 if it is compressed
}

// Identify tells the format of an image file of size bytes from its header, and from its name only
// that it is compressed. What Open refuses is an *UnsupportedError here, above all an image that
// names other files; that goes for what only other readers heed, too.
func Identify(f io.ReaderAt, name string, size int64) (Format, error) {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil {
		return Format{}, fmt.Errorf("read header: %w", torn(err))
	}
	switch {
	case string(head) == lz4Magic, strings.HasSuffix(name, ".lz4"):
		return Format{Name: LZ4}, nil
	case string(head) == qcow2Magic:
		h, err := readQcow2Header(f)
		return Format{Name: Qcow2, Size: int64(h.Size)}, err
	case string(head) == vmdkMagic:
		h, err := readVMDKHeader(f, size)
		return Format{Name: VMDK, Size: int64(h.capacity) * sector}, err
	}
	return Format{Name: Raw, Size: size}, nil
}

// Require fails unless the image file at path has the format, for a program that is told so and
// would follow what the file names. Errors are as those of Identify.
func Require(path, format string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", path, err)
	}
	found, err := Identify(f, path, info.Size())
	if err == nil && found.Name != format {
		err = fmt.Errorf("its header is that of a %s image, not of a %s image", found.Name, format)
	}
	if err != nil {
		return fmt.Errorf("image %s: %w", path, err)
	}
	return nil
}
