// File systems as Linux names them: by numbers.

package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// readOnly is the flag of a file system that nothing can be written to.
const readOnly = unix.ST_RDONLY

// kindOf returns the type of a file system.
func kindOf(st *unix.Statfs_t) string {
	if name, ok := magics[int64(st.Type)]; ok {
		return name
	}
	return fmt.Sprintf("a file system of type %#x", st.Type)
}

var magics = map[int64]string{
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.TMPFS_MAGIC:       "tmpfs", unix.NFS_SUPER_MAGIC: "nfs", unix.F2FS_SUPER_MAGIC: "f2fs",
	0x2fc12fc1: "zfs", unix.FUSE_SUPER_MAGIC: "fuse",
}
