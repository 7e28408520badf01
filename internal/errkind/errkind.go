// Package errkind gives errors a kind: what sort of thing is wrong, and so who can put it right.
//
// An error says its kind where it is made: by Wrap and its short forms, or by a method ErrorKind of
// its type. Only the command line turns kinds into exit statuses.
package errkind

import (
	"errors"
	"fmt"
)

// Kind is the sort of an error.
type Kind int

// The kinds of error. Where several errors are joined, the kind named first here is that of all.
const (
	Usage       Kind = iota + 1 // a command line, a setting or a manifest is wrong
	Integrity                   // bytes are not what they should be
	Environment                 // the engine, the disk, a source or a program is missing or failing
	Skipped                     // nothing is wrong, and nothing was to be done
	StepFailed                  // a package or an image does not build
	Unexpected                  // nobody foresaw it
)

// kinded is an error with a kind.
type kinded struct {
	error
	kind Kind
}

// Unwrap returns the error itself.
func (k kinded) Unwrap() error { return k.error }

// ErrorKind returns the kind.
func (k kinded) ErrorKind() Kind { return k.kind }

// Wrap returns err with a kind, and nil for nil.
func Wrap(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return kinded{err, kind}
}

// BadUsage returns err as a mistake in a command line, a setting or a manifest.
func BadUsage(err error) error { return Wrap(Usage, err) }

// BadEnvironment returns err as something that this machine or its engine lacks.
func BadEnvironment(err error) error { return Wrap(Environment, err) }

// Usagef is BadUsage for an error made like that of fmt.Errorf.
func Usagef(format string, args ...any) error { return BadUsage(fmt.Errorf(format, args...)) }

// Environmentf is BadEnvironment for an error made like that of fmt.Errorf.
func Environmentf(format string, args ...any) error {
	return BadEnvironment(fmt.Errorf(format, args...))
}

// Of returns the kind of err: along a chain the outermost one that is said, of joined errors the
// one that the list of kinds has first. An error that says none is Unexpected.
func Of(err error) Kind {
	switch e := err.(type) {
	case interface{ ErrorKind() Kind }:
		return e.ErrorKind()
	case interface{ Unwrap() error }:
		return Of(e.Unwrap())
	case interface{ Unwrap() []error }:
		kind := Unexpected
		for _, one := range e.Unwrap() {
			kind = min(kind, Of(one))
		}
		return kind
	}
	return Unexpected
}

// Is reports whether err, or an error in it, is of type E.
func Is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
