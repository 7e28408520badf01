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
	budget     int64 // bytes of metadata and small files that may still be read
}

const (
	ext4Magic      = 0xef53
	extentMagic    = 0xf30a
	maxExtentDepth = 5        // the limit of ext4 itself
	maxDirectory   = 64 << 20 // bytes
	// Bytes of metadata that are read of one file system: a quarter of a million files of ext4 take
	// the lower bound.
	minMetadata = 512 << 20
	maxMetadata = 16 << 30

	// Bits of s_feature_incompat.
	incompatMetaBG = 0x10
	incompat64Bit  = 0x80
	// compression, journal device, meta_bg, encryption
	incompatUnknown = 0x1 | 0x8 | incompatMetaBG | 0x10000

	inodeIsHuge      = 0x40000 // its size in the partition is counted in blocks
	inodeUsesExtents = 0x80000
	inodeIsInline    = 0x10000000
	rootInode        = 2
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
		part: part, size: size, budget: metadataBudget(size),
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

// metadataBudget returns how many bytes of metadata may be read of a file system in a partition of
// size bytes. A partition may claim any size, as holes cost nothing.
func metadataBudget(size int64) int64 { return min(max(size, minMetadata), maxMetadata) }

// Used returns how many bytes of the file system are in use, including its own metadata.
func (e *Ext4) Used() int64 { return int64(e.blocks-e.free) * e.blockSize }

// ReadFile returns the contents of a regular file of at most limit bytes. The name is a slash path
// from the root. Symbolic links are followed inside the file system. The error is ErrNotFound if
// the file does not exist.
func (e *Ext4) ReadFile(name string, limit int64) ([]byte, error) {
	return ReadFile(e, name, limit)
}

// FileSize returns the size of a regular file in bytes. The error is ErrNotFound if it does not
// exist.
func (e *Ext4) FileSize(name string) (int64, error) {
	inode, _, err := Find(e, name, true)
	if err == nil && inode.Type() != ModeRegular {
		err = errors.New("is not a regular file")
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return inode.Size, nil
}

// Root implements Files.
func (e *Ext4) Root() (Inode, error) { return e.inode(rootInode) }

// Stat implements Files.
func (e *Ext4) Stat(entry DirEntry) (Inode, error) { return e.inode(entry.inode) }

// Usage implements Files.
func (e *Ext4) Usage() Usage {
	return Usage{Total: int64(e.blocks) * e.blockSize, Free: int64(e.free) * e.blockSize}
}

// Target implements Files. A short one is in the inode itself.
func (e *Ext4) Target(link Inode) (string, error) {
	inside := link.block()
	if link.flags()&(inodeIsInline|inodeUsesExtents) == 0 && link.Size < int64(len(inside)) {
		return string(inside[:link.Size]), nil
	}
	data, err := contents(e, link, maxTarget)
	return string(data), err
}

// inode reads an inode by its number, which starts at 1.
func (e *Ext4) inode(number uint64) (Inode, error) {
	if number == 0 || number > uint64(e.inodes) {
		return Inode{}, fmt.Errorf("inode %d does not exist: the file system is damaged", number)
	}
	group, index := int64(number-1)/int64(e.groupSize), int64(number-1)%int64(e.groupSize)
	desc := make([]byte, e.groupDesc)
	if err := e.readAt(desc, e.groupTable+group*e.groupDesc); err != nil {
		return Inode{}, fmt.Errorf("read descriptor of group %d: %w", group, err)
	}
	table := uint64(binary.LittleEndian.Uint32(desc[0x8:]))
	if e.groupDesc >= 64 {
		table |= uint64(binary.LittleEndian.Uint32(desc[0x28:])) << 32
	}
	if table >= e.blocks {
		return Inode{}, fmt.Errorf("the inodes of group %d lie in block %d of %d: the file "+
			"system is damaged",
			group, table, e.blocks)
	}
	raw := make([]byte, e.inodeSize)
	if err := e.readAt(raw, int64(table)*e.blockSize+index*e.inodeSize); err != nil {
		return Inode{}, fmt.Errorf("read inode %d: %w", number, err)
	}
	return e.decode(number, raw)
}

// decode decodes an inode as it is stored (kernel documentation, filesystems/ext4/inodes.rst).
func (e *Ext4) decode(number uint64, raw []byte) (Inode, error) {
	le := binary.LittleEndian
	i := Inode{Number: number, Mode: le.Uint16(raw), raw: raw,
		UID:   uint32(le.Uint16(raw[0x2:])) | uint32(le.Uint16(raw[0x78:]))<<16,
		GID:   uint32(le.Uint16(raw[0x18:])) | uint32(le.Uint16(raw[0x7a:]))<<16,
		Links: uint32(le.Uint16(raw[0x1a:])),
		Size:  int64(le.Uint32(raw[0x4:])) | int64(le.Uint32(raw[0x6c:]))<<32,
		Time:  int64(int32(le.Uint32(raw[0x10:]))),
	}
	if len(raw) >= 0x8c && le.Uint16(raw[0x80:]) >= 0x8c-128 { // two more bits of seconds
		i.Time += int64(le.Uint32(raw[0x88:])&3) << 32
	}
	unit := int64(sector)
	if i.flags()&inodeIsHuge != 0 {
		unit = e.blockSize
	}
	i.Stored = (int64(le.Uint32(raw[0x1c:])) | int64(le.Uint16(raw[0x74:]))<<32) * unit
	if i.Stored > int64(e.blocks)*e.blockSize || i.Size < 0 {
		return Inode{}, fmt.Errorf("inode %d has more bytes than the file system: it is damaged", number)
	}
	if t := i.Type(); t == ModeChar || t == ModeBlock {
		i.Device = deviceOf(le.Uint32(i.block()), le.Uint32(i.block()[4:]))
	}
	return i, nil
}

// deviceOf decodes the numbers of a device in Linux's old form, or if that is empty in its new one.
func deviceOf(old, huge uint32) [2]uint32 {
	if old != 0 {
		return [2]uint32{old >> 8 & 0xff, old & 0xff}
	}
	return [2]uint32{huge >> 8 & 0xfff, huge&0xff | huge>>12&0xfff00}
}

func (i Inode) flags() uint32 { return binary.LittleEndian.Uint32(i.raw[0x20:]) }

// block returns the part of an ext4 inode that leads to the contents.
func (i Inode) block() []byte { return i.raw[0x28 : 0x28+60] }

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
