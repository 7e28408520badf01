// The typed errors of the store.

package cache

import (
	"errors"
	"fmt"
	"syscall"

	"buildsys/internal/errkind"
)

// StoreError says that this machine's file system refused something the store had to do: no space,
// no permission, I/O error. Nothing that was stored before is lost by it.
type StoreError struct {
	Doing string // "write a blob"
	Err   error  // an *os.PathError where one file is concerned
}

// Error tells what could not be done and why, and how to make room on a full disk.
func (e *StoreError) Error() string {
	text := fmt.Sprintf("cannot %s: %v", e.Doing, e.Err)
	if errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) {
		text += `; make room, for example with "buildsys cache trim"`
	}
	return text
}

// ErrorKind returns errkind.Environment.
func (*StoreError) ErrorKind() errkind.Kind { return errkind.Environment }

// Unwrap returns the system's error.
func (e *StoreError) Unwrap() error { return e.Err }

// DamagedError says that a stored output is missing or has other bytes than it should. The damaged
// file was moved to the quarantine and the entry is gone, so the step must run again.
type DamagedError struct {
	Step   string
	Name   string // the output's name; "log" for the step's log
	Blob   string // the sha256 it should have, in hex
	Reason string // "it is missing", "its sha256 is 12ab…"
}

// Error names the output and what is wrong with it.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the stored output %q of %s cannot be used: %s (blob %.12s…); the step has "+
		"to run again",
		e.Name, e.Step, e.Reason, e.Blob)
}

// ChangedError says that a file got other bytes between two looks at it.
type ChangedError struct {
	Path string
}

// Error names the file.
func (e *ChangedError) Error() string {
	return e.Path + " changed while it was being stored"
}
