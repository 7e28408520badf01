// sdk: names, checks, makes, fetches and imports the image that steps run in.

package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/sdk"
)

func newSDKCommand(a *app) *cobra.Command {
	return group("sdk", "Make, name, look for and import the image that steps run in", "",
		newSDKBuild(a), newSDKLock(a), newSDKName(a), newSDKCheck(a), newSDKFetch(a),
		newSDKImport(a))
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

const sdkBuildHelp = `Makes the SDK image of the tree on the engine, of the Debian packages that
sdk/packages.lock names, under the name that "buildsys sdk name" prints. The
engine needs no network and no image for it, and the image is the same on every
engine and every day. Packages come from lookaside caches, mirrors and Debian's
snapshot service. With --cache-to it also uploads the image, for "buildsys sdk
fetch" and for builds on machines that lack it.

With --unlocked it takes what mirrors have now instead. That image has another
name; builds use it in place of the other one, which they say each time, until
"buildsys sdk build" has made that. With --release they do not use it.`

func newSDKBuild(a *app) *cobra.Command {
	var o build.SDKBuild
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Make the tree's SDK image of the packages that its lock names",
		Long:  sdkBuildHelp,
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			o.Imported = func(name string) { fmt.Fprintln(a.sys.Stdout, name) }
			return s.BuildSDK(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Unlocked, "unlocked", false,
		"take the packages that mirrors have now, for an image of another name")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "with --cache-to: replace another image "+
		"of the same name, whose results are then useless")
	a.addReleaseFlag(cmd.Flags())
	return cmd
}

const sdkLockHelp = `Finds out which Debian packages those of sdk/packages.list need, as the indexes
of the mirrors have them now, and writes sdk/packages.lock. The indexes must be
signed with a key of sdk/debian.asc. It prints what changed since the lock was
last written. A changed lock is a changed SDK, with another name: everything is
built again in it.`

func newSDKLock(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Lock the Debian packages of the tree's SDK to what mirrors have now",
		Long:  sdkLockHelp,
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			changes, err := s.LockSDK(cmd.Context())
			if err != nil {
				return err
			}
			showLock(a.sys.Stdout, changes)
			return nil
		},
	}
}

// showLock shows what a new lock changes, one line for each package.
func showLock(w io.Writer, changes []sdk.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "sdk/"+sdk.LockFile+" is up to date")
	}
	for _, c := range changes {
		switch {
		case c.Old == "":
			fmt.Fprintf(w, "%s: added %s %s\n", c.Host, c.Package, c.New)
		case c.New == "":
			fmt.Fprintf(w, "%s: removed %s %s\n", c.Host, c.Package, c.Old)
		default:
			fmt.Fprintf(w, "%s: changed %s %s -> %s\n", c.Host, c.Package, c.Old, c.New)
		}
	}
}
