// sdk: names, checks, fetches and imports the image that steps run in.

package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
)

func newSDKCommand(a *app) *cobra.Command {
	return group("sdk", "Name, look for and import the image that steps run in", "",
		newSDKName(a), newSDKCheck(a), newSDKFetch(a), newSDKImport(a))
}

func newSDKName(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "name",
		Short: "Print the name of the tree's SDK image",
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, _, err := a.resolve()
			if err == nil {
				fmt.Fprintln(a.sys.Stdout, c.SDK.Image)
			}
			return err
		},
	}
}

func newSDKCheck(a *app) *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Succeed if the engine has the tree's SDK image",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			return s.CheckSDK(cmd.Context(), ask)
		},
	}
	cmd.Flags().BoolVar(&ask, "remote", false,
		"also succeed if a remote cache (--cache-from) has it")
	a.addReleaseFlag(cmd.Flags())
	return cmd
}

func newSDKFetch(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch",
		Short: "Replace the engine's SDK image from a remote cache, or as in Twoliter.lock",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			if err := s.FetchSDK(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintln(a.sys.Stdout, c.SDK.Image)
			return nil
		},
	}
}

const sdkImportHelp = `Imports a root file system as the tree's SDK image, under the name that "buildsys
sdk name" prints. With --cache-to it also uploads it, for "buildsys sdk fetch"
and for builds on machines that lack it.`

func newSDKImport(a *app) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "import ROOTFS.tar",
		Short: "Import a root file system as the tree's SDK image; - reads standard input",
		Long:  sdkImportHelp,
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			rootfs := a.sys.Stdin
			if args[0] != "-" {
				f, err := os.Open(a.path(args[0]))
				if err != nil {
					return errkind.BadUsage(err)
				}
				defer f.Close()
				rootfs = f
			}
			imported := func() { fmt.Fprintln(a.sys.Stdout, c.SDK.Image) }
			return s.ImportSDK(cmd.Context(), rootfs, replace, imported)
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "with --cache-to: replace another image "+
		"of the same name, whose results are then useless")
	return cmd
}
