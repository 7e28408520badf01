// Package cli is the command line of buildsys: commands, flags, printing and exit statuses. A
// session of package build does the work of most commands; packages such as doctor, lint and
// scaffold do that of one command each. It reaches no engine by itself: the caller of Main passes a
// Dialer.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// System is the outside world as the commands see it, so that tests can run commands in their own
// process.
type System struct {
	Args   []string // without the program's name
	Dir    string   // working directory
	Getenv func(string) string
	// Environ returns the whole environment, which only the doctor looks at.
	Environ func() []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Dial connects to the engine.
	Dial engine.Dialer
	// Unread leaves outputs unread before they are kept. Fake engines make none that could be read.
	Unread bool

	terminal terminal // Stdout and Stderr as they came
	display  *display // Stderr as a terminal
	// annotate tells a CI service about mistakes in files.
	annotate func(manifest.Problems)
	undo     *undoing
}

// terminal is where bytes go that must stay as they are: the console of a machine that is booted,
// and documents for other programs. Stdout and Stderr of a System that runs make every line safe.
type terminal struct{ stdout, stderr io.Writer }

// ThisSystem returns the surroundings of this process, with a way to reach engines.
func ThisSystem(dial engine.Dialer) System {
	dir, err := os.Getwd()
	if err != nil {
		dir = "." // finding the tree reports what is wrong with it
	}
	muteLibraries()
	return System{
		Args:   os.Args[1:],
		Dir:    dir,
		Getenv: os.Getenv, Environ: os.Environ,
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Dial:   dial,
	}
}

// startIn makes a directory the working directory of the command.
func (s *System) startIn(dir string) error {
	if dir == "" {
		return nil
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.Dir, dir)
	}
	switch info, err := os.Stat(dir); {
	case err != nil:
		return errkind.Usagef("-C: %w", err)
	case !info.IsDir():
		return errkind.Usagef("-C: %s is not a directory", dir)
	}
	s.Dir = dir
	return nil
}

// muteLibraries keeps the loggers of libraries from the terminal, which they would reach past Main:
// net/http logs what servers send unasked, the clients of engines what engines say.
func muteLibraries() {
	log.SetOutput(io.Discard) // there is nothing in it that no error says
	logrus.SetOutput(safetext.NewWriter(os.Stderr))
}

// Main runs one command line and returns the exit status. What it prints holds no escape sequences
// and no commands to a CI service, wherever it came from.
func Main(sys System) int {
	sys.terminal = terminal{sys.Stdout, sys.Stderr}
	sys.display = newDisplay(&sys)
	out := safetext.NewWriter(sys.display.stdout(sys.Stdout))
	errs := safetext.NewWriter(sys.display.stderr(sys.Stderr))
	sys.Stdout, sys.Stderr = out, errs
	code := run(sys)
	if err := out.Flush(); err != nil && code == ExitOK {
		fmt.Fprintf(errs, "buildsys: write standard output: %v\n", err)
		code = ExitUnexpected
	}
	_ = errs.Flush() // there is nowhere left to say so
	return code
}

func run(sys System) int {
	sys.undo = &undoing{}
	defer sys.undo.run()
	ctx, stop := withSignals(context.Background(), sys.display, sys.undo)
	defer stop()
	defer sys.display.close()
	root := newRootCommand(&sys)
	root.SetArgs(sys.Args)
	root.SetIn(sys.Stdin)
	root.SetOut(sys.Stdout)
	root.SetErr(sys.Stderr)
	err := root.ExecuteContext(ctx)
	sys.display.close()
	if err == nil {
		return ExitOK
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		sys.annotate(problems)
	}
	if text := message(err); text != "" {
		sys.display.tell(progress.Event{Kind: progress.CommandFailed, Err: err}, "buildsys: "+text)
	}
	return exitCode(err)
}

// errSignal is the cause of the end of a context that a signal cancelled.
type errSignal struct{ os.Signal }

func (e errSignal) Error() string { return "stopped by signal: " + e.String() }

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP cancels, so that running
// steps can be cancelled on the engine and cleaned up. A second signal ends the process at once,
// and the terminal is as it was.
func withSignals(parent context.Context, d *display, undo *undoing) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	finished := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			text := fmt.Sprintf("%v: stopping; once more to stop at once", s)
			d.tell(progress.Event{Kind: progress.Notice, Text: text}, "buildsys: "+text)
			cancel(errSignal{s})
		case <-finished:
			return
		}
		select {
		case s := <-signals:
			d.leave()
			undo.run()
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

const rootHelp = `buildsys turns a tree of RPM specs and TOML manifests into bootable Linux disk
images. It resolves the dependency graph of packages/*/Cargo.toml and
variants/*/Cargo.toml, builds each RPM package in a BuildKit build of its own,
in parallel, and assembles disk images.

`

func newRootCommand(sys *System) *cobra.Command {
	root := &cobra.Command{
		Use:           "buildsys",
		Short:         "Build bootable Linux images from RPM specs and TOML manifests",
		Long:          rootHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       thisVersion().String(),
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		return sys.startIn(cmd.Flag("directory").Value.String())
	}
	root.SetFlagErrorFunc(badFlag)
	root.SetHelpCommand(newHelpCommand(root))
	a := newApp(sys, root.PersistentFlags())
	sys.annotate = a.annotate
	root.AddCommand(commands(a)...)
	addCompletion(root, a)
	groupCommands(root)
	addExamples(root)
	root.SetUsageFunc(writeUsage)
	return root
}

// commands returns all commands but help and completion.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newBuildPackageCommand(a),
		newBuildKitCommand(a),
		newBuildVariantCommand(a),
		newRepackVariantCommand(a),
		newBootCommand(a),
		newInspectCommand(a),
		newVerifyCommand(a),
		newImageCommand(a),
		newFetchCommand(a),
		newUpdateCommand(a),
		newPublishCommand(a),
		newPlanCommand(a),
		newWhyCommand(a),
		newSDKCommand(a),
		newGoCommand(a),
		newShellCommand(a),
		newDevCommand(a),
		newBumpCommand(a),
		newOutdatedCommand(a),
		newAuditCommand(a),
		newDoctorCommand(a),
		newGraphCommand(a),
		newLintCommand(a),
		newRunsCommand(a),
		newLogCommand(a),
		newReportCommand(a),
		newCacheCommand(a),
		newKeysCommand(a),
		newCICommand(a),
		newInitCommand(a),
		newNewCommand(a),
		newVersionCommand(a),
		newSchemaCommand(),
		newManCommand(a),
		newSettingsTopic(),
		newExitTopic(),
	}
}
