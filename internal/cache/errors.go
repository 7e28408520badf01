// errors: the error types of the store.

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"buildsys/internal/errkind"
)

// StoreError means that the file system of this machine refused an operation: no space, no
// permission, I/O error. What was stored before is not lost.
type StoreError struct {
	Doing string // "write a blob"
	Err   error  // an *os.PathError if it concerns one file
}

// Error returns what failed and why, and for a full disk how to make room.
func (e *StoreError) Error() string {
	text := fmt.Sprintf("cannot %s: %v", e.Doing, e.Err)
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		text += `; make room, for example with "buildsys cache trim"`
	}
	if errors.Is(e.Err, fs.ErrPermission) {
		text += "; if another user made it, let your group write there, or use a cache directory of " +
			"your own (BUILDSYS_CACHE_DIR)"
	}
	return text
}

// ErrorKind returns errkind.Environment.
func (*StoreError) ErrorKind() errkind.Kind { return errkind.Environment }

// Unwrap returns the system's error.
func (e *StoreError) Unwrap() error { return e.Err }

// DamagedError means that a stored output is missing or does not match its hash. The damaged file
// was moved to the quarantine and the entry is gone, so the step must run again.
type DamagedError struct {
	Step   string
	Name   string // the output's name
	Blob   string // expected sha256 in hex
	Reason string // "it is missing", "its sha256 is 12ab…"
}

// Error returns the output and what is wrong with it.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the stored output %q of %s cannot be used: %s (blob %.12s…); "+
		"the step must run again", e.Name, e.Step, e.Reason, e.Blob)
}

// ChangedError means that a file changed while it was being stored.
type ChangedError struct {
	Path string
}

// Error returns the file.
func (e *ChangedError) Error() string {
	return e.Path + " changed while it was being stored"
}
