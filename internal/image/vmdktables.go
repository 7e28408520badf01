// Holds the tables of a stream-optimized VMDK image against the grains in it: programs that read by
// tables, such as QEMU, could see another disk than those that read from front to back.

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	vmdkTableEntries = 512        // of a table, in all stream-optimized files
	maxVMDKTables    = 4 << 20    // for 128 TiB of the usual grains
	vmdkFooter       = 3 * sector // from the end of the file: its marker, the header, the last marker
)

// grainTables compares the tables of a file with the grains that are found in it.
type grainTables struct {
	x         *expansion
	src       io.ReaderAt
	grain     uint64   // sectors of one
	directory []uint32 // sectors of the tables; 0 for none
	found     int64    // grains
	at        int      // which table is in table, or -1
	table     [4 * vmdkTableEntries]byte
}

var errTwoDisks = errors.New("the tables of the VMDK file have other grains than those that " +
	"are in it: programs differ in what disk they see")

// openGrainTables reads the directory of a file of size bytes.
func openGrainTables(x *expansion, src io.ReaderAt, size int64,
	h vmdkHeader) (*grainTables, error) {
	le := binary.LittleEndian
	head := make([]byte, sector)
	if _, err := src.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("read VMDK header: %w", torn(err))
	}
	at := h.directory
	if at == vmdkAtEnd {
		foot := make([]byte, sector)
		if _, err := src.ReadAt(foot, size-vmdkFooter+sector); err != nil {
			return nil, fmt.Errorf("read the VMDK header at the end of the file: %w", torn(err))
		}
		at = le.Uint64(foot[56:])
		if !bytes.Equal(foot[:48], head[:48]) || !bytes.Equal(foot[77:79], head[77:79]) {
			return nil, errors.New("the VMDK headers at the beginning and at the end of the file differ")
		}
	}
	per := h.grain * vmdkTableEntries
	count := (h.capacity + per - 1) / per
	if le.Uint32(head[44:]) != vmdkTableEntries || le.Uint16(head[77:]) != 1 ||
		at > uint64(size/sector) || count > maxVMDKTables {
		return nil, errors.New("the VMDK header is damaged")
	}
	t := &grainTables{x: x, src: src, grain: h.grain, directory: make([]uint32, count), at: -1}
	err := binary.Read(io.NewSectionReader(src, int64(at)*sector, size), le, t.directory)
	if err != nil {
		return nil, fmt.Errorf("read VMDK directory: %w", torn(err))
	}
	return t, nil
}

// entry returns where a table says that a grain is: a sector, or 0 if there is none.
func (t *grainTables) entry(number uint64) (uint32, error) {
	table := int(number / vmdkTableEntries)
	at := t.directory[table]
	if at == 0 {
		return 0, nil
	}
	if table != t.at {
		if err := t.x.take(int64(len(t.table))); err != nil {
			return 0, err
		}
		t.at = -1
		if _, err := t.src.ReadAt(t.table[:], int64(at)*sector); err != nil {
			return 0, fmt.Errorf("read VMDK table: %w", torn(err))
		}
		t.at = table
	}
	return binary.LittleEndian.Uint32(t.table[number%vmdkTableEntries*4:]), nil
}

// check returns an error unless the table has the grain for a sector of the disk at a sector of the
// file.
func (t *grainTables) check(disk, file uint64) error {
	at, err := t.entry(disk / t.grain)
	if err == nil && (disk%t.grain != 0 || uint64(at) != file) {
		err = errTwoDisks
	}
	t.found++
	return err
}

// end returns an error if the tables have grains that were not found.
func (t *grainTables) end() error {
	for i, at := range t.directory {
		for n := range vmdkTableEntries {
			if at == 0 {
				break
			}
			entry, err := t.entry(uint64(i*vmdkTableEntries + n))
			if err != nil {
				return err
			}
			if entry != 0 {
				t.found--
			}
		}
	}
	if t.found != 0 {
		return errTwoDisks
	}
	return nil
}
