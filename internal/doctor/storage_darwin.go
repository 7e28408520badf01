// File systems as macOS names them: by names.

package doctor

import "golang.org/x/sys/unix"

const readOnly = unix.MNT_RDONLY

func kindOf(st *unix.Statfs_t) string { return unix.ByteSliceToString(st.Fstypename[:]) }
