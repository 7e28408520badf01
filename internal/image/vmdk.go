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
	"strings"
)

const (
	vmdkMagic      = "KDMV"
	vmdkStreamBits = 1<<16 | 1<<17 // compressed grains with markers
	maxGrain       = 16 << 20      // bytes
	vmdkEnd        = 0             // marker types without disk data
	vmdkLastMarker = 3
)

// vmdkHeader is what matters of a VMDK file's header, in sectors. directory is where the tables of
// grains are listed, or vmdkAtEnd.
type vmdkHeader struct{ capacity, grain, start, directory uint64 }

const vmdkAtEnd = 1<<64 - 1 // the directory is where a second header says, at the end of the file

// maxDescriptor bounds the description in a VMDK file. Those that programs write have a sector or
// two.
const maxDescriptor = 64 << 10

// qemuDescriptor is the size of the description that QEMU reads behind the header.
const qemuDescriptor = 20 * sector

// readVMDKHeader reads the header of a file of size bytes, and refuses a file whose disk is not all
// in it.
func readVMDKHeader(src io.ReaderAt, size int64) (h vmdkHeader, err error) {
	head := make([]byte, sector)
	if _, err := src.ReadAt(head, 0); err != nil {
		return h, fmt.Errorf("read VMDK header: %w", err)
	}
	le := binary.LittleEndian
	h = vmdkHeader{capacity: le.Uint64(head[12:]), grain: le.Uint64(head[20:]),
		start: le.Uint64(head[64:]), directory: le.Uint64(head[56:])}
	at, length := le.Uint64(head[28:]), le.Uint64(head[36:]) // of the description
	switch {
	case le.Uint32(head[8:])&vmdkStreamBits != vmdkStreamBits:
		return h, &UnsupportedError{"a VMDK file that is not streamOptimized"}
	case h.capacity == 0:
		return h, &UnsupportedError{"a VMDK file that describes a disk in other files"}
	case h.capacity > maxDiskBytes/sector || h.grain == 0 || h.grain > maxGrain/sector ||
		h.start > uint64(size/sector) || at > uint64(size/sector) || length > maxDescriptor/sector:
		return h, errors.New("the VMDK header is damaged")
	}
	// QEMU looks for a parent at a place of its own, whatever the header says.
	for _, part := range []*io.SectionReader{
		io.NewSectionReader(src, int64(at)*sector, int64(length)*sector),
		io.NewSectionReader(src, sector, qemuDescriptor),
	} {
		text, err := io.ReadAll(part)
		if err != nil {
			return h, fmt.Errorf("read VMDK description: %w", err)
		}
		if hasParent(string(text)) {
			return h, &UnsupportedError{"a VMDK file with a parent"}
		}
	}
	return h, nil
}

// hasParent reports whether the description of a disk says that another has the rest of its data.
func hasParent(description string) bool {
	description = strings.ToLower(description)
	if strings.Contains(description, "parentfilenamehint") { // QEMU looks in the middle of lines
		return true
	}
	for line := range strings.Lines(description) {
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(value, " \t\r\n\x00")
		if strings.TrimSpace(key) == "parentcid" && value != "ffffffff" {
			return true
		}
	}
	return false
}

// expandVMDK writes the disk in a VMDK file of size bytes to an empty file, without zeros, and
// returns its size. It reads the file from front to back by its markers, as VMware does, and checks
// that the tables, by which QEMU reads, have the same.
func expandVMDK(x *expansion, src io.ReaderAt, size int64) (int64, error) {
	h, err := readVMDKHeader(src, size)
	if err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	disk := int64(h.capacity) * sector
	if err := x.fits(disk); err != nil {
		return 0, err
	}
	tables, err := openGrainTables(x, src, size, h)
	if err != nil {
		return 0, err
	}
	data := make([]byte, h.grain*sector)
	for at := int64(h.start) * sector; ; {
		if x.ctx.Err() != nil {
			return 0, context.Cause(x.ctx)
		}
		marker := make([]byte, 16)
		if _, err := src.ReadAt(marker, at); err != nil {
			return 0, fmt.Errorf("read VMDK marker at byte %d: %w", at, torn(err))
		}
		value, length, kind := le.Uint64(marker), int64(le.Uint32(marker[8:])), le.Uint32(marker[12:])
		if length == 0 { // metadata of value sectors
			if kind == vmdkEnd {
				return disk, errors.Join(tables.end(), x.dst.Truncate(disk))
			}
			if kind > vmdkLastMarker || value > uint64(size/sector) {
				return 0, fmt.Errorf("VMDK marker at byte %d is damaged", at)
			}
			at += sector + int64(value)*sector
			continue
		}
		if value >= h.capacity || length > 2*maxGrain {
			return 0, fmt.Errorf("VMDK grain at byte %d is damaged", at)
		}
		if err := tables.check(value, uint64(at/sector)); err != nil {
			return 0, err
		}
		if err := inflateGrain(io.NewSectionReader(src, at+12, length), data); err != nil {
			return 0, fmt.Errorf("read VMDK grain at byte %d: %w", at, err)
		}
		offset := int64(value) * sector
		if err := x.write(data[:min(int64(len(data)), disk-offset)], offset); err != nil {
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
