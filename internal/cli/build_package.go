// build-package: builds the RPMs of packages and of everything that they need.

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

const buildPackageHelp = `Builds the RPMs of the named packages, after those of everything they need.
Inside packages/NAME/ the name can be left out.

RPMs go to build/rpms/ARCH/NAME/, logs to build/logs/ARCH/.

The build script of packages/NAME/ that starts it without a name (cargo sets
CARGO_MANIFEST_DIR) gets that package alone, since cargo has built what it
needs. Standard output is then for cargo: what the package depends on.

With --verify-reproducible each named package is built a second time: past every
cache, on another day, in another time zone and locale, under another host name
and umask, with one CPU and another number of jobs. If the RPMs differ, the
command shows how, keeps both builds in build/reproducible/NAME/, and exits
with 5.

With --on-failure shell, on a terminal, a shell is opened where the first package
that failed did, as by "buildsys shell --at fail". The exit status is still that
of the failure.`

func newBuildPackageCommand(a *app) *cobra.Command {
	var want build.Request
	var onFailure string
	cmd := &cobra.Command{
		Use:   "build-package [NAME...]",
		Short: "Build packages and what they need",
		Long:  buildPackageHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			switch name, err := a.cargoUnit(c, plan.Package, names); {
			case err != nil:
				return err
			case name != "":
				want.Packages = []string{name}
				return a.buildUnit(cmd.Context(), s, want, c.Variant)
			}
			if want.Packages, err = a.pickPackages(c, names); err != nil {
				return err
			}
			if err := a.checkOnFailure(onFailure); err != nil {
				return err
			}
			err = a.build(cmd.Context(), s, want)
			if onFailure != "" {
				a.shellAtFailure(cmd.Context(), s, err)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&onFailure, "on-failure", "",
		"what to do when a package fails: shell opens one where it failed")
	a.addBuildFlags(cmd.Flags())
	addVerifyFlag(cmd.Flags(), &want)
	return cmd
}

// pickPackages returns the packages to build: those of the arguments, or that of the directory.
func (a *app) pickPackages(c build.Config, names []string) ([]string, error) {
	if len(names) == 0 {
		here, _ := workspace.Here(c.Root, a.sys.Dir)
		if here.Kind != workspace.PackageKind {
			return nil, errkind.Usagef("no package named: name one, or run inside packages/NAME/")
		}
		return []string{here.Name}, nil
	}
	var packages []string
	for _, text := range names {
		name, err := workspace.ParseTarget(text).As(workspace.PackageKind)
		if err != nil {
			return nil, err
		}
		packages = append(packages, name)
	}
	return packages, nil
}

// addVerifyFlag adds the flag of the commands whose requests can be verified.
func addVerifyFlag(flags *pflag.FlagSet, want *build.Request) {
	flags.BoolVar(&want.Verify, "verify-reproducible", false,
		"build it twice, the second time in other surroundings, and compare")
}

// build builds a request and prints the result.
func (a *app) build(ctx context.Context, s *build.Session, want build.Request) error {
	result, err := s.Build(ctx, want)
	for _, c := range result.Comparisons {
		printComparison(a.sys.Stdout, c)
	}
	a.printKits(a.sys.Stdout, result.Kits)
	if err == nil && !want.Verify && len(want.Kits) == 0 {
		fmt.Fprintln(a.sys.Stdout, result.Out)
	}
	return err
}

// buildUnit builds a request for cargo, which reads standard output. built is the variant that
// cargo has had packages built for.
func (a *app) buildUnit(ctx context.Context, s *build.Session, want build.Request,
	built string) error {
	result, err := s.BuildUnit(ctx, want, built, a.sys.Stdout)
	a.printKits(a.sys.Stderr, result.Kits)
	return err
}

// maxLines is how many lines of an explanation are shown. A file has all of them.
const maxLines = 40

// printComparison prints whether two builds of a step are the same, and what differs.
func printComparison(w io.Writer, c build.Comparison) {
	if c.Same() {
		fmt.Fprintf(w, "%s is reproducible\n", c.Name)
		return
	}
	differences := strings.Join(c.Differences, ", ")
	fmt.Fprintf(w, "%s is not reproducible: %s; both builds are in %s\n", c.Name, differences, c.Dir)
	for _, e := range c.Details {
		printLines(w, e.Lines)
		if e.From != "" {
			fmt.Fprintf(w, "  (from %s)\n", e.From)
		}
	}
}

func printLines(w io.Writer, lines []string) {
	for i, line := range lines {
		if i == maxLines {
			fmt.Fprintf(w, "  … and %d more lines\n", len(lines)-i)
			return
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}
