// Package cli is the command line of buildsys: cobra commands, settings, wiring of the parts, signals, and the one
// place where errors become messages and exit codes.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/buildkit"
	"buildsys/internal/executor"
)

// Engine is what the commands need of a build engine: a *buildkit.Builder, or a fake in the tests of the command line.
type Engine interface {
	executor.Builder
	Await(ctx context.Context, wait time.Duration) error
	Info(ctx context.Context) (buildkit.Info, error)
	HasImage(ctx context.Context, ref string) (id string, ok bool, err error)
	ImportImage(ctx context.Context, ref string, rootfs io.Reader, labels map[string]string, progress func(read int64)) error
	Close() error
}

// System is the outside world as the commands see it, so that tests can run them inside their own process.
type System struct {
	Args   []string // without the program's name
	Dir    string   // working directory
	Getenv func(string) string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Dial connects to the engine.
	Dial func(ctx context.Context, o buildkit.Options) (Engine, error)
	// ReadBack says that images are read back before they are kept. Fake engines build none that could be read.
	ReadBack bool
}

// ThisSystem is the process's own surroundings.
func ThisSystem() System {
	dir, err := os.Getwd()
	if err != nil {
		dir = "." // findRoot says what is wrong with it
	}
	return System{
		Args:   os.Args[1:],
		Dir:    dir,
		Getenv: os.Getenv,
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Dial: func(ctx context.Context, o buildkit.Options) (Engine, error) {
			if len(o.Addresses()) > 1 {
				f, err := buildkit.DialFleet(ctx, o)
				if err != nil {
					return nil, err
				}
				return f, nil
			}
			b, err := buildkit.Dial(ctx, o)
			if err != nil {
				return nil, err // not b: a nil *Builder in an Engine is not a nil Engine
			}
			return b, nil
		},
		ReadBack: true,
	}
}

// Main runs one command line and returns the process's exit code.
func Main(sys System) int {
	ctx, stop := withSignals(context.Background(), sys.Stderr)
	defer stop()
	root := newRootCommand(&sys)
	root.SetArgs(sys.Args)
	root.SetIn(sys.Stdin)
	root.SetOut(sys.Stdout)
	root.SetErr(sys.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if text := message(err); text != "" {
		fmt.Fprintf(sys.Stderr, "buildsys: %s\n", text)
	}
	return exitCode(err)
}

// errSignal is the cause of a context that a signal ended.
type errSignal struct{ os.Signal }

func (e errSignal) Error() string { return "stopped by signal: " + e.String() }

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP cancels, which gives running steps the time
// to be cancelled on the engine and cleaned up. A second signal ends the process at once.
func withSignals(parent context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	finished := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			fmt.Fprintf(stderr, "buildsys: %v: stopping; once more to stop at once\n", s)
			cancel(errSignal{s})
		case <-finished:
			return
		}
		select {
		case s := <-signals:
			os.Exit(exitCode(errSignal{s}))
		case <-finished:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(finished)
		cancel(nil)
	}
}

func newRootCommand(sys *System) *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "buildsys",
		Short: "Build bootable Linux images from RPM specs and TOML manifests",
		Long: `buildsys turns a tree of RPM specs and TOML manifests into bootable Linux disk images.
It resolves the dependency graph of packages/*/Cargo.toml and variants/*/Cargo.toml,
builds one RPM package per BuildKit build, in parallel, and assembles disk images.

Every setting can be a flag, a BUILDSYS_* environment variable, or a line in the
[env] table of Makefile.toml, in this order of precedence.

` + exitStatusHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help")}
	})
	s.addFlags(root.PersistentFlags())
	root.AddCommand(
		newBuildPackageCommand(sys, &s),
		newBuildKitCommand(sys, &s),
		newBuildVariantCommand(sys, &s),
		newRepackVariantCommand(sys, &s),
		newBootCommand(sys, &s),
		newInspectCommand(sys, &s),
		newFetchCommand(sys, &s),
		newUpdateCommand(sys, &s),
		newPlanCommand(sys, &s),
		newWhyCommand(sys, &s),
		newSDKCommand(sys, &s),
		newGoCommand(sys, &s),
		newDoctorCommand(sys, &s),
		newGraphCommand(sys, &s),
		newLintCommand(sys, &s),
		newCacheCommand(sys, &s),
		newKeysCommand(sys, &s),
		newCICommand(sys, &s),
		newNewCommand(sys, &s),
	)
	addCompletion(root, sys, &s)
	return root
}

// usage makes a check of arguments fail with the kind of error that exits with ExitUsage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see %q", err, cmd.CommandPath()+" --help")}
		}
		return nil
	}
}
