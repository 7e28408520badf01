// The request to a terminal that reads its modes, on macOS.

package e2e

import "golang.org/x/sys/unix"

const getModes = unix.TIOCGETA
