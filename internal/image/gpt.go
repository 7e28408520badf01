// Reads the GUID partition table of a raw disk image, both copies (UEFI specification 2.10, §5.3).

package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

// Table is the partition table found on a disk.
type Table struct {
	DiskGUID string
	Entries  []Entry // used entries, by number
}

// Entry is one partition found on a disk. Start and Size are in bytes.
type Entry struct {
	Number     int
	Type, GUID string
	Label      string
	Start      int64
	Size       int64
	Attributes uint64
}

const (
	sector       = 512
	gptSignature = "EFI PART"
	gptHeaderLen = 92
	maxEntries   = 1024
	maxSectors   = 1 << 50 // more sectors cannot be counted in bytes
)

// gptHeader is the header as stored on disk, little endian.
type gptHeader struct {
	Signature    [8]byte
	Revision     uint32
	HeaderSize   uint32
	HeaderCRC    uint32
	Reserved     uint32
	MyLBA        uint64
	AlternateLBA uint64
	FirstUsable  uint64
	LastUsable   uint64
	DiskGUID     [16]byte
	EntriesLBA   uint64
	EntryCount   uint32
	EntrySize    uint32
	EntriesCRC   uint32
}

type gptEntry struct {
	Type, GUID [16]byte
	First      uint64
	Last       uint64
	Attributes uint64
	Name       [36]uint16
}

// ReadGPT reads the table of an image of size bytes. The protective MBR, both headers and the
// checksums of headers and entries must be right, both copies must agree, and every partition must
// lie in the usable area.
func ReadGPT(img io.ReaderAt, size int64) (Table, error) {
	if size%sector != 0 || size < 2*mib {
		return Table{}, fmt.Errorf("image of %d bytes is not a whole number of sectors of %d bytes or "+
			"smaller than 2 MiB", size, sector)
	}
	if err := checkProtectiveMBR(img); err != nil {
		return Table{}, err
	}
	last := uint64(size/sector - 1)
	primary, entries, err := readGPTCopy(img, 1, last)
	if err != nil {
		return Table{}, fmt.Errorf("primary GPT: %w", err)
	}
	if primary.AlternateLBA != last {
		return Table{}, fmt.Errorf("the partition table was made for a disk of %d bytes, but the image "+
			"has %d: it was cut off or grown, or the table is damaged",
			(primary.AlternateLBA+1)*sector, size)
	}
	backup, backupEntries, err := readGPTCopy(img, last, last)
	if err != nil {
		return Table{}, fmt.Errorf("backup GPT: %w", err)
	}
	if backup.AlternateLBA != 1 {
		return Table{}, fmt.Errorf("backup GPT says that the primary one is in sector %d, not 1",
			backup.AlternateLBA)
	}
	if primary.DiskGUID != backup.DiskGUID || primary.FirstUsable != backup.FirstUsable ||
		primary.LastUsable != backup.LastUsable || !bytes.Equal(entries, backupEntries) {
		return Table{}, fmt.Errorf("primary and backup GPT differ")
	}
	if primary.LastUsable >= last {
		return Table{}, fmt.Errorf("the partition table has usable sectors up to %d, where the backup "+
			"GPT lies", primary.LastUsable)
	}
	return parseEntries(primary, entries)
}

// salvageGPT returns the partitions of whichever copy of the table is intact, to show more of a
// damaged image.
func salvageGPT(img io.ReaderAt, size int64) (Table, bool) {
	last := uint64(size/sector - 1)
	for _, lba := range []uint64{1, last} {
		if h, entries, err := readGPTCopy(img, lba, last); err == nil {
			if t, err := parseEntries(h, entries); err == nil {
				return t, true
			}
		}
	}
	return Table{}, false
}

func checkProtectiveMBR(img io.ReaderAt) error {
	var mbr [sector]byte
	if _, err := img.ReadAt(mbr[:], 0); err != nil {
		return fmt.Errorf("read protective MBR: %w", err)
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa || mbr[446+4] != 0xee {
		return fmt.Errorf("sector 0 has no protective MBR: the image has no GPT")
	}
	others := mbr[446+16 : 510]
	start := binary.LittleEndian.Uint32(mbr[446+8:])
	if start != 1 || !bytes.Equal(others, make([]byte, len(others))) {
		return fmt.Errorf("the MBR has partitions of its own: firmware may start from those")
	}
	return nil
}

// readGPTCopy reads the header at a sector and its entries, and verifies both checksums.
func readGPTCopy(img io.ReaderAt, lba, last uint64) (gptHeader, []byte, error) {
	var buf [sector]byte
	if _, err := img.ReadAt(buf[:], int64(lba)*sector); err != nil {
		return gptHeader{}, nil, fmt.Errorf("read header in sector %d: %w", lba, err)
	}
	var h gptHeader
	if err := binary.Read(bytes.NewReader(buf[:]), binary.LittleEndian, &h); err != nil {
		return h, nil, fmt.Errorf("decode header in sector %d: %w", lba, err)
	}
	if string(h.Signature[:]) != gptSignature {
		return h, nil, fmt.Errorf("sector %d does not begin with %q: the image has no GPT, or not the "+
			"size it was made with", lba, gptSignature)
	}
	if h.HeaderSize < gptHeaderLen || h.HeaderSize > sector {
		return h, nil, fmt.Errorf("header in sector %d claims %d bytes", lba, h.HeaderSize)
	}
	clear(buf[16:20]) // the checksum is computed with its own field zero
	if sum := crc32.ChecksumIEEE(buf[:h.HeaderSize]); sum != h.HeaderCRC {
		return h, nil, fmt.Errorf("header in sector %d has checksum %08x, want %08x", lba, sum,
			h.HeaderCRC)
	}
	if h.MyLBA != lba {
		return h, nil, fmt.Errorf("header in sector %d says that it is in sector %d", lba, h.MyLBA)
	}
	if h.EntrySize < 128 || h.EntrySize%128 != 0 || h.EntrySize > 4096 || h.EntryCount == 0 ||
		h.EntryCount > maxEntries || h.EntriesLBA > last || h.LastUsable > maxSectors ||
		h.AlternateLBA > maxSectors {
		return h, nil, fmt.Errorf("header in sector %d has %d entries of %d bytes in sector %d for %d "+
			"sectors",
			lba, h.EntryCount, h.EntrySize, h.EntriesLBA, h.LastUsable)
	}
	entries := make([]byte, h.EntryCount*h.EntrySize)
	if _, err := img.ReadAt(entries, int64(h.EntriesLBA)*sector); err != nil {
		return h, nil, fmt.Errorf("read entries in sector %d: %w", h.EntriesLBA, err)
	}
	if sum := crc32.ChecksumIEEE(entries); sum != h.EntriesCRC {
		return h, nil, fmt.Errorf("entries in sector %d have checksum %08x, want %08x", h.EntriesLBA, sum,
			h.EntriesCRC)
	}
	return h, entries, nil
}

func parseEntries(h gptHeader, raw []byte) (Table, error) {
	t := Table{DiskGUID: formatGUID(h.DiskGUID)}
	for i := range int(h.EntryCount) {
		var e gptEntry
		if err := binary.Read(bytes.NewReader(raw[i*int(h.EntrySize):]), binary.LittleEndian,
			&e); err != nil {
			return Table{}, fmt.Errorf("decode GPT entry %d: %w", i+1, err)
		}
		if e.Type == [16]byte{} {
			continue
		}
		if e.First < h.FirstUsable || e.Last > h.LastUsable || e.First > e.Last {
			return Table{}, fmt.Errorf("GPT entry %d spans sectors %d to %d, outside the usable %d to %d",
				i+1, e.First, e.Last, h.FirstUsable, h.LastUsable)
		}
		for _, other := range t.Entries {
			if start, end := int64(e.First)*sector, int64(e.Last+1)*sector; start < other.Start+other.Size &&
				other.Start < end {
				return Table{}, fmt.Errorf("GPT entries %d and %d overlap", other.Number, i+1)
			}
		}
		name := e.Name[:]
		for n, c := range name {
			if c == 0 {
				name = name[:n]
				break
			}
		}
		t.Entries = append(t.Entries, Entry{
			Number: i + 1, Type: formatGUID(e.Type), GUID: formatGUID(e.GUID),
			Label: string(utf16.Decode(name)),
			Start: int64(e.First) * sector, Size: int64(e.Last-e.First+1) * sector, Attributes: e.Attributes,
		})
	}
	return t, nil
}

// formatGUID formats a GUID as stored on disk, where the first three groups are little endian.
func formatGUID(g [16]byte) string {
	g[0], g[1], g[2], g[3] = g[3], g[2], g[1], g[0]
	g[4], g[5] = g[5], g[4]
	g[6], g[7] = g[7], g[6]
	return formatUUID(g)
}
