// repack-variant: makes a variant's image from an earlier one, with other certificates, root
// metadata or signatures.

package cli

import (
	"github.com/spf13/cobra"

	"buildsys/internal/build"
)

const repackVariantHelp = `Takes the newest image of a variant apart and makes it again, with the
certificates and root metadata of --cacerts-bundle-override and
--publish-repo-root-json, with another hash tree, and signed with the current
keys. It builds and installs no package; partition layout and boot configuration
are those of the manifest. With the same files, keys and build ID, the image is
the same to the byte as that of build-variant.

The new image is placed and linked like one of build-variant: it gets the current
version and build ID, and replaces an earlier image with the same two.`

func newRepackVariantCommand(a *app) *cobra.Command {
	var from, out string
	cmd := &cobra.Command{
		Use:   "repack-variant [NAME]",
		Short: "Make a variant's disk image from an earlier one, with other keys or certificates",
		Long:  repackVariantHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, err := a.resolveVariant(args)
			if err != nil {
				return err
			}
			if from != "" {
				from = a.path(from)
			}
			if out != "" {
				out = a.path(out)
			}
			source, err := s.RepackSource(cmd.Context(), from, out)
			if err != nil {
				return err
			}
			return a.build(cmd.Context(), s, build.Request{Repack: source})
		},
	}
	cmd.Flags().StringVar(&from, "from", "",
		"directory with the outputs of the image's build (default: the newest of the variant)")
	cmd.Flags().StringVar(&out, "out", "", "directory for the new image, "+
		"on the file system of the tree (default: beside the others of the variant)")
	a.addBuildFlags(cmd.Flags())
	return cmd
}
