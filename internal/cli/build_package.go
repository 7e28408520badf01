// build-package: builds the RPMs of packages and of everything they need first.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

func newBuildPackageCommand(sys *System, s *settings) *cobra.Command {
	var want request
	cmd := &cobra.Command{
		Use:   "build-package [NAME...]",
		Short: "Build packages and what they need",
		Long: `Builds the RPMs of the named packages, after those of everything they need to be built.
Inside packages/NAME/ the name can be left out.

RPMs are placed below build/rpms/ARCH/NAME/, logs below build/logs/ARCH/.

Started without a name by the build script of packages/NAME/ (cargo sets CARGO_MANIFEST_DIR) it builds that package
alone, as cargo has built what it needs, and tells cargo on standard output what the package depends on.

With --verify-reproducible each named package is built a second time, past every cache and on another day, in another
time zone and locale, under another host name and umask, with one CPU and another number of jobs. Where the RPMs differ
it says in what, keeps both below build/reproducible/NAME/, and exits with 5.

` + exitStatusHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			switch name, err := underCargo(sys, c, plan.Package, names); {
			case err != nil:
				return err
			case name != "":
				want.packages = []string{name}
				return buildUnit(cmd.Context(), sys, c, want)
			}
			if len(names) == 0 {
				name, _ := workspace.Here(c.root, sys.Dir)
				if name == "" {
					return errkind.Usagef("no package named: say which, or run inside packages/NAME/")
				}
				names = []string{name}
			}
			want.packages = names
			return build(cmd.Context(), sys, c, want)
		},
	}
	s.addBuildFlags(cmd.Flags())
	want.addVerifyFlag(cmd.Flags())
	return cmd
}
