// Package dm asks the kernel's device mapper about a mapped device, through the ioctl of
// <linux/dm-ioctl.h>.
package dm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Sizes and numbers of <linux/dm-ioctl.h>. The layout is the same on every 64-bit architecture.
const (
	headerSize = 312 // struct dm_ioctl
	specSize   = 40  // struct dm_target_spec
	nameOffset = 48
	devOffset  = 40
	bufferSize = 16 << 10
	// _IOWR(DM_IOCTL, DM_TABLE_STATUS_CMD, struct dm_ioctl)
	tableStatus = 3<<30 | headerSize<<16 | 0xfd<<8 | 12

	flagReadOnly    = 1 << 0
	flagStatusTable = 1 << 4
	flagBufferFull  = 1 << 8
)

// control is the node that devtmpfs makes for the device mapper.
const control = "/dev/mapper/control"

// Target is one row of a mapped device's table.
type Target struct {
	ReadOnly bool   // of the whole device
	Sectors  uint64 // length in 512-byte sectors
	Type     string // "verity", "linear" and so on
	Params   string // the target's arguments, or its status
}

// Table returns the arguments of the single target of device major:minor.
func Table(major, minor uint32) (Target, error) { return query(major, minor, flagStatusTable) }

// Status returns the state of the single target of device major:minor.
func Status(major, minor uint32) (Target, error) { return query(major, minor, 0) }

func query(major, minor, flags uint32) (Target, error) {
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		return Target{}, fmt.Errorf("device mapper: %w", err)
	}
	defer f.Close()
	buf := request(major, minor, flags)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), tableStatus,
		uintptr(unsafe.Pointer(&buf[0]))); errno != 0 {
		return Target{}, fmt.Errorf("device mapper: table status of device %d:%d: %w", major, minor,
			errno)
	}
	return parse(buf)
}

// request makes a struct dm_ioctl that names the device by its number, with room for the answer
// behind it.
func request(major, minor, flags uint32) []byte {
	buf := make([]byte, bufferSize)
	le := binary.NativeEndian
	le.PutUint32(buf[0:], 4) // interface version 4.0.0, which every kernel since 2.6 speaks
	le.PutUint32(buf[12:], bufferSize)
	le.PutUint32(buf[16:], headerSize)
	le.PutUint32(buf[28:], flags)
	le.PutUint64(buf[devOffset:], deviceNumber(major, minor))
	return buf
}

// deviceNumber is the kernel's huge_encode_dev.
func deviceNumber(major, minor uint32) uint64 {
	return uint64(minor&0xff | major<<8 | (minor&^0xff)<<12)
}

// parse reads the kernel's answer: header, one dm_target_spec, its string.
func parse(buf []byte) (Target, error) {
	if len(buf) < headerSize {
		return Target{}, fmt.Errorf("device mapper: answer of %d bytes is shorter than its header",
			len(buf))
	}
	le := binary.NativeEndian
	size, start, count, flags := le.Uint32(buf[12:]), le.Uint32(buf[16:]), le.Uint32(buf[20:]), le.Uint32(buf[28:])
	if flags&flagBufferFull != 0 {
		return Target{}, fmt.Errorf("device mapper: answer does not fit into %d bytes", len(buf))
	}
	if count != 1 {
		return Target{}, fmt.Errorf("device mapper: device %q has %d targets, expected 1",
			text(buf[nameOffset:headerSize]), count)
	}
	if uint64(size) > uint64(len(buf)) || uint64(start)+specSize > uint64(size) {
		return Target{}, fmt.Errorf("device mapper: answer's target at %d..%d lies outside its %d bytes",
			start, size, len(buf))
	}
	spec := buf[start:size]
	return Target{
		ReadOnly: flags&flagReadOnly != 0,
		Sectors:  le.Uint64(spec[8:]),
		Type:     text(spec[24:specSize]),
		Params:   text(spec[specSize:]),
	}, nil
}

// text is the NUL-terminated string at the start of b.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
