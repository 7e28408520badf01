// new: the commands that write the skeleton of a package or variant.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
)

func newNewCommand(sys *System, s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Write the skeleton of a package or variant",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNewPackage(sys, s), newNewVariant(sys, s))
	return cmd
}

func newNewPackage(sys *System, s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "package NAME",
		Short: "Write packages/NAME with a manifest and a spec that builds",
		Long: `Writes packages/NAME/ with a manifest, a spec and one file that the spec installs. It builds as it is. Where the tree's
other packages have what cargo needs, a build script and a library without code, the new one has it too.
What exists is not touched. The files are printed.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := newSkeleton(sys, s, "packages", args[0])
			if err != nil {
				return err
			}
			n.addPackage()
			return n.write(sys)
		},
	}
}

func newNewVariant(sys *System, s *settings) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "variant NAME [PACKAGE...]",
		Short: "Write variants/NAME with a manifest",
		Long: `Writes variants/NAME/Cargo.toml: with the named packages in the image, or else as a copy of another variant: --from, or
BUILDSYS_VARIANT. A name is platform-runtime, perhaps followed by -version and -flavor.
What exists is not touched. The files are printed.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := newSkeleton(sys, s, "variants", args[0])
			if err != nil {
				return err
			}
			packages := args[1:]
			switch {
			case from != "" && len(packages) > 0:
				return errkind.Usagef("name packages or a variant to copy, not both")
			case len(packages) > 0:
				err = n.addVariant(packages)
			default:
				err = n.copyVariant(firstOf(from, n.c.variant))
			}
			if err != nil {
				return err
			}
			return n.write(sys)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "variant to copy (default: BUILDSYS_VARIANT)")
	return cmd
}
