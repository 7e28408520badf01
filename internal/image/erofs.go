// Reads files from an erofs file system without mounting it: inodes, directories and contents, with
// the lz4 compression that mkfs.erofs is used with here.
//
// github.com/erofs/go-erofs 0.3 was tried first: it reads no compressed files. The format is that
// of the kernel's fs/erofs/erofs_fs.h.

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Erofs is an erofs file system in a partition. Whatever the partition contains, reading it ends
// soon, at worst with an error. Checksums are not checked: the hash tree covers the root file
// system.
type Erofs struct {
	part      io.ReaderAt
	size      int64 // of the partition, in bytes
	blockBits uint
	blocks    int64
	meta      int64 // offset of inode 0, in bytes
	shared    int64 // offset of shared attributes
	root      uint64
	built     int64 // seconds
	incompat  uint32
	budget    int64 // bytes of metadata that may still be read
}

// Bits of feature_incompat.
const (
	erofsPadding0 = 0x1 // compressed data ends, not begins, with its blocks
	erofsBigTail  = 0x10
	// Chunks are in, other devices, packed inodes, 48-bit block numbers and what came later are not.
	erofsKnown = erofsPadding0 | 0x2 | 0x4 | erofsBigTail | 0x20 | 0x40
)

// Layouts of the contents of an inode.
const (
	erofsPlain = iota
	erofsFull  // compressed, with an index entry of 8 bytes for each cluster
	erofsInline
	erofsCompact // compressed, with entries of 2 or 4 bytes
	erofsChunks
)

// erofsLayout is where the contents of an inode are.
type erofsLayout struct {
	kind  int
	start uint32 // block; of chunks the format
	after int64  // offset behind the inode and its attributes
}

// OpenErofs reads the superblock of an erofs file system in a partition of size bytes.
func OpenErofs(part io.ReaderAt, size int64) (*Erofs, error) {
	var s [128]byte
	if _, err := part.ReadAt(s[:], 1024); err != nil {
		return nil, fmt.Errorf("read superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(s[:]) != 0xe0f5e1e2 {
		return nil, errors.New("holds no erofs file system")
	}
	f := &Erofs{part: part, size: size, budget: metadataBudget(size), blockBits: uint(s[12]),
		root: uint64(le.Uint16(s[14:])), built: int64(le.Uint64(s[24:])),
		blocks: int64(le.Uint32(s[36:])), incompat: le.Uint32(s[80:])}
	if f.blockBits < 9 || f.blockBits > 16 || f.blocks == 0 {
		return nil, errors.New("the erofs superblock is damaged")
	}
	if f.incompat&^erofsKnown != 0 {
		return nil, fmt.Errorf("the erofs file system has unsupported features (incompat %#x)",
			f.incompat)
	}
	f.meta = int64(le.Uint32(s[40:])) << f.blockBits
	f.shared = int64(le.Uint32(s[44:])) << f.blockBits
	return f, nil
}

func (f *Erofs) blockSize() int64 { return 1 << f.blockBits }

// Usage implements Files: nothing is free.
func (f *Erofs) Usage() Usage { return Usage{Total: f.blocks << f.blockBits} }

// Root implements Files.
func (f *Erofs) Root() (Inode, error) { return f.inode(f.root) }

// Stat implements Files.
func (f *Erofs) Stat(e DirEntry) (Inode, error) { return f.inode(e.inode) }

// readAt fills b: metadata that ends with the partition is damaged.
func (f *Erofs) readAt(b []byte, off int64) error {
	if f.budget -= int64(len(b)) + sector; f.budget < 0 {
		return errors.New("the file system is damaged: its metadata has no end")
	}
	if off < 0 || off > f.size-int64(len(b)) {
		return fmt.Errorf("byte %d is outside the partition of %d bytes: the file system is damaged "+
			"or cut off", off, f.size)
	}
	_, err := f.part.ReadAt(b, off)
	if err == io.EOF { // at the very end of the partition
		err = nil
	}
	return err
}

// inode reads an inode by its number, which is its place.
func (f *Erofs) inode(number uint64) (Inode, error) {
	var b [64]byte
	if number > 1<<40 {
		return Inode{}, fmt.Errorf("inode %d does not exist: the file system is damaged", number)
	}
	at := f.meta + int64(number)*32
	if err := f.readAt(b[:32], at); err != nil {
		return Inode{}, fmt.Errorf("read inode %d: %w", number, err)
	}
	le := binary.LittleEndian
	format, attributes := le.Uint16(b[:]), int64(le.Uint16(b[2:]))
	i := Inode{Number: number, Mode: le.Uint16(b[4:])}
	i.layout = erofsLayout{kind: int(format >> 1 & 7), start: le.Uint32(b[16:]), after: at + 32}
	if format&1 == 0 {
		i.Links, i.Size, i.Time = uint32(le.Uint16(b[6:])), int64(le.Uint32(b[8:])), f.built
		i.UID, i.GID = uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
	} else {
		if err := f.readAt(b[32:], at+32); err != nil {
			return Inode{}, fmt.Errorf("read inode %d: %w", number, err)
		}
		i.Size, i.Time = int64(le.Uint64(b[8:])), int64(le.Uint64(b[32:]))
		i.UID, i.GID, i.Links = le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[44:])
		i.layout.after += 32
	}
	if attributes > 0 {
		i.raw = make([]byte, 12+4*(attributes-1))
		if err := f.readAt(i.raw, i.layout.after); err != nil {
			return Inode{}, fmt.Errorf("read the attributes of inode %d: %w", number, err)
		}
		i.layout.after += int64(len(i.raw))
	}
	return i, f.measure(&i)
}

// measure finds out how many bytes of the partition the contents take.
func (f *Erofs) measure(i *Inode) error {
	if i.Size < 0 || i.layout.kind > erofsChunks {
		return fmt.Errorf("inode %d is damaged, or of an unsupported layout", i.Number)
	}
	switch t := i.Type(); {
	case t == ModeChar || t == ModeBlock:
		i.Device = deviceOf(0, i.layout.start)
	case t != ModeRegular && t != ModeDir && t != ModeLink:
	case i.layout.kind == erofsFull || i.layout.kind == erofsCompact:
		i.Stored = int64(i.layout.start) << f.blockBits
	case i.layout.kind == erofsInline:
		i.Stored = i.Size
	default:
		i.Stored = (i.Size + f.blockSize() - 1) >> f.blockBits << f.blockBits
	}
	if i.layout.kind != erofsChunks && i.Stored > f.blocks<<f.blockBits {
		return fmt.Errorf("inode %d has more bytes than the file system: it is damaged", i.Number)
	}
	return nil
}

// Target implements Files.
func (f *Erofs) Target(link Inode) (string, error) {
	data, err := contents(f, link, maxTarget)
	return string(data), err
}

// List implements Files. Each block of a directory begins with its entries, which lead to the names
// behind them.
func (f *Erofs) List(dir Inode) ([]DirEntry, error) {
	if dir.Type() != ModeDir {
		return nil, errNoDir
	}
	if f.budget -= dir.Size; f.budget < 0 {
		return nil, errors.New("the directories have no end: the file system is damaged")
	}
	data, err := contents(f, dir, maxDirectory)
	if err != nil {
		return nil, err
	}
	var entries []DirEntry
	for len(data) > 0 {
		block := data[:min(f.blockSize(), int64(len(data)))]
		data = data[len(block):]
		if entries, err = appendErofsEntries(entries, block); err != nil {
			return nil, err
		}
	}
	return once(entries)
}

func appendErofsEntries(entries []DirEntry, block []byte) ([]DirEntry, error) {
	const size = 12
	le, damaged := binary.LittleEndian, errors.New("the directory is damaged")
	if len(block) < size {
		return nil, damaged
	}
	names := int(le.Uint16(block[8:]))
	if names < size || names%size != 0 || names > len(block) {
		return nil, damaged
	}
	for at := 0; at < names; at += size {
		from, to := int(le.Uint16(block[at+8:])), len(block)
		if at+size < names {
			to = int(le.Uint16(block[at+size+8:]))
		}
		if from < names || to > len(block) || from >= to {
			return nil, damaged
		}
		text, _, _ := bytes.Cut(block[from:to], []byte{0})
		if name := string(text); name != "." && name != ".." {
			entries = append(entries, DirEntry{Name: name, Dir: block[at+10] == 2,
				inode: le.Uint64(block[at:])})
		}
	}
	return entries, nil
}

// Copy implements Files.
func (f *Erofs) Copy(to Sink, file Inode) error {
	if t := file.Type(); t != ModeRegular && t != ModeDir && t != ModeLink {
		return errors.New("has no contents")
	}
	start := int64(file.layout.start) << f.blockBits
	switch file.layout.kind {
	case erofsPlain:
		return f.copyBytes(to, start, file.Size)
	case erofsInline: // the last part, which does not fill a block, is behind the inode
		tail := file.Size & (f.blockSize() - 1)
		if err := f.copyBytes(to, start, file.Size-tail); err != nil {
			return err
		}
		return f.copyBytes(to, file.layout.after, tail)
	case erofsChunks:
		return f.copyChunks(to, file)
	}
	return f.copyClusters(to, file)
}

func (f *Erofs) copyBytes(to io.Writer, off, length int64) error {
	return copySection(to, f.part, f.size, off, length)
}

// copyChunks copies a file of chunks of equal size, whose blocks are in a list.
func (f *Erofs) copyChunks(to Sink, file Inode) error {
	const withDevice, noBlock = 0x20, 1<<32 - 1
	format := file.layout.start
	chunk := f.blockSize() << (format & 0x1f)
	width := int64(4)
	if format&withDevice != 0 {
		width = 8
	}
	if format&0x1f > 24 {
		return errors.New("its chunks are too large: the file system is damaged")
	}
	at := (file.layout.after + width - 1) &^ (width - 1)
	entry := make([]byte, width)
	for left := file.Size; left > 0; left -= chunk {
		if err := f.readAt(entry, at); err != nil {
			return fmt.Errorf("read its chunks: %w", err)
		}
		at += width
		length, block := min(chunk, left), int64(binary.LittleEndian.Uint32(entry[width-4:]))
		var err error
		if block == noBlock {
			err = to.Hole(length)
		} else {
			err = f.copyBytes(to, block<<f.blockBits, length)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Attributes implements Files.
func (f *Erofs) Attributes(file Inode) (map[string][]byte, error) {
	found := map[string][]byte{}
	if len(file.raw) < 12 {
		return found, nil
	}
	count := int(file.raw[4])
	if 12+4*count > len(file.raw) {
		return nil, errAttributes
	}
	for i := range count {
		id := int64(binary.LittleEndian.Uint32(file.raw[12+4*i:]))
		head := make([]byte, 4)
		if err := f.readAt(head, f.shared+4*id); err != nil {
			return nil, fmt.Errorf("read its attributes: %w", err)
		}
		entry := make([]byte, 4+int(head[0])+int(binary.LittleEndian.Uint16(head[2:])))
		if err := f.readAt(entry, f.shared+4*id); err != nil {
			return nil, fmt.Errorf("read its attributes: %w", err)
		}
		if _, err := erofsAttribute(entry, found); err != nil {
			return nil, err
		}
	}
	for rest := file.raw[12+4*count:]; len(rest) >= 4; {
		n, err := erofsAttribute(rest, found)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return found, nil
}

// erofsAttribute reads one attribute and returns its length.
func erofsAttribute(b []byte, found map[string][]byte) (int, error) {
	name, size := int(b[0]), int(binary.LittleEndian.Uint16(b[2:]))
	if name == 0 && size == 0 {
		return min(4, len(b)), nil // padding
	}
	prefix, known := attributePrefixes[b[1]]
	if !known || 4+name+size > len(b) {
		return 0, errAttributes
	}
	found[prefix+string(b[4:4+name])] = b[4+name : 4+name+size]
	return min((4+name+size+3)&^3, len(b)), nil
}
