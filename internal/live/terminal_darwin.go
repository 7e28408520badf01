// The requests to a terminal that read and set its modes, on macOS.

package live

import "golang.org/x/sys/unix"

const (
	getModes = unix.TIOCGETA
	setModes = unix.TIOCSETA
)
