package atomicfile

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoLocks: a file system without locks is named as that, and a lock that another has is not.
func TestNoLocks(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func() { flock = unix.Flock }()
	for errno, none := range map[unix.Errno]bool{unix.ENOLCK: true, unix.ENOSYS: true,
		unix.EOPNOTSUPP: true, unix.EWOULDBLOCK: false} {
		interrupted := false
		flock = func(int, int) error {
			if !interrupted {
				interrupted = true
				return unix.EINTR
			}
			return errno
		}
		err := Lock(f, unix.LOCK_EX, "use another directory")
		if !errors.Is(err, errno) || strings.Contains(err.Error(), "use another directory") != none ||
			!strings.Contains(err.Error(), f.Name()) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
