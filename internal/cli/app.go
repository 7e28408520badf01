// app: what all commands share: the outside world, the common flags, and the way from them to a
// session.

package cli

import (
	"context"

	"github.com/spf13/pflag"

	"buildsys/internal/build"
	"buildsys/internal/cargo"
	"buildsys/internal/ciservice"
	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scaffold"
	"buildsys/internal/settings"
	"buildsys/internal/telemetry"
	"buildsys/internal/workspace"
)

// app is what every command works with.
type app struct {
	sys     *System
	flags   *pflag.FlagSet // common to all commands
	verbose bool
	quiet   bool
	require bool
	release bool
	trust   bool
	dev     bool // what is built is for now
	// progress is how runs are shown.
	progress settings.Progress
	ci       ciservice.Service // whose job this is
	junit    string            // file for the results of runs; may be empty
	// ciConsole is made with the first run.
	ciConsole *ciConsole
	warned    map[string]bool // settings are read more than once in some commands
	// keepsNothing says that the command needs no cache directory.
	keepsNothing bool
}

func newApp(sys *System, flags *pflag.FlagSet) *app {
	a := &app{sys: sys, flags: flags, warned: map[string]bool{}}
	for _, one := range settings.List {
		flags.StringP(one.Flag(), one.Short, "", one.Help)
		if one.Switch {
			flags.Lookup(one.Flag()).NoOptDefVal = "true"
		}
	}
	flags.BoolVar(&a.trust, "trust-tree", false, "let the tree's Makefile.toml say where to connect, "+
		"what to trust and which files of this machine to use")
	flags.StringP("directory", "C", "", "directory to start in, as if the command ran there")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "show only warnings, errors and failures")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "show the output of every step")
	return a
}

// addBuildFlags adds the flags of the commands that build.
func (a *app) addBuildFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&a.require, "require-cached", false,
		"build nothing: fail, with the reason, where a step is not cached")
	flags.StringVar(&a.junit, "junit", "", "file for the results of all steps, in JUnit's form")
	a.addReleaseFlag(flags)
}

// addReleaseFlag adds --release, which the commands that say what a build would do have too.
func (a *app) addReleaseFlag(flags *pflag.FlagSet) {
	flags.BoolVar(&a.release, "release", false, "use no result that was not built on this machine: "+
		"ignore --cache-from and what came from it earlier; trust no tree")
}

// caller returns who runs the command, for package settings.
func (a *app) caller() settings.Caller {
	return settings.Caller{
		Dir:    a.sys.Dir,
		Getenv: a.sys.Getenv, Environ: a.sys.Environ,
		Flag: func(name string) (string, bool) {
			f := a.flags.Lookup(name)
			return f.Value.String(), f.Changed
		},
		RequireCached: a.require,
		Release:       a.release,
		Dev:           a.dev,
		KeepsNothing:  a.keepsNothing,
		TrustTree:     a.trust,
		Warn:          a.warn,
	}
}

// warn shows a warning once.
func (a *app) warn(text string) {
	if !a.warned[text] {
		a.warned[text] = true
		a.sys.display.tell(progress.Event{Kind: progress.Warning, Text: text}, "warning: "+text)
	}
}

// path returns a path from the command line as an absolute path.
func (a *app) path(path string) string { return a.caller().Path(path) }

// session returns a session with a configuration.
func (a *app) session(c build.Config) *build.Session { return a.sessionTo(c, a.newConsole()) }

// sessionTo is session with another output.
func (a *app) sessionTo(c build.Config, out build.Output) *build.Session {
	around := build.Surroundings{
		Dial: a.sys.Dial, Output: out, Command: a.sys.Args, Unread: a.sys.Unread,
		Program: thisVersion().String(),
	}
	if telemetry.Wanted(a.sys.Getenv) {
		around.Ended = func(ctx context.Context, r history.Run) error {
			return telemetry.Send(ctx, r, a.sys.Getenv)
		}
	}
	return build.New(c, around)
}

// config returns the configuration from the settings.
func (a *app) config() (c build.Config, err error) {
	if a.progress, err = a.caller().Progress(); err != nil {
		return c, err
	}
	if a.ci, err = a.caller().CI(); err != nil {
		return c, err
	}
	if a.progress == settings.JSON {
		a.sys.display.useJSON()
	}
	return a.caller().Resolve()
}

// resolve returns the configuration from the settings, and a session with it.
func (a *app) resolve() (build.Config, *build.Session, error) {
	c, err := a.config()
	if err != nil {
		return c, nil, err
	}
	return c, a.session(c), nil
}

// resolveVariant is resolve for a command about one variant: that of the arguments, the directory
// or the settings.
func (a *app) resolveVariant(args []string) (build.Config, *build.Session, error) {
	c, err := a.config()
	if err == nil {
		c, err = a.pickVariant(c, args)
	}
	return c, a.session(c), err
}

// pickVariant returns the configuration with the variant that a command is about.
func (a *app) pickVariant(c build.Config, args []string) (build.Config, error) {
	if len(args) > 0 {
		name, err := workspace.ParseTarget(args[0]).As(workspace.VariantKind)
		if err != nil {
			return c, err
		}
		c = c.WithVariant(name)
	} else if here, _ := workspace.Here(c.Root, a.sys.Dir); here.Kind == workspace.VariantKind {
		c = c.WithVariant(here.Name)
	}
	if c.Variant == "" {
		return c, errkind.Usagef("no variant named: give its name, or set BUILDSYS_VARIANT; %s",
			manifest.NameHint("", scaffold.ManifestsBelow(c.Root, "variants")))
	}
	return c, nil
}

// cargoUnit returns the unit whose build script started this program, or "" if none did. With a
// name on the command line, a person did.
func (a *app) cargoUnit(c build.Config, kind plan.Kind, args []string) (string, error) {
	dir := a.sys.Getenv("CARGO_MANIFEST_DIR")
	if dir == "" || len(args) > 0 {
		return "", nil
	}
	return cargo.Unit(c.Root, dir, kind)
}

// noSuch returns the error for a name that the tree does not have. It names the most similar one
// there is, or lists them.
func noSuch(what, name string, known []string) error {
	return errkind.Usagef("no %s %q; %s", what, name, manifest.NameHint(name, known))
}
