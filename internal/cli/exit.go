// exit: the one place where errors become exit codes and messages.

package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"buildsys/internal/builddir"
	"buildsys/internal/buildkit"
	"buildsys/internal/cache"
	"buildsys/internal/executor"
	"buildsys/internal/fetch"
	"buildsys/internal/gomod"
	"buildsys/internal/image"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
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

// usageError marks what the user has to say differently.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// environmentError marks what the machine lacks.
type environmentError struct{ error }

func (e environmentError) Unwrap() error { return e.error }

// reported marks an error that was already shown in full; it only sets the exit code.
type reported struct{ error }

func (e reported) Unwrap() error { return e.error }

// commandError is the exit status of a command that was run for the user and has said itself what is wrong.
type commandError struct{ status int }

func (e commandError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// message returns what to print for err; empty when the user has seen it already.
func message(err error) string {
	if is[reported](err) || is[commandError](err) {
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
	if failed, ok := errors.AsType[*executor.FailedError](err); ok {
		return failedCode(failed)
	}
	return oneCode(err)
}

// failedCode is ExitStepFailed when any step itself failed, else the code of what stood in the first one's way.
func failedCode(failed *executor.FailedError) int {
	code := ExitUnexpected
	for i, step := range failed.Roots {
		one := oneCode(step.Err)
		if one == ExitUnexpected {
			one = ExitStepFailed
		}
		if i == 0 || one == ExitStepFailed {
			code = one
		}
	}
	return code
}

func oneCode(err error) int {
	if module, ok := errors.AsType[*fetch.ModuleError](err); ok && module.Bad {
		return ExitIntegrity
	}
	if bad, ok := errors.AsType[*kit.Error](err); ok {
		return map[kit.Class]int{kit.Config: ExitUsage, kit.Missing: ExitEnvironment, kit.Bad: ExitIntegrity}[bad.Class]
	}
	switch {
	case is[usageError](err), is[manifest.Problems](err), is[*gomod.Error](err):
		return ExitUsage
	case is[*fetch.IntegrityError](err), is[*builddir.OutputError](err), is[*buildkit.OutputError](err), is[storeDamage](err), is[irreproducibleError](err),
		is[*image.BadImageError](err):
		return ExitIntegrity
	case is[environmentError](err), is[*fetch.MissingError](err), is[*fetch.ModuleError](err), is[*fetch.StoreError](err), is[*buildkit.EngineError](err),
		is[*builddir.HostError](err), is[*builddir.LockedError](err), is[*executor.NotThereError](err), is[*cache.StoreError](err), is[*cache.FormatError](err):
		return ExitEnvironment
	case is[*plan.SkippedError](err):
		return ExitSkipped
	case errors.Is(err, context.Canceled):
		return 128 + int(syscall.SIGINT)
	}
	if solve, ok := errors.AsType[*buildkit.SolveError](err); ok {
		return solveCode(solve)
	}
	return ExitUnexpected
}

// solveCode tells a package that does not build from an engine that cannot build it.
func solveCode(solve *buildkit.SolveError) int {
	if solve.Transient() {
		return ExitEnvironment
	}
	switch solve.Class() {
	case buildkit.OtherImage:
		return ExitIntegrity
	case buildkit.MissingSDK:
		return ExitEnvironment
	case buildkit.DiskFull:
		if solve.ExitCode != 0 { // inside the step: it may have filled a file system of its own
			return ExitStepFailed
		}
		return ExitEnvironment
	case buildkit.BadInput, buildkit.ForeignImage:
		return ExitUsage
	default:
		return ExitStepFailed
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
