// verify.go proves that the root file system is the one that the boot loader named: it is mapped by
// dm-verity, and every block of it has the hash it should have. dm-verity alone checks a block when
// something reads it; reading everything once finds a damaged block now and not on the day it is
// needed.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"skiff/internal/dm"
)

const readSize = 1 << 20

// verifyRoot returns the line that tells what was verified.
func verifyRoot() (string, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat("/", &stat); err != nil {
		return "", fmt.Errorf("stat /: %w", err)
	}
	major, minor := split(uint64(stat.Dev))
	table, err := dm.Table(major, minor)
	if errors.Is(err, syscall.ENXIO) {
		return "", fmt.Errorf("device %d:%d is no mapped device: the kernel command line has no "+
			"dm-mod.create, or a root= "+
			"other than /dev/dm-0", major, minor)
	}
	if err != nil {
		return "", err
	}
	if table.Type != "verity" || !table.ReadOnly {
		return "", fmt.Errorf("the root device is mapped by %q, read-only %t; expected read-only verity",
			table.Type, table.ReadOnly)
	}
	tree, err := dm.ParseVerity(table.Params)
	if err != nil {
		return "", err
	}
	start := time.Now()
	if err := readAll(major, minor, tree.DataBytes); err != nil {
		return "", err
	}
	status, err := dm.Status(major, minor)
	if err != nil {
		return "", err
	}
	if err := dm.Intact(status.Params); err != nil {
		return "", err
	}
	return fmt.Sprintf("root verified: %s %s (%d MiB in %.1f s)",
		tree.Algorithm, tree.RootHash, tree.DataBytes>>20, time.Since(start).Seconds()), nil
}

// readAll reads the first size bytes of a block device and throws them away.
func readAll(major, minor uint32, size int64) error {
	link, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return fmt.Errorf("root device: %w", err)
	}
	device := filepath.Join("/dev", strings.ReplaceAll(filepath.Base(link), "!", "/"))
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("root device: %w", err)
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(f, size),
		make([]byte, readSize))
	if err != nil {
		return fmt.Errorf("read %s at %d of %d bytes: %w", device, n, size, err)
	}
	if n != size {
		return fmt.Errorf("%s ends after %d of %d bytes", device, n, size)
	}
	return nil
}

// split takes a device number apart, as glibc's major() and minor() do.
func split(dev uint64) (major, minor uint32) {
	return uint32(dev>>8&0xfff | dev>>32&^0xfff), uint32(dev&0xff | dev>>12&^0xff)
}
