// limits: what one step may take, and the error of one that took more.

package engine

import (
	"fmt"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
)

// Limits bound what one step may take of the machines that build it. Zero means no limit.
type Limits struct {
	Bytes int64 // of its outputs, holes counted, and of each file that it makes on the way
	Files int   // of its outputs, directories counted
	// Cgroup is the control group of the engine's machine below which steps run; whoever made it
	// has set what it may take. Empty means the engine's own.
	Cgroup string
}

// LimitError reports that a step was stopped because it took more than it may.
type LimitError struct {
	What string // "it ran for more than 12h0m0s (--step-timeout)"
}

// Error names the limit.
func (e *LimitError) Error() string { return e.What + "; it was stopped, and nothing of it kept" }

// ErrorKind returns errkind.StepFailed.
func (*LimitError) ErrorKind() errkind.Kind { return errkind.StepFailed }

// Over returns a *LimitError if outputs of so many bytes and files are more than a step may leave.
func (l Limits) Over(bytes int64, files int) error {
	switch {
	case l.Bytes > 0 && bytes > l.Bytes:
		return &LimitError{fmt.Sprintf("its outputs have more than %s (--step-output)",
			bytesize.Format(l.Bytes))}
	case l.Files > 0 && files > l.Files:
		return &LimitError{fmt.Sprintf("its outputs have more than %d files", l.Files)}
	}
	return nil
}
