// build-variant: builds the disk image of one variant and everything in it.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/plan"
)

const buildVariantHelp = `Builds the disk image of a variant, after every package that goes into it.
Without a name it builds the variant whose directory variants/NAME/ is the
working directory, else BUILDSYS_VARIANT.

Images go to build/images/ARCH-NAME/, where the link "latest" leads to the
newest.

The build script of variants/NAME/ that starts it without a name (cargo sets
CARGO_MANIFEST_DIR) gets that image alone, since cargo has built its packages.
Standard output is then for cargo: what the image depends on.

With --verify-reproducible the images are made a second time from the same RPMs:
past every cache, on another day, under another host name, with one CPU, and
with directories read in reverse order. The recipe itself sets locale, time zone
and umask, so these stay the same. If an output differs, the command shows how,
keeps both builds in build/reproducible/ARCH-NAME/, and exits with 5.`

func newBuildVariantCommand(a *app) *cobra.Command {
	want := build.Request{Image: true}
	cmd := &cobra.Command{
		Use:   "build-variant [NAME]",
		Short: "Build the disk image of a variant",
		Long:  buildVariantHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			switch name, err := a.cargoUnit(c, plan.Variant, args); {
			case err != nil:
				return err
			case name != "":
				s := a.session(c.WithVariant(name))
				return a.buildUnit(cmd.Context(), s, want, c.Variant)
			}
			if c, err = a.pickVariant(c, args); err != nil {
				return err
			}
			return a.build(cmd.Context(), a.session(c), want)
		},
	}
	a.addBuildFlags(cmd.Flags())
	addVerifyFlag(cmd.Flags(), &want)
	return cmd
}
