// Lists and reads the files of a FAT file system, such as an EFI system partition: FAT12, FAT16 and
// FAT32 with long names.

package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// FAT is a FAT file system in a partition. Whatever the partition contains, reading it ends soon,
// at worst with an error.
type FAT struct {
	part        io.ReaderAt
	clusterSize int64
	dataStart   int64    // offset of cluster 2
	next        []uint32 // the allocation table: the successor of each cluster
	end         uint32   // values from here on end a chain
	root        []byte   // the root directory
	size        int64    // of the file system, in bytes
	budget      int64    // bytes of directories that may still be read
}

const (
	readBudget    = 64 << 20 // bytes of directories and files; an ESP has a few MiB
	maxFATTable   = 16 << 20 // bytes of the table; an ESP of 1 GiB has 1 MiB
	maxFATEntries = 10000    // names that are listed
	maxFATDepth   = 16
)

// OpenFAT reads the boot sector and the allocation table in a partition of size bytes (Microsoft,
// "FAT: General Overview of On-Disk Format", version 1.03).
func OpenFAT(part io.ReaderAt, size int64) (*FAT, error) {
	var b [sector]byte
	if _, err := part.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("read boot sector: %w", err)
	}
	le := binary.LittleEndian
	sectorSize, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables := int64(le.Uint16(b[14:])), int64(b[16])
	rootEntries, total := int64(le.Uint16(b[17:])), int64(le.Uint16(b[19:]))
	perTable := int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if perTable == 0 {
		perTable = int64(le.Uint32(b[36:]))
	}
	if sectorSize < 512 || sectorSize > 4096 || perCluster == 0 || tables == 0 ||
		perTable*sectorSize > maxFATTable || total*sectorSize > size {
		return nil, errors.New("the boot sector of the FAT file system is damaged, or it is larger " +
			"than its partition")
	}
	rootSize := (rootEntries*32 + sectorSize - 1) / sectorSize * sectorSize
	rootStart := (reserved + tables*perTable) * sectorSize
	f := &FAT{part: part, budget: readBudget, clusterSize: perCluster * sectorSize,
		dataStart: rootStart + rootSize, size: total * sectorSize}
	clusters := (total*sectorSize - f.dataStart) / f.clusterSize
	if clusters < 0 {
		return nil, errors.New("the FAT file system has no room for data: its boot sector is damaged")
	}
	table := make([]byte, perTable*sectorSize)
	if _, err := part.ReadAt(table, reserved*sectorSize); err != nil {
		return nil, fmt.Errorf("read allocation table: %w", err)
	}
	if err := f.decodeTable(table, clusters); err != nil {
		return nil, err
	}
	var err error
	if rootEntries == 0 { // FAT32: a chain like any other
		f.root, err = f.chain(le.Uint32(b[44:]))
	} else {
		f.root = make([]byte, rootSize)
		_, err = part.ReadAt(f.root, rootStart)
	}
	if err != nil {
		return nil, fmt.Errorf("read root directory: %w", err)
	}
	return f, nil
}

// decodeTable decodes the table; its width depends only on the number of clusters.
func (f *FAT) decodeTable(table []byte, clusters int64) error {
	le := binary.LittleEndian
	at := func(i int64) uint32 { return le.Uint32(table[4*i:]) & 0x0fffffff }
	need := 4 * (clusters + 2)
	switch {
	case clusters < 4085:
		f.end, need = 0xff8, (clusters+2)*3/2+1
		at = func(i int64) uint32 { return uint32(le.Uint16(table[i*3/2:])>>(4*(i&1))) & 0xfff }
	case clusters < 65525:
		f.end, need = 0xfff8, 2*(clusters+2)
		at = func(i int64) uint32 { return uint32(le.Uint16(table[2*i:])) }
	default:
		f.end = 0x0ffffff8
	}
	if need > int64(len(table)) {
		return fmt.Errorf("the allocation table has %d bytes, but %d clusters: it is damaged", len(table),
			clusters)
	}
	f.next = make([]uint32, clusters+2)
	for i := range f.next {
		f.next[i] = at(int64(i))
	}
	return nil
}

// Used returns how many bytes of clusters are in use.
func (f *FAT) Used() int64 {
	n := int64(0)
	for _, next := range f.next[2:] {
		if next != 0 {
			n++
		}
	}
	return n * f.clusterSize
}

// chain reads the clusters of a directory.
func (f *FAT) chain(cluster uint32) ([]byte, error) {
	var data []byte
	for cluster < f.end {
		if cluster < 2 || int64(cluster) >= int64(len(f.next)) {
			return nil, fmt.Errorf("a chain leads to cluster %d of %d: the file system is damaged", cluster,
				len(f.next)-2)
		}
		if f.budget -= f.clusterSize; f.budget < 0 || len(data) >= maxDirectory {
			return nil, errors.New("the directories have no end: the file system is damaged")
		}
		block := make([]byte, f.clusterSize)
		if _, err := f.part.ReadAt(block, f.dataStart+int64(cluster-2)*f.clusterSize); err != nil {
			return nil, fmt.Errorf("read cluster %d: %w", cluster, err)
		}
		data = append(data, block...)
		cluster = f.next[cluster]
	}
	return data, nil
}

// Read returns the contents of a file that Files has listed, at most limit bytes.
func (f *FAT) Read(file DirEntry, limit int64) ([]byte, error) {
	if file.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", file.Name, file.Size, limit)
	}
	// otherwise damage could make us read without end
	if f.budget -= file.Size; f.budget < 0 || file.Size > int64(len(f.next))*f.clusterSize {
		return nil, fmt.Errorf("%s has %d bytes: the files are larger than the limit for a file system",
			file.Name, file.Size)
	}
	data := make([]byte, 0, file.Size)
	for cluster := uint32(file.inode); int64(len(data)) < file.Size; cluster = f.next[cluster] {
		if cluster < 2 || int64(cluster) >= int64(len(f.next)) {
			return nil, fmt.Errorf("%s: its chain leads to cluster %d of %d: the file system is damaged",
				file.Name, cluster, len(f.next)-2)
		}
		block := make([]byte, min(f.clusterSize, file.Size-int64(len(data))))
		if _, err := f.part.ReadAt(block, f.dataStart+int64(cluster-2)*f.clusterSize); err != nil {
			return nil, fmt.Errorf("%s: read cluster %d: %w", file.Name, cluster, err)
		}
		data = append(data, block...)
	}
	return data, nil
}

// Files lists all files, with slash paths from the root, in directory order.
func (f *FAT) Files() ([]DirEntry, error) {
	var files []DirEntry
	left := maxFATEntries
	var walk func(dir []byte, prefix string, depth int) error
	walk = func(dir []byte, prefix string, depth int) error {
		for _, entry := range parseFATDir(dir) {
			if left--; left < 0 || depth > maxFATDepth {
				return errors.New("the directories have no end: the file system is damaged")
			}
			path := prefix + entry.Name
			if !entry.Dir {
				files = append(files, DirEntry{Name: path, Size: entry.Size, inode: entry.inode})
				continue
			}
			sub, err := f.chain(uint32(entry.inode))
			if err == nil {
				err = walk(sub, path+"/", depth+1)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	}
	return files, walk(f.root, "", 0)
}

// parseFATDir returns the entries of a directory; inode is the first cluster. A long name precedes
// its entry in pieces, the last piece first.
func parseFATDir(dir []byte) []DirEntry {
	le := binary.LittleEndian
	var entries []DirEntry
	var long []uint16
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		e := dir[:32]
		switch {
		case e[0] == 0xe5: // deleted
			long = nil
		case e[11]&0x3f == 0x0f:
			var piece []uint16
			for _, span := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
				for i := span[0]; i < span[1]; i += 2 {
					piece = append(piece, le.Uint16(e[i:]))
				}
			}
			if long = append(piece, long...); len(long) > 20*13 { // the longest name there is
				long = nil
			}
		case e[11]&0x08 != 0: // volume label
			long = nil
		default:
			entry := DirEntry{Name: shortName(e), Dir: e[11]&0x10 != 0, Size: int64(le.Uint32(e[28:]))}
			entry.inode = uint64(le.Uint16(e[26:])) | uint64(le.Uint16(e[20:]))<<16
			entry.time = fatTime(le.Uint16(e[24:]), le.Uint16(e[22:]))
			if long != nil {
				name, _, _ := strings.Cut(string(utf16.Decode(long)), "\x00")
				entry.Name, long = name, nil
			}
			if entry.Name != "." && entry.Name != ".." {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}

// shortName returns the name of 8 and 3 characters; byte 12 says which half is in lower case.
func shortName(e []byte) string {
	name, ext := strings.TrimRight(string(e[:8]), " "), strings.TrimRight(string(e[8:11]), " ")
	if e[12]&0x08 != 0 {
		name = strings.ToLower(name)
	}
	if e[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		name += "." + ext
	}
	return name
}
