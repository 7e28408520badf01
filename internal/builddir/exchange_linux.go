// Exchanging two directories in one system call.

package builddir

import "golang.org/x/sys/unix"

// exchange swaps the names of a and b atomically. It fails with EINVAL if the file system cannot do
// that.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
