// The errors of the build directory, for exit codes and reports.

package builddir

import (
	"fmt"

	"buildsys/internal/errkind"
)

// OutputError reports that a build succeeded but left something that must not be published.
type OutputError struct {
	Step   string
	Path   string // slash path inside the outputs; empty if all of them are meant
	Reason string
}

// Error returns what is wrong, and that the earlier outputs were kept.
func (e *OutputError) Error() string {
	what := "the outputs"
	if e.Path != "" {
		what = fmt.Sprintf("output %q", e.Path)
	}
	return fmt.Sprintf("%s of %s cannot be used: %s; earlier outputs were kept",
		what, e.Step, e.Reason)
}

// ErrorKind returns errkind.Integrity.
func (*OutputError) ErrorKind() errkind.Kind { return errkind.Integrity }

// HostError reports that this machine's file system refused an operation of the run: no space, no
// permission, an I/O error.
type HostError struct {
	Step  string // empty for the run as a whole
	Doing string // "empty the staging directory"
	Err   error
}

// Error returns what could not be done and why.
func (e *HostError) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("cannot %s: %v", e.Doing, e.Err)
	}
	return fmt.Sprintf("%s: cannot %s: %v", e.Step, e.Doing, e.Err)
}

// ErrorKind returns errkind.Environment.
func (*HostError) ErrorKind() errkind.Kind { return errkind.Environment }

// Unwrap returns the system's error.
func (e *HostError) Unwrap() error { return e.Err }
