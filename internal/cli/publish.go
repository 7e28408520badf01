// publish: publishes what the tree makes for other trees.

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
)

const publishKitHelp = `Copies the image of a kit, with all architectures that "buildsys build-kit" has
made it for, from build/kits/oci/KIT/ to REGISTRY/KIT:vVERSION. REGISTRY is a
host and path, as registry in [vendor.NAME] of the trees that will use the kit
(oci+http:// before it for one without TLS on another machine). Credentials come
from the Docker config.

What the registry has is not sent again. A tag that leads to another image is
left as it is, because locks of other trees may name it: --replace moves it.
The last line is the name of the image with its digest.`

func newPublishCommand(a *app) *cobra.Command {
	return group("publish", "Publish what the tree makes for other trees", "", newPublishKit(a))
}

func newPublishKit(a *app) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "kit KIT REGISTRY",
		Short: "Copy the image of a kit to a registry",
		Long:  publishKitHelp,
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			ws, err := s.Load()
			if err != nil {
				return err
			}
			if len(ws.Kits) == 0 {
				return errkind.Usagef("the tree has no kits: add kits/NAME/Cargo.toml (docs/kits.md)")
			}
			if ws.Kits[args[0]] == nil {
				return noSuch("kit", args[0], ws.KitNames())
			}
			image, err := s.PublishKit(cmd.Context(), ws, args[0], args[1], replace)
			if err == nil {
				fmt.Fprintln(a.sys.Stdout, image)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "let a tag that leads to another image lead to "+
		"this one")
	return cmd
}
