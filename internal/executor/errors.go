// The typed errors of a run, for exit codes and reports.

package executor

import (
	"fmt"
	"strings"

	"buildsys/internal/errkind"
)

// FailedError reports that steps failed. Roots are the root failures, in plan order; Unwrap returns
// their errors.
type FailedError struct {
	Roots   []StepResult
	Skipped int // steps that were not run because of the failures
	Total   int // steps of the plan
}

// Error names the failed steps; the report says what failed in each.
func (e *FailedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d steps failed", len(e.Roots), e.Total)
	if e.Skipped > 0 {
		fmt.Fprintf(&b, " and %d more need them", e.Skipped)
	}
	for i, f := range e.Roots {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(f.ID)
	}
	return b.String()
}

// Unwrap returns the errors of the root failures, so that errors.As finds their types.
func (e *FailedError) Unwrap() []error {
	errs := make([]error, len(e.Roots))
	for i, f := range e.Roots {
		errs[i] = f.Err
	}
	return errs
}

// ErrorKind returns errkind.StepFailed if a step itself failed, otherwise the kind of the first
// error that kept a step from running.
func (e *FailedError) ErrorKind() errkind.Kind {
	first := errkind.Unexpected
	for i, step := range e.Roots {
		kind := errkind.Of(step.Err)
		if kind == errkind.Unexpected || kind == errkind.StepFailed {
			return errkind.StepFailed
		}
		if i == 0 {
			first = kind
		}
	}
	return first
}

// NotThereError reports that outputs which another process should have put in place are missing, or
// are not from a build of this user.
type NotThereError struct {
	Step string
	Dir  string
}

// Error names the directory.
func (e *NotThereError) Error() string {
	kind, name, _ := strings.Cut(e.Step, "/")
	return fmt.Sprintf("its outputs in %s are missing, or no build of yours made them, although "+
		"cargo considers it built: run \"buildsys build-%s %s\", then cargo again", e.Dir, kind, name)
}

// ErrorKind returns errkind.Environment.
func (*NotThereError) ErrorKind() errkind.Kind { return errkind.Environment }
