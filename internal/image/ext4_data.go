// Reads the contents of ext4 files and directories: in extents, in mapped blocks as ext2 has them,
// or inside of inodes; and extended attributes.

package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var errExtents = errors.New("its extent tree is damaged")

// Copy implements Files.
func (e *Ext4) Copy(to Sink, file Inode) error {
	if t := file.Type(); t != ModeRegular && t != ModeDir && t != ModeLink {
		return errors.New("has no contents")
	}
	c := &copier{e: e, to: to, size: file.Size}
	var err error
	switch flags := file.flags(); {
	case flags&inodeIsInline != 0:
		return e.copyInline(to, file)
	case flags&inodeUsesExtents != 0:
		err = c.extents(file.block(), maxExtentDepth)
	default:
		err = c.mapped(file.block())
	}
	if err == nil && c.at < c.size {
		err = to.Hole(c.size - c.at)
	}
	return err
}

// copier copies the contents of one file, front to back.
type copier struct {
	e    *Ext4
	to   Sink
	size int64
	at   int64 // where the file goes on
	// next is the first block of the file that the next extent may have: of extents that overlap each
	// reader would take another one.
	next int64
}

// run copies count blocks that lie one after the other in the partition to a place in the file.
func (c *copier) run(first, count, block int64) error {
	from := first * c.e.blockSize
	if from >= c.size {
		return nil // preallocated beyond the end
	}
	if from < c.at {
		return errExtents
	}
	if from > c.at {
		if err := c.to.Hole(from - c.at); err != nil {
			return err
		}
	}
	length := min(count*c.e.blockSize, c.size-from)
	c.at = from + length
	return c.e.copyBytes(c.to, block*c.e.blockSize, length)
}

// copyBytes copies bytes of the partition. Those of files count only as what is read of an image.
func (e *Ext4) copyBytes(to io.Writer, off, length int64) error {
	if err := e.take(sector); err != nil {
		return err
	}
	return copySection(to, e.part, e.size, off, length)
}

// extents copies the data under a node of an extent tree.
func (c *copier) extents(node []byte, maxDepth int) error {
	le := binary.LittleEndian
	count, depth := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != extentMagic || 12+12*count > len(node) || depth > maxDepth {
		return errExtents
	}
	for i := range count {
		entry := node[12+12*i:][:12]
		if depth > 0 {
			child := make([]byte, c.e.blockSize)
			block := int64(le.Uint32(entry[4:])) | int64(le.Uint16(entry[8:]))<<32
			if err := c.e.readAt(child, block*c.e.blockSize); err != nil {
				return fmt.Errorf("read its extent tree: %w", err)
			}
			if err := c.extents(child, depth-1); err != nil {
				return err
			}
			continue
		}
		first, length := int64(le.Uint32(entry)), int64(le.Uint16(entry[4:]))
		written := length <= 1<<15 // others are allocated and zeros
		if !written {
			length -= 1 << 15
		}
		if first < c.next {
			return errors.New("its extents overlap or are not in order")
		}
		if c.next = first + length; !written {
			continue
		}
		block := int64(le.Uint32(entry[8:])) | int64(le.Uint16(entry[6:]))<<32
		if err := c.run(first, length, block); err != nil {
			return err
		}
	}
	return nil
}

// mapped copies the data of a file without extents: twelve blocks, then those that one, two and
// three levels of blocks with numbers lead to.
func (c *copier) mapped(pointers []byte) error {
	per := c.e.blockSize / 4
	first := int64(0)
	for i, span := 0, int64(1); i < 15; i++ {
		if i >= 12 {
			span *= per
		}
		block := int64(binary.LittleEndian.Uint32(pointers[4*i:]))
		if err := c.level(max(0, i-11), first, span, block); err != nil {
			return err
		}
		first += span
	}
	return nil
}

// level copies a block of data, or what lies under a block of numbers.
func (c *copier) level(depth int, first, span, block int64) error {
	if block == 0 || first*c.e.blockSize >= c.size {
		return nil
	}
	if depth == 0 {
		return c.run(first, 1, block)
	}
	numbers := make([]byte, c.e.blockSize)
	if err := c.e.readAt(numbers, block*c.e.blockSize); err != nil {
		return fmt.Errorf("read its block map: %w", err)
	}
	span /= c.e.blockSize / 4
	for i := int64(0); i < int64(len(numbers))/4; i++ {
		block := int64(binary.LittleEndian.Uint32(numbers[4*i:]))
		if err := c.level(depth-1, first+i*span, span, block); err != nil {
			return err
		}
	}
	return nil
}

// inlineData is the attribute with what does not fit into the block of an inode with its contents.
const inlineData = "system.data"

func (e *Ext4) copyInline(to Sink, file Inode) error {
	data := append([]byte{}, file.block()...)
	attributes, err := inodeAttributes(file.raw)
	if err != nil {
		return err
	}
	data = append(data, attributes[inlineData]...)
	inside := min(file.Size, int64(len(data)))
	if _, err = to.Write(data[:inside]); err == nil && inside < file.Size {
		err = to.Hole(file.Size - inside)
	}
	return err
}

// List implements Files. The nodes of a hash index look like empty entries, by design.
func (e *Ext4) List(dir Inode) ([]DirEntry, error) {
	if dir.Type() != ModeDir {
		return nil, errNoDir
	}
	if dir.flags()&inodeIsInline != 0 {
		return e.listInline(dir)
	}
	if err := e.take(dir.Size); err != nil {
		return nil, err
	}
	data, err := contents(e, dir, maxDirectory)
	if err != nil {
		return nil, err
	}
	entries, err := appendEntries(nil, data)
	if err != nil {
		return nil, err
	}
	return once(entries)
}

// listInline lists a directory inside of an inode: first the number of its parent, then entries in
// two parts, none of which goes across.
func (e *Ext4) listInline(dir Inode) ([]DirEntry, error) {
	attributes, err := inodeAttributes(dir.raw)
	if err != nil {
		return nil, err
	}
	entries, err := appendEntries(nil, dir.block()[4:])
	if err != nil {
		return nil, err
	}
	if entries, err = appendEntries(entries, attributes[inlineData]); err != nil {
		return nil, err
	}
	return once(entries)
}

func appendEntries(entries []DirEntry, data []byte) ([]DirEntry, error) {
	le := binary.LittleEndian
	for len(data) >= 8 {
		number, length, name, kind := le.Uint32(data), int(le.Uint16(data[4:])), int(data[6]), data[7]
		if length < 8+name || length > len(data) {
			return nil, errors.New("the directory is damaged")
		}
		text := string(data[8 : 8+name])
		if number != 0 && text != "." && text != ".." {
			entries = append(entries, DirEntry{Name: text, Dir: kind == 2, inode: uint64(number)})
		}
		data = data[length:]
	}
	return entries, nil
}

// Attributes implements Files.
func (e *Ext4) Attributes(file Inode) (map[string][]byte, error) {
	found, err := inodeAttributes(file.raw)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	block := int64(le.Uint32(file.raw[0x68:])) | int64(le.Uint16(file.raw[0x76:]))<<32
	if block != 0 {
		data := make([]byte, e.blockSize)
		if err := e.readAt(data, block*e.blockSize); err != nil {
			return nil, fmt.Errorf("read its attributes: %w", err)
		}
		if le.Uint32(data) != attributeMagic {
			return nil, errAttributes
		}
		if err := readAttributes(data[32:], data, found); err != nil {
			return nil, err
		}
	}
	delete(found, inlineData)
	return found, nil
}

const attributeMagic = 0xea020000

var errAttributes = errors.New("its extended attributes are damaged")

// attributePrefixes are the beginnings of names that file systems store as a number.
var attributePrefixes = map[byte]string{0: "", 1: "user.", 2: "system.posix_acl_access",
	3: "system.posix_acl_default", 4: "trusted.", 6: "security.", 7: "system.", 8: "system.richacl"}

// inodeAttributes returns the attributes in the end of an inode.
func inodeAttributes(raw []byte) (map[string][]byte, error) {
	found := map[string][]byte{}
	le := binary.LittleEndian
	if len(raw) < 0x84 {
		return found, nil
	}
	start := 128 + int(le.Uint16(raw[0x80:]))
	if start+4 > len(raw) || le.Uint32(raw[start:]) != attributeMagic {
		return found, nil
	}
	area := raw[start+4:]
	return found, readAttributes(area, area, found)
}

// readAttributes reads entries; the values lie at offsets of values.
func readAttributes(entries, values []byte, found map[string][]byte) error {
	le := binary.LittleEndian
	for len(entries) >= 4 && le.Uint32(entries) != 0 {
		if len(entries) < 16 {
			return errAttributes
		}
		name, at := int(entries[0]), int(le.Uint16(entries[2:]))
		inode, size := le.Uint32(entries[4:]), int64(le.Uint32(entries[8:]))
		prefix, known := attributePrefixes[entries[1]]
		if 16+name > len(entries) || inode != 0 || !known || int64(at)+size > int64(len(values)) {
			return errAttributes
		}
		found[prefix+string(entries[16:16+name])] = values[at : int64(at)+size]
		next := (16 + name + 3) &^ 3
		if next > len(entries) {
			return errAttributes
		}
		entries = entries[next:]
	}
	return nil
}
