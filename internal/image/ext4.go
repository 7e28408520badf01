// Reads files from an ext4 file system without mounting it: read-only, and as mkfs.ext4 makes it.
//
// github.com/diskfs/go-diskfs 1.9.4 was tried first: it rejects file systems without metadata_csum,
// panics on damaged directories, and knows only FAT32, which an ESP of 5 MiB is not.

package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Ext4 is an ext4 file system in a partition. Whatever the partition contains, reading it ends
// soon, at worst with an error, and takes little memory. Checksums of metadata are not checked: the
// hash tree covers the root file system.
type Ext4 struct {
	part       io.ReaderAt
	size       int64 // of the partition, in bytes
	blockSize  int64
	blocks     uint64
	free       uint64
	inodes     uint32
	groupSize  uint32 // inodes per group
	inodeSize  int64
	groupTable int64 // offset of the group descriptors, in bytes
	groupDesc  int64 // size of one, in bytes
	budget     int64 // bytes that may still be read or allocated
}

// DirEntry is one name in a directory.
type DirEntry struct {
	Name string
	Dir  bool
	Size int64 // bytes; 0 for directories and in listings of ext4

	inode uint32
	short string // the other name in FAT
}

// ErrNotFound reports that a file system has no file of the given name.
var ErrNotFound = errors.New("no such file")

var errNoDir = errors.New("is not a directory")

const (
	ext4Magic      = 0xef53
	extentMagic    = 0xf30a
	maxExtentDepth = 5       // the limit of ext4 itself
	maxDirectory   = 4 << 20 // bytes
	// ext4Budget bounds the bytes that are read and allocated for one file system. What is read
	// most is a kernel, of less than maxProgram bytes: for its own signature and for GRUB's.
	ext4Budget = 512 << 20

	// Bits of s_feature_incompat.
	incompatMetaBG = 0x10
	incompat64Bit  = 0x80
	// compression, journal device, meta_bg, encryption
	incompatUnknown = 0x1 | 0x8 | incompatMetaBG | 0x10000

	inodeUsesExtents = 0x80000
	inodeIsInline    = 0x10000000
	modeType         = 0xf000
	modeDir          = 0x4000
	modeRegular      = 0x8000
	modeLink         = 0xa000
	rootInode        = 2

	// Symbolic links that one name may lead through, and bytes of one's target: the limits of Linux.
	maxExt4Links  = 40
	maxExt4Target = 4096
)

// OpenExt4 reads the superblock of an ext4 file system in a partition of size bytes (kernel
// documentation, filesystems/ext4/super.rst).
func OpenExt4(part io.ReaderAt, size int64) (*Ext4, error) {
	var s [1024]byte
	if _, err := part.ReadAt(s[:], 1024); err != nil {
		return nil, fmt.Errorf("read superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(s[0x38:]) != ext4Magic {
		return nil, errors.New("holds no ext4 file system")
	}
	e := &Ext4{
		part: part, size: size, budget: ext4Budget,
		blockSize: 1024 << (le.Uint32(s[0x18:]) & 31),
		blocks:    uint64(le.Uint32(s[0x4:])), free: uint64(le.Uint32(s[0xc:])),
		inodes: le.Uint32(s[0x0:]), groupSize: le.Uint32(s[0x28:]),
		inodeSize: 128, groupDesc: 32,
	}
	if le.Uint32(s[0x4c:]) > 0 { // revision 0 had a fixed size
		e.inodeSize = int64(le.Uint16(s[0x58:]))
	}
	incompat := le.Uint32(s[0x60:])
	if incompat&incompat64Bit != 0 {
		e.blocks |= uint64(le.Uint32(s[0x150:])) << 32
		e.free |= uint64(le.Uint32(s[0x158:])) << 32
		e.groupDesc = int64(le.Uint16(s[0xfe:]))
	}
	e.groupTable = (int64(le.Uint32(s[0x14:])) + 1) * e.blockSize
	switch {
	case incompat&incompatUnknown != 0:
		return nil, fmt.Errorf("the ext4 file system has unsupported features "+
			"(incompat %#x)", incompat)
	case e.blockSize > 32<<10, e.inodeSize < 128, e.inodeSize > e.blockSize,
		e.groupDesc < 32, e.groupDesc > e.blockSize, e.groupSize == 0, e.groupTable > size,
		e.blocks == 0, e.blocks > 1<<48, e.free > e.blocks:
		return nil, errors.New("the ext4 superblock is damaged")
	}
	return e, nil
}

// Used returns how many bytes of the file system are in use, including its own metadata.
func (e *Ext4) Used() int64 { return int64(e.blocks-e.free) * e.blockSize }

// ReadFile returns the contents of a regular file of at most limit bytes. The name is a slash path
// from the root. Symbolic links are followed inside the file system. The error is ErrNotFound if
// the file does not exist.
func (e *Ext4) ReadFile(name string, limit int64) ([]byte, error) {
	raw, err := e.find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if mode(raw)&modeType != modeRegular {
		return nil, fmt.Errorf("%s: is not a regular file", name)
	}
	data, err := e.contents(raw, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// FileSize returns the size of a regular file in bytes. The error is ErrNotFound if it does not
// exist.
func (e *Ext4) FileSize(name string) (int64, error) {
	raw, err := e.find(name)
	if err == nil && mode(raw)&modeType != modeRegular {
		err = errors.New("is not a regular file")
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return int64(fileSize(raw)), nil
}

// ReadDir lists a directory in its own order, without "." and "..".
func (e *Ext4) ReadDir(name string) ([]DirEntry, error) {
	raw, err := e.find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	entries, err := e.list(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return entries, nil
}

// find walks from the root directory to a name and returns its inode.
func (e *Ext4) find(name string) ([]byte, error) {
	way, err := e.way(name)
	if err != nil {
		return nil, err
	}
	return way[len(way)-1], nil
}

// way is find with the inodes of all directories on the way, the root first.
func (e *Ext4) way(name string) ([][]byte, error) {
	root, err := e.inode(rootInode)
	if err != nil {
		return nil, err
	}
	return e.walk([][]byte{root}, name)
}

// walk goes on from the end of a way. As in a mounted system, the root has no parent and links that
// begin with a slash start there.
func (e *Ext4) walk(way [][]byte, name string) ([][]byte, error) {
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if mode(way[len(way)-1])&modeType != modeDir {
				return nil, errNoDir
			}
			way = way[:max(1, len(way)-1)]
			continue
		}
		raw, err := e.child(way[len(way)-1], part)
		if err != nil {
			return nil, err
		}
		if mode(raw)&modeType != modeLink {
			way = append(way, raw)
			continue
		}
		if links++; links > maxExt4Links {
			return nil, fmt.Errorf("leads through more than %d symbolic links", maxExt4Links)
		}
		target, err := e.target(raw)
		if err != nil {
			return nil, fmt.Errorf("symbolic link %q: %w", part, err)
		}
		if strings.HasPrefix(target, "/") {
			way = way[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return way, nil
}

// child returns the inode that a directory has under a name.
func (e *Ext4) child(dir []byte, name string) ([]byte, error) {
	entries, err := e.list(dir)
	if err != nil {
		return nil, err
	}
	number := uint32(0)
	for _, entry := range entries {
		if entry.Name == name {
			number = entry.inode
		}
	}
	if number == 0 {
		return nil, ErrNotFound
	}
	return e.inode(number)
}

// target returns what a symbolic link leads to. A short one is in the inode itself.
func (e *Ext4) target(inode []byte) (string, error) {
	size, inside := fileSize(inode), inode[0x28:0x28+60]
	if size < uint64(len(inside)) {
		return string(inside[:size]), nil
	}
	data, err := e.contents(inode, maxExt4Target)
	return string(data), err
}

// inode reads an inode by its number, which starts at 1.
func (e *Ext4) inode(number uint32) ([]byte, error) {
	if number == 0 || number > e.inodes {
		return nil, fmt.Errorf("inode %d does not exist: the file system is damaged", number)
	}
	group, index := int64((number-1)/e.groupSize), int64((number-1)%e.groupSize)
	desc := make([]byte, e.groupDesc)
	if err := e.readAt(desc, e.groupTable+group*e.groupDesc); err != nil {
		return nil, fmt.Errorf("read descriptor of group %d: %w", group, err)
	}
	table := uint64(binary.LittleEndian.Uint32(desc[0x8:]))
	if e.groupDesc >= 64 {
		table |= uint64(binary.LittleEndian.Uint32(desc[0x28:])) << 32
	}
	if table >= e.blocks {
		return nil, fmt.Errorf("the inodes of group %d lie in block %d of %d: the file system is damaged",
			group, table, e.blocks)
	}
	raw := make([]byte, e.inodeSize)
	if err := e.readAt(raw, int64(table)*e.blockSize+index*e.inodeSize); err != nil {
		return nil, fmt.Errorf("read inode %d: %w", number, err)
	}
	return raw, nil
}

func mode(inode []byte) uint16 { return binary.LittleEndian.Uint16(inode) }

func fileSize(inode []byte) uint64 {
	le := binary.LittleEndian
	return uint64(le.Uint32(inode[0x4:])) | uint64(le.Uint32(inode[0x6c:]))<<32
}

// readAt fills b: metadata that ends with the partition is damaged.
func (e *Ext4) readAt(b []byte, off int64) error {
	if err := e.take(int64(len(b)) + sector); err != nil {
		return err
	}
	if off < 0 || off > e.size-int64(len(b)) {
		return fmt.Errorf("byte %d is outside the partition of %d bytes: the file system is damaged "+
			"or cut off", off, e.size)
	}
	_, err := e.part.ReadAt(b, off)
	if err == io.EOF { // at the very end of the partition
		err = nil
	}
	return err
}

// take accounts for bytes that are read or allocated.
func (e *Ext4) take(n int64) error {
	if e.budget -= n; e.budget < 0 {
		return errors.New("the file system is damaged: its metadata has no end")
	}
	return nil
}

// contents returns the data of an inode of at most limit bytes.
func (e *Ext4) contents(inode []byte, limit int64) ([]byte, error) {
	flags, size := binary.LittleEndian.Uint32(inode[0x20:]), fileSize(inode)
	switch {
	case size > uint64(limit):
		return nil, fmt.Errorf("has %d bytes, more than the expected limit of %d", size, limit)
	case flags&inodeIsInline != 0, flags&inodeUsesExtents == 0:
		return nil, fmt.Errorf("is not stored in extents (flags %#x), and nothing else is supported",
			flags)
	}
	if err := e.take(int64(size)); err != nil {
		return nil, err
	}
	data := make([]byte, size) // what no extent covers is a hole
	next := int64(0)
	return data, e.readExtents(inode[0x28:0x28+60], maxExtentDepth, data, &next)
}

// readExtents copies the data under a node of an extent tree to its place in the file. next is the
// first block that may follow: of extents that overlap each reader would take another one.
func (e *Ext4) readExtents(node []byte, maxDepth int, data []byte, next *int64) error {
	le := binary.LittleEndian
	count, depth := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != extentMagic || 12+12*count > len(node) || depth > maxDepth {
		return errors.New("its extent tree is damaged")
	}
	for i := range count {
		entry := node[12+12*i:][:12]
		if depth > 0 {
			child := make([]byte, e.blockSize)
			block := int64(le.Uint32(entry[4:])) | int64(le.Uint16(entry[8:]))<<32
			if err := e.readAt(child, block*e.blockSize); err != nil {
				return fmt.Errorf("read its extent tree: %w", err)
			}
			if err := e.readExtents(child, depth-1, data, next); err != nil {
				return err
			}
			continue
		}
		first, length := int64(le.Uint32(entry)), int64(le.Uint16(entry[4:]))
		written := length <= 1<<15 // others are allocated and zeros
		if !written {
			length -= 1 << 15
		}
		if first < *next {
			return errors.New("its extents overlap or are not in order")
		}
		if *next = first + length; !written {
			continue
		}
		if first*e.blockSize >= int64(len(data)) {
			continue // preallocated beyond the end
		}
		to := data[first*e.blockSize:]
		to = to[:min(int64(len(to)), length*e.blockSize)]
		block := int64(le.Uint32(entry[8:])) | int64(le.Uint16(entry[6:]))<<32
		if err := e.readAt(to, block*e.blockSize); err != nil {
			return fmt.Errorf("read its data: %w", err)
		}
	}
	return nil
}

// list returns the entries of a directory. The nodes of its hash index look like empty entries, by
// design.
func (e *Ext4) list(inode []byte) ([]DirEntry, error) {
	if mode(inode)&modeType != modeDir {
		return nil, errNoDir
	}
	data, err := e.contents(inode, maxDirectory)
	if err != nil {
		return nil, err
	}
	var entries []DirEntry
	names := map[string]bool{}
	for len(data) >= 8 {
		le := binary.LittleEndian
		number, length, name, kind := le.Uint32(data), int(le.Uint16(data[4:])), int(data[6]), data[7]
		if length < 8+name || length > len(data) {
			return nil, errors.New("the directory is damaged")
		}
		text := string(data[8 : 8+name])
		if number != 0 && names[text] {
			return nil, fmt.Errorf("the directory has the name %q twice: it is damaged", text)
		}
		if names[text] = number != 0; number != 0 && text != "." && text != ".." {
			entries = append(entries, DirEntry{Name: text, Dir: kind == 2, inode: number})
		}
		data = data[length:]
	}
	return entries, nil
}
