// exit: the one place that turns errors into exit statuses and messages.

package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/provenance"
)

// The exit statuses of every command. They are part of the interface, as scripts rely on them.
const (
	ExitOK          = 0
	ExitUnexpected  = 1 // also: boot --check saw no ready line
	ExitUsage       = 2 // wrong command line, setting or manifest
	ExitStepFailed  = 3 // a package or variant did not build
	ExitEnvironment = 4 // engine, disk, source or program missing
	ExitIntegrity   = 5 // bytes are not what they should be
	ExitSkipped     = 6 // nothing to do: the variant does not support the architecture
)

const exitStatusHelp = `EXIT STATUS
  0  success
  1  unexpected error, or an image that did not boot to its ready line
  2  wrong command line, setting or manifest
  3  a package or variant failed to build
  4  environment: engine, SDK image, disk, a source or a program is missing
  5  integrity: a source or an output is not what it should be
  6  skipped: the variant is not for this architecture (supported-arches)
  10 to 16  what "buildsys verify" found wrong: see its help
  130, 143  stopped by SIGINT, SIGTERM`

// exitCodes maps each kind of error to its exit status.
var exitCodes = map[errkind.Kind]int{
	errkind.Usage:       ExitUsage,
	errkind.Integrity:   ExitIntegrity,
	errkind.Environment: ExitEnvironment,
	errkind.Skipped:     ExitSkipped,
	errkind.StepFailed:  ExitStepFailed,
}

// commandError is the exit status of a command run for the user, which has printed its own errors.
type commandError struct{ status int }

func (e commandError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// shownError is an error that a command has printed in another form: only its kind is left to tell.
type shownError struct{ error }

func (e shownError) Unwrap() error { return e.error }

// message returns the text to print for err, or "" if the user has seen it.
func message(err error) string {
	if errkind.Is[build.ShownError](err) || errkind.Is[shownError](err) ||
		errkind.Is[commandError](err) {
		return ""
	}
	if sig, ok := errors.AsType[errSignal](err); ok {
		return sig.Error()
	}
	return err.Error()
}

func exitCode(err error) int {
	if sig, ok := errors.AsType[errSignal](err); ok {
		if n, ok := sig.Signal.(syscall.Signal); ok {
			return 128 + int(n)
		}
	}
	if command, ok := errors.AsType[commandError](err); ok {
		return command.status
	}
	if faults, ok := errors.AsType[provenance.Faults](err); ok {
		return verifyStatus[faults.Kind()]
	}
	if code, ok := exitCodes[errkind.Of(err)]; ok {
		return code
	}
	if errors.Is(err, context.Canceled) {
		return 128 + int(syscall.SIGINT)
	}
	return ExitUnexpected
}
