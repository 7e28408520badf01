// Package gpt reads the GUID partition table of a disk, as chapter 5 of the UEFI specification lays
// it out.
package gpt

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

const (
	sectorSize   = 512
	signature    = "EFI PART"
	minHeader    = 92
	minEntry     = 128
	maxTableSize = 1 << 20 // far above the usual 16 KiB; a damaged header must not ask for gigabytes
)

// Partition is one used entry of the table.
type Partition struct {
	Number int    // 1-based, as in the kernel's device names
	Type   string // type GUID, lower case
	GUID   string // unique GUID, lower case
	Label  string
	Start  int64 // bytes
	Size   int64 // bytes
}

// Read reads the primary table of a disk with 512-byte sectors and checks both of its checksums.
func Read(disk io.ReaderAt) ([]Partition, error) {
	header := make([]byte, sectorSize)
	if _, err := disk.ReadAt(header, sectorSize); err != nil {
		return nil, fmt.Errorf("partition table header: %w", err)
	}
	if string(header[:8]) != signature {
		return nil, fmt.Errorf("no GUID partition table")
	}
	le := binary.LittleEndian
	size := le.Uint32(header[12:])
	if size < minHeader || size > sectorSize {
		return nil, fmt.Errorf("partition table header has the size %d", size)
	}
	sum := le.Uint32(header[16:])
	clear(header[16:20]) // the checksum is taken with its own field zero
	if got := crc32.ChecksumIEEE(header[:size]); got != sum {
		return nil, fmt.Errorf("partition table header has the checksum %08x, expected %08x", got, sum)
	}
	return readEntries(disk, header)
}

func readEntries(disk io.ReaderAt, header []byte) ([]Partition, error) {
	le := binary.LittleEndian
	lba, count, size := le.Uint64(header[72:]), le.Uint32(header[80:]), le.Uint32(header[84:])
	if size < minEntry || lba > 1<<40 || uint64(count)*uint64(size) > maxTableSize {
		return nil, fmt.Errorf("partition table has %d entries of %d bytes at sector %d", count, size,
			lba)
	}
	table := make([]byte, count*size)
	if _, err := disk.ReadAt(table, int64(lba)*sectorSize); err != nil {
		return nil, fmt.Errorf("partition table entries: %w", err)
	}
	if got, sum := crc32.ChecksumIEEE(table), le.Uint32(header[88:]); got != sum {
		return nil, fmt.Errorf("partition table entries have the checksum %08x, expected %08x", got, sum)
	}
	var parts []Partition
	for n := range int(count) {
		entry := table[n*int(size) : (n+1)*int(size)]
		first, last := le.Uint64(entry[32:]), le.Uint64(entry[40:])
		if [16]byte(entry[:16]) == [16]byte{} || last < first || last > 1<<50 {
			continue
		}
		parts = append(parts, Partition{
			Number: n + 1,
			Type:   guid(entry[:16]),
			GUID:   guid(entry[16:32]),
			Label:  label(entry[56:128]),
			Start:  int64(first) * sectorSize,
			Size:   int64(last-first+1) * sectorSize,
		})
	}
	return parts, nil
}

// guid writes a GUID in its usual form; its first three groups are stored little-endian.
func guid(b []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]),
		b[8:10], b[10:16])
}

// label decodes a partition's name: UTF-16, ended by a zero.
func label(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		unit := binary.LittleEndian.Uint16(b)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}
