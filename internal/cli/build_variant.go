// build-variant: builds the disk image of one variant and everything in it.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

func newBuildVariantCommand(sys *System, s *settings) *cobra.Command {
	var want request
	cmd := &cobra.Command{
		Use:   "build-variant [NAME]",
		Short: "Build the disk image of a variant",
		Long: `Builds the disk image of a variant, after every package that goes into it.
Without a name it is the variant of the directory variants/NAME/ one is in, else BUILDSYS_VARIANT.

Images are placed below build/images/ARCH-NAME/, where the symlink "latest" points to the newest.

Started without a name by the build script of variants/NAME/ (cargo sets CARGO_MANIFEST_DIR) it makes that image alone,
as cargo has built its packages, and tells cargo on standard output what the image depends on.

With --verify-reproducible the images are made a second time from the same RPMs, past every cache and on another day, in
another time zone and locale, under another host name and umask, with one CPU and directories that are read in the other
order. Where an output differs it says in what, keeps both below build/reproducible/ARCH-NAME/, and exits with 5.

` + exitStatusHelp,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			switch name, err := underCargo(sys, c, plan.Variant, args); {
			case err != nil:
				return err
			case name != "":
				want.variant = name
				return buildUnit(cmd.Context(), sys, c, want)
			}
			if err := c.pickVariant(sys, args); err != nil {
				return err
			}
			want.variant = c.variant
			return build(cmd.Context(), sys, c, want)
		},
	}
	s.addBuildFlags(cmd.Flags())
	want.addVerifyFlag(cmd.Flags())
	return cmd
}

// pickVariant settles which variant a command is about: the argument, the directory, or the setting.
func (c *config) pickVariant(sys *System, args []string) error {
	if len(args) > 0 {
		c.variant = args[0]
	} else if _, name := workspace.Here(c.root, sys.Dir); name != "" {
		c.variant = name
	}
	if c.variant == "" {
		return errkind.Usagef("no variant named: give its name, or set BUILDSYS_VARIANT")
	}
	return nil
}
