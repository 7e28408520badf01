// exit: the one place where errors become exit codes and messages.

package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"buildsys/internal/errkind"
)

// The exit codes of every command. They are part of the interface: scripts rely on them.
const (
	ExitOK          = 0
	ExitUnexpected  = 1 // also: boot --check saw no ready line
	ExitUsage       = 2 // wrong command line, setting or manifest
	ExitStepFailed  = 3 // a package or variant did not build
	ExitEnvironment = 4 // engine, disk, source or program missing
	ExitIntegrity   = 5 // bytes are not what they should be
	ExitSkipped     = 6 // nothing to do: the variant is not for the architecture
)

const exitStatusHelp = `EXIT STATUS
  0  success
  1  unexpected error, or an image that did not boot to its ready line
  2  wrong command line, setting or manifest
  3  a package or variant failed to build
  4  environment: engine, SDK image, disk, a source or a program is missing
  5  integrity: a source or an output is not what it should be
  6  skipped: the variant is not for this architecture (supported-arches)
  130, 143  stopped by SIGINT, SIGTERM`

// reported marks an error that was already shown in full; it only sets the exit code.
type reported struct{ error }

func (e reported) Unwrap() error { return e.error }

// commandError is the exit status of a command that was run for the user and has said itself what is wrong.
type commandError struct{ status int }

func (e commandError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// message returns what to print for err; empty when the user has seen it already.
func message(err error) string {
	if errkind.Is[reported](err) || errkind.Is[commandError](err) {
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
	switch errkind.Of(err) {
	case errkind.Usage:
		return ExitUsage
	case errkind.Integrity:
		return ExitIntegrity
	case errkind.Environment:
		return ExitEnvironment
	case errkind.Skipped:
		return ExitSkipped
	case errkind.StepFailed:
		return ExitStepFailed
	}
	if errors.Is(err, context.Canceled) {
		return 128 + int(syscall.SIGINT)
	}
	return ExitUnexpected
}
