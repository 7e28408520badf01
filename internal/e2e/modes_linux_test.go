// The request to a terminal that reads its modes, on Linux.

package e2e

import "golang.org/x/sys/unix"

const getModes = unix.TCGETS
