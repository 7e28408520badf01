// sdk: names the SDK image of a tree by the content of its recipe, and imports it into the engine.

package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"buildsys"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
	"buildsys/internal/workspace"
)

func newSDKCommand(sys *System, s *settings) *cobra.Command {
	sdk := &cobra.Command{
		Use:   "sdk",
		Short: "Name, look for and import the image that steps run in",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	sdk.AddCommand(
		&cobra.Command{
			Use:   "name",
			Short: "Print the name of the tree's SDK image",
			Args:  usage(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error {
				c, err := s.resolve(sys)
				if err == nil {
					fmt.Fprintln(sys.Stdout, c.sdkImage)
				}
				return err
			},
		},
		newSDKCheck(sys, s),
		newSDKFetch(sys, s),
		newSDKImport(sys, s),
	)
	return sdk
}

func newSDKImport(sys *System, s *settings) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "import ROOTFS.tar",
		Short: "Import a root file system as the tree's SDK image; - reads standard input",
		Long: `Imports a root file system as the tree's SDK image, which then is on the engine under the name that "buildsys sdk name"
prints. With --cache-to it is uploaded as well, for "buildsys sdk fetch" and for builds on machines that lack it.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withSDK(cmd, sys, s, func(cmd *cobra.Command, conn *connection) error {
				return importSDK(cmd, sys, conn, args[0], replace)
			})
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "with --cache-to: replace another image of the same name, whose results are then of no use")
	return cmd
}

func withSDK(cmd *cobra.Command, sys *System, s *settings, do func(*cobra.Command, *connection) error) error {
	c, err := s.resolve(sys)
	if err != nil {
		return err
	}
	conn := &connection{sys: sys, c: c}
	defer conn.Close()
	if err := conn.dial(cmd.Context()); err != nil {
		return err
	}
	return do(cmd, conn)
}

func newSDKCheck(sys *System, s *settings) *cobra.Command {
	var ask bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Succeed when the engine has the tree's SDK image",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSDK(cmd, sys, s, func(cmd *cobra.Command, conn *connection) error {
				err := requireThere(cmd, conn)
				if err != nil && ask && conn.remoteSDK(cmd.Context()) {
					return nil // builds fetch it when they need it
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&ask, "remote", false, "succeed also when a remote cache (--cache-from) has it")
	return cmd
}

func requireThere(cmd *cobra.Command, conn *connection) error {
	_, err := conn.sdkDigest(cmd.Context())
	return err
}

func importSDK(cmd *cobra.Command, sys *System, conn *connection, path string, replace bool) error {
	rootfs := sys.Stdin
	if path != "-" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(sys.Dir, path)
		}
		f, err := os.Open(path)
		if err != nil {
			return errkind.BadUsage(err)
		}
		defer f.Close()
		rootfs = f
	}
	var copied *packed
	if conn.c.cacheTo != (remote.Location{}) {
		var err error
		if copied, err = newPacked(conn.c.temporary()); err != nil {
			return errkind.BadEnvironment(err)
		}
		defer copied.remove()
		rootfs = io.TeeReader(rootfs, copied)
	}
	if err := conn.eng.ImportImage(cmd.Context(), conn.c.sdkImage, rootfs, nil, nil); err != nil {
		return err
	}
	fmt.Fprintln(sys.Stdout, conn.c.sdkImage)
	if copied == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, rootfs); err != nil { // what the engine did not read belongs to the tar as well
		return errkind.BadEnvironment(err)
	}
	return conn.shareSDK(cmd.Context(), copied, replace)
}

// defaultSDK names the image that steps run in when nobody does, Makefile.toml included: that of the tree's sdk/, or in a
// foreign tree that of Twoliter.toml. It is empty when the tree names none; planning needs no image.
func (c config) defaultSDK() (string, error) {
	if workspace.IsForeign(c.root) {
		return twoliterSDK(c.root), nil
	}
	return sdkImageName(c.root)
}

// sdkImageName derives the image's name from the files of sdk/ in the tree, or the built-in ones when it has none.
// Equal recipes have equal names on every machine, and a changed recipe can never run in the old image.
func sdkImageName(root string) (string, error) {
	files := fs.FS(buildsys.Recipe)
	if info, err := os.Stat(filepath.Join(root, "sdk")); err == nil && info.IsDir() {
		files = os.DirFS(root)
	}
	sum := sha256.New()
	err := fs.WalkDir(files, "sdk", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || filepath.Ext(name) == ".md" {
			return err
		}
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		one := sha256.New()
		if _, err := io.Copy(one, f); err != nil {
			return err
		}
		fmt.Fprintf(sum, "file %q %x\n", name, one.Sum(nil))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("the SDK's recipe: %w", err)
	}
	return plan.ContextPrefix + "sdk:" + hex.EncodeToString(sum.Sum(nil))[:12], nil
}
