// The requests to a terminal that read and set its modes, on Linux.

package live

import "golang.org/x/sys/unix"

const (
	getModes = unix.TCGETS
	setModes = unix.TCSETS
)
