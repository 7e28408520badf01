// What only Linux has: files that share their bytes, and an error for a damaged file system.

package cache

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// clone makes the empty file to share all bytes of from, and reports whether the file system can.
func clone(to, from *os.File) bool {
	return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil
}

// needsRepair reports whether an error says that the file system is damaged.
func needsRepair(err error) bool { return errors.Is(err, syscall.EUCLEAN) }
