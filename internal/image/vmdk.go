// Expands stream-optimized VMDK images, as used in OVAs, into raw ones (VMware, "Virtual Disk
// Format 5.0").

package image

import (
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	vmdkMagic      = "KDMV"
	vmdkStreamBits = 1<<16 | 1<<17 // compressed grains with markers
	maxGrain       = 16 << 20      // bytes
	vmdkEnd        = 0             // marker types without disk data
	vmdkLastMarker = 3
)

// expandVMDK writes the disk in a VMDK file of size bytes to an empty file, without zeros, and
// returns its size. It reads the file from front to back by its markers, so it does not need the
// tables.
func expandVMDK(ctx context.Context, dst *os.File, src io.ReaderAt, size int64) (int64, error) {
	head := make([]byte, sector)
	if _, err := src.ReadAt(head, 0); err != nil {
		return 0, fmt.Errorf("read VMDK header: %w", err)
	}
	le := binary.LittleEndian
	flags, capacity := le.Uint32(head[8:]), le.Uint64(head[12:])
	grain, start := le.Uint64(head[20:]), le.Uint64(head[64:])
	switch {
	case flags&vmdkStreamBits != vmdkStreamBits:
		return 0, &UnsupportedError{"a VMDK file that is not streamOptimized"}
	case capacity > maxDiskBytes/sector || grain == 0 || grain > maxGrain/sector ||
		start > uint64(size/sector):
		return 0, errors.New("the VMDK header is damaged")
	}
	disk := int64(capacity) * sector
	data := make([]byte, grain*sector)
	for at := int64(start) * sector; ; {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		marker := make([]byte, 16)
		if _, err := src.ReadAt(marker, at); err != nil {
			return 0, fmt.Errorf("read VMDK marker at byte %d: %w", at, torn(err))
		}
		value, length, kind := le.Uint64(marker), int64(le.Uint32(marker[8:])), le.Uint32(marker[12:])
		if length == 0 { // metadata of value sectors
			if kind == vmdkEnd {
				return disk, dst.Truncate(disk)
			}
			if kind > vmdkLastMarker || value > uint64(size/sector) {
				return 0, fmt.Errorf("VMDK marker at byte %d is damaged", at)
			}
			at += sector + int64(value)*sector
			continue
		}
		if value >= capacity || length > 2*maxGrain {
			return 0, fmt.Errorf("VMDK grain at byte %d is damaged", at)
		}
		if err := inflateGrain(io.NewSectionReader(src, at+12, length), data); err != nil {
			return 0, fmt.Errorf("read VMDK grain at byte %d: %w", at, err)
		}
		offset := int64(value) * sector
		if err := writeNonZero(dst, data[:min(int64(len(data)), disk-offset)], offset); err != nil {
			return 0, err
		}
		at += (12 + length + sector - 1) / sector * sector
	}
}

// inflateGrain fills data; a grain at the end of the disk may be shorter.
func inflateGrain(src io.Reader, data []byte) error {
	z, err := zlib.NewReader(src)
	if err != nil {
		return torn(err)
	}
	n, err := fill(z, data)
	if err == nil { // the checksum follows the data
		if n, _ := z.Read(make([]byte, 1)); n > 0 {
			return errors.New("it is larger than a grain")
		}
	} else if err != io.EOF {
		return err
	}
	clear(data[n:])
	return nil
}

// torn returns io.ErrUnexpectedEOF for io.EOF in the middle of a structure.
func torn(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
