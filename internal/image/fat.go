// Lists and reads the files of a FAT file system, such as an EFI system partition: FAT12, FAT16 and
// FAT32 with long names.

package image

import (
	"bytes"
	"cmp"
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
	// Of the chains that were measured: the first cluster of the one with a cluster, and their bytes.
	owner  []uint32
	stored map[uint32]int64
}

const (
	readBudget    = 64 << 20 // bytes of directories and files; an ESP has a few MiB
	maxFATTable   = 16 << 20 // bytes of the table; an ESP of 1 GiB has 1 MiB
	maxFATTables  = 4        // copies of the table; there are two
	maxFATEntries = 10000    // names that are listed
	maxFATDepth   = 16
)

// OpenFAT reads the boot sector and the allocation table in a partition of size bytes (Microsoft,
// "FAT: General Overview of On-Disk Format", version 1.03). The file system may be larger than the
// partition if all that it has is within.
func OpenFAT(part io.ReaderAt, size int64) (*FAT, error) {
	var b [sector]byte
	if _, err := part.ReadAt(b[:], 0); err != nil {
		return nil, fmt.Errorf("read boot sector: %w", err)
	}
	le := binary.LittleEndian
	sectorSize, perCluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, tables := int64(le.Uint16(b[14:])), int64(b[16])
	rootEntries, total := int64(le.Uint16(b[17:])), int64(le.Uint16(b[19:]))
	perTable, wide := int64(le.Uint16(b[22:])), false
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	if perTable == 0 { // whatever their number: so say firmware and Linux
		perTable, wide = int64(le.Uint32(b[36:])), true
	}
	if sectorSize < 512 || sectorSize > 4096 || perCluster == 0 || tables == 0 ||
		tables > maxFATTables || perTable*sectorSize > maxFATTable {
		return nil, errors.New("the boot sector of the FAT file system is damaged")
	}
	rootSize := (rootEntries*32 + sectorSize - 1) / sectorSize * sectorSize
	rootStart := (reserved + tables*perTable) * sectorSize
	f := &FAT{part: part, budget: readBudget, clusterSize: perCluster * sectorSize,
		dataStart: rootStart + rootSize, size: total * sectorSize}
	clusters := (total*sectorSize - f.dataStart) / f.clusterSize
	if clusters < 0 {
		return nil, errors.New("the FAT file system has no room for data: its boot sector is damaged")
	}
	table, err := readTables(part, reserved*sectorSize, perTable*sectorSize, tables)
	if err != nil {
		return nil, err
	}
	if err := f.decodeTable(table, clusters, wide); err != nil {
		return nil, err
	}
	if f.inUse() > size {
		return nil, errors.New("the FAT file system is larger than its partition, and files lie " +
			"beyond its end")
	}
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

// readTables returns the allocation table, of which there are copies. They must be the same: which
// of them counts is up to the reader.
func readTables(part io.ReaderAt, start, size, count int64) ([]byte, error) {
	table, other := make([]byte, size), make([]byte, size)
	for i := range count {
		to := other
		if i == 0 {
			to = table
		}
		if _, err := part.ReadAt(to, start+i*size); err != nil {
			return nil, fmt.Errorf("read allocation table: %w", err)
		}
		if i > 0 && !bytes.Equal(table, other) {
			return nil, errors.New("the copies of the allocation table of the FAT file system differ: " +
				"firmware may see other files")
		}
	}
	return table, nil
}

// decodeTable decodes the table; its width depends on the number of clusters, unless it is wide.
func (f *FAT) decodeTable(table []byte, clusters int64, wide bool) error {
	le := binary.LittleEndian
	at := func(i int64) uint32 { return le.Uint32(table[4*i:]) & 0x0fffffff }
	need := 4 * (clusters + 2)
	switch {
	case wide:
		f.end = 0x0ffffff8
	case clusters < 4085:
		f.end, need = 0xff8, (clusters+2)*3/2+1
		at = func(i int64) uint32 { return uint32(le.Uint16(table[i*3/2:])>>(4*(i&1))) & 0xfff }
	default:
		f.end, need = 0xfff8, 2*(clusters+2)
		at = func(i int64) uint32 { return uint32(le.Uint16(table[2*i:])) }
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

// inUse returns where the last cluster ends that is in use.
func (f *FAT) inUse() int64 {
	for i := len(f.next) - 1; i > 1; i-- {
		if f.next[i] != 0 {
			return f.dataStart + int64(i-1)*f.clusterSize
		}
	}
	return f.dataStart
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

// Files lists all files, with slash paths from the root, in directory order. The error may be that
// a name means two files, or one that its other name does not.
func (f *FAT) Files() ([]DirEntry, error) {
	var files []DirEntry
	var ambiguous error
	left := maxFATEntries
	var walk func(dir []byte, prefix string, depth int) error
	walk = func(dir []byte, prefix string, depth int) error {
		names := map[string]bool{}
		for _, entry := range parseFATDir(dir) {
			if err := clash(names, entry); err != nil && ambiguous == nil {
				ambiguous = fmt.Errorf("%s%w", prefix, err)
			}
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
	err := walk(f.root, "", 0)
	return files, cmp.Or(err, ambiguous)
}

// clash adds the names of an entry to those of its directory. Firmware finds a file by both, in
// whatever case.
func clash(names map[string]bool, entry DirEntry) error {
	long, short := strings.ToLower(entry.Name), strings.ToLower(entry.short)
	if names[long] || names[short] {
		return fmt.Errorf("%s is there twice: firmware may see the other one", entry.Name)
	}
	names[long], names[short] = true, true
	if isProgram(short) && !isProgram(long) && !strings.Contains(short, "~") && !entry.Dir {
		return fmt.Errorf("%s is %s for firmware", entry.Name, entry.short)
	}
	return nil
}

// parseFATDir returns the entries of a directory; inode is the first cluster.
func parseFATDir(dir []byte) []DirEntry {
	le := binary.LittleEndian
	var entries []DirEntry
	var long longName
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		e := dir[:32]
		switch {
		case e[0] == 0xe5: // deleted
			long = longName{}
		case e[11]&0x3f == 0x0f:
			long.add(e)
		case e[11]&0x08 != 0: // volume label
			long = longName{}
		default:
			entry := DirEntry{Name: shortName(e), Dir: e[11]&0x10 != 0, Size: int64(le.Uint32(e[28:]))}
			entry.inode = uint64(le.Uint16(e[26:])) | uint64(le.Uint16(e[20:]))<<16
			entry.time = fatTime(le.Uint16(e[24:]), le.Uint16(e[22:]))
			entry.short = entry.Name
			if name, ok := long.of(e); ok {
				entry.Name = name
			}
			long = longName{}
			if entry.short != "." && entry.short != ".." {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}

// longName is a name that precedes its entry in pieces, the last piece first. One that is not whole
// or of another entry does not count, for firmware neither.
type longName struct {
	chars []uint16
	next  byte // number of the piece that must follow; 0 after the last one
	sum   byte // of the short name
}

func (l *longName) add(e []byte) {
	number := e[0] &^ 0x40
	if e[0]&0x40 != 0 {
		*l = longName{next: number, sum: e[13]}
	}
	if l.next == 0 || number != l.next || number > 20 || e[13] != l.sum {
		*l = longName{}
		return
	}
	var piece []uint16
	for _, span := range [][2]int{{1, 11}, {14, 26}, {28, 32}} {
		for i := span[0]; i < span[1]; i += 2 {
			piece = append(piece, binary.LittleEndian.Uint16(e[i:]))
		}
	}
	l.chars = append(piece, l.chars...)
	l.next--
}

// of returns the name if it is that of an entry.
func (l *longName) of(e []byte) (string, bool) {
	sum := byte(0)
	for _, c := range e[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	name, _, _ := strings.Cut(string(utf16.Decode(l.chars)), "\x00")
	return name, name != "" && l.next == 0 && l.sum == sum
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
