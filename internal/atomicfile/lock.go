// lock: locks on files, which the kernel frees with their last user.

package atomicfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// flock is replaced by tests.
var flock = unix.Flock

// Lock takes a lock on an open file, as flock(2): how is unix.LOCK_EX or LOCK_SH, perhaps with
// LOCK_NB. If the file system has no locks, the error says so and what to do instead.
func Lock(f *os.File, how int, instead string) error {
	for {
		err := flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			err = fmt.Errorf("%w: its file system has no locks, as NFS without a lock server or Lustre "+
				"without the option flock; %s", err, instead)
		}
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
}
