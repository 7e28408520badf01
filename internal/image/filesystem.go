// Recognises file systems by their superblock, to learn how much of a partition they claim.

package image

import (
	"encoding/binary"
	"fmt"
	"io"
)

// FileSystem describes a file system by its superblock.
type FileSystem struct {
	Kind string // "ext4", "erofs", "vfat", "xfs", "squashfs"; empty if not recognised
	Size int64  // bytes from the start of the partition
	UUID string // for vfat the serial number, such as "1234-ABCD"; empty if the kind has none
}

// ReadFileSystem looks at the start of a partition. If it recognises nothing, that is no error:
// Kind is empty.
func ReadFileSystem(part io.ReaderAt) (FileSystem, error) {
	buf := make([]byte, 4096)
	if n, err := part.ReadAt(buf, 0); err != nil && (err != io.EOF || n < 2048) {
		return FileSystem{}, fmt.Errorf("read superblock: %w", err)
	}
	le, super := binary.LittleEndian, buf[1024:]
	switch {
	case le.Uint16(super[0x38:]) == 0xef53:
		blocks := uint64(le.Uint32(super[0x4:]))
		if le.Uint32(super[0x60:])&0x80 != 0 { // incompat feature 64bit
			blocks |= uint64(le.Uint32(super[0x150:])) << 32
		}
		return found("ext4", blocks, uint64(1024)<<(le.Uint32(super[0x18:])&31), super[0x68:])
	case le.Uint32(super) == 0xe0f5e1e2:
		return found("erofs", uint64(le.Uint32(super[36:])), uint64(1)<<(super[12]&31), super[48:])
	case string(buf[:4]) == "XFSB":
		be := binary.BigEndian
		return found("xfs", be.Uint64(buf[8:]), uint64(be.Uint32(buf[4:])), buf[32:])
	case string(buf[:4]) == "hsqs":
		return found("squashfs", le.Uint64(buf[40:]), 1, nil)
	case buf[510] == 0x55 && buf[511] == 0xaa && (string(buf[54:57]) == "FAT" ||
		string(buf[82:85]) == "FAT"):
		sectors := uint64(le.Uint16(buf[19:]))
		if sectors == 0 {
			sectors = uint64(le.Uint32(buf[32:]))
		}
		serial := le.Uint32(buf[39:])
		if string(buf[82:85]) == "FAT" { // FAT32
			serial = le.Uint32(buf[67:])
		}
		fs, err := found("vfat", sectors, uint64(le.Uint16(buf[11:])), nil)
		fs.UUID = fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff)
		return fs, err
	}
	return FileSystem{}, nil
}

func found(kind string, blocks, blockSize uint64, uuid []byte) (FileSystem, error) {
	if blocks > 1<<48 || blockSize > 1<<31 || blocks > 0 && blockSize > (1<<62)/blocks {
		return FileSystem{}, fmt.Errorf("%s superblock claims %d blocks of %d bytes: it is damaged", kind,
			blocks, blockSize)
	}
	fs := FileSystem{Kind: kind, Size: int64(blocks * blockSize)}
	if uuid != nil {
		fs.UUID = formatUUID([16]byte(uuid[:16]))
	}
	return fs, nil
}
