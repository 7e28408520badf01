// Limits: what git may take to read what a checkout has, or what a server sends.

package git

import "golang.org/x/sys/unix"

// maxMemory bounds the memory of git for data, not the files that it maps. Looking at the largest
// checkouts takes some hundred megabytes. Tests lower it, as git takes half a minute to fill it.
var maxMemory uint64 = 2 << 30

// bound bounds the memory of a process, and the size of the files that it writes unless file is 0.
// A file without end, as the list of attributes for instance, would else take all that there is. If
// it fails the process has ended.
func bound(pid int, file uint64) {
	limit := unix.Rlimit{Cur: maxMemory, Max: maxMemory}
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil)
	if file > 0 {
		limit = unix.Rlimit{Cur: file, Max: file}
		_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil)
	}
}
