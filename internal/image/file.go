// Opens image files: raw ones as they are, compressed ones by way of a temporary file.

package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// File is an image that can be read at any place. Size is that of the disk in bytes.
type File struct {
	*os.File
	Size       int64
	PackedSize int64 // of the file on disk as it was opened
}

// FormatError says that a file is an image of a format that cannot be read yet.
type FormatError struct{ File, Format string }

// Error says what to do instead.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s is a %s file, which is not supported yet: convert it with qemu-img convert -O raw", e.File, e.Format)
}

const lz4Magic = 0x184d2204

// Open opens a raw disk image, or one compressed by lz4 under whatever name. The latter is expanded into a temporary file in
// the directory dir (the default place when empty), which has no name any more when Open returns. A *BadImageError says
// that the compressed data is damaged, a *FormatError that the image is of another format.
func Open(ctx context.Context, path, dir string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, errors.Join(fmt.Errorf("read image: %w", err), f.Close())
	}
	if format := foreignFormat(head[:n]); format != "" {
		return nil, errors.Join(&FormatError{path, format}, f.Close())
	}
	packed, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read image: %w", err), f.Close())
	}
	if binary.LittleEndian.Uint32(head) != lz4Magic && !strings.HasSuffix(path, ".lz4") {
		return &File{f, packed, packed}, nil
	}
	defer f.Close()
	raw, size, err := expand(ctx, f, dir)
	if err != nil {
		return nil, err
	}
	return &File{raw, size, packed}, nil
}

// expand unpacks a compressed image into a file without a name.
func expand(ctx context.Context, packed *os.File, dir string) (raw *os.File, size int64, err error) {
	raw, err = os.CreateTemp(dir, "buildsys-image-*.img")
	if err != nil {
		return nil, 0, fmt.Errorf("expand image %s: %w", packed.Name(), err)
	}
	if err = os.Remove(raw.Name()); err == nil { // now, so that nothing is left behind however this ends
		size, err = ExpandLZ4(ctx, raw, packed)
	}
	if err == nil {
		return raw, size, nil
	}
	raw.Close() //nolint:errcheck // the error above says more
	_, system := errors.AsType[*fs.PathError](err)
	if ctx.Err() == nil && !system { // then it is the data
		return nil, 0, &BadImageError{packed.Name(), []error{err}}
	}
	return nil, 0, fmt.Errorf("expand image %s: %w", packed.Name(), err)
}

// foreignFormat recognises the formats of other image files by their first bytes.
func foreignFormat(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return "qcow2"
	case bytes.HasPrefix(head, []byte("KDMV")):
		return "vmdk"
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return "tar (OVA)"
	}
	return ""
}

// CheckFile checks a finished disk image in a file that Open can open. dir is for its temporary file.
func CheckFile(ctx context.Context, path, dir string, l Layout, disk string) error {
	f, err := Open(ctx, path, dir)
	if err != nil {
		return err
	}
	defer f.Close()
	err = Check(ctx, f, f.Size, l, disk)
	if bad, ok := errors.AsType[*BadImageError](err); ok {
		bad.Image = path
	}
	return err
}
