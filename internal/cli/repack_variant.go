// repack-variant: makes a variant's image anew from an earlier one, with other certificates, root metadata or signatures.

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/builddir"
	"buildsys/internal/plan"
)

// The settings that name files to put into images.
const (
	cacertsEnv  = "BUILDSYS_CACERTS_BUNDLE_OVERRIDE"
	rootJSONEnv = "PUBLISH_REPO_ROOT_JSON"
)

func newRepackVariantCommand(sys *System, s *settings) *cobra.Command {
	var from, out string
	cmd := &cobra.Command{
		Use:   "repack-variant [NAME]",
		Short: "Make the disk image of a variant from an earlier one, with other certificates or signatures",
		Long: `Takes the newest image of a variant apart and makes it anew: with the certificates and the root metadata that
--cacerts-bundle-override and --publish-repo-root-json name, another hash tree, and signed by the keys that are
set now. No package is built or installed; layout and boot configuration are those of the manifest. With the
same files, keys and build ID the image is the same, byte for byte, as build-variant makes it.

The new image is placed and linked as one of build-variant's is: it gets the version and build ID that are set,
and replaces an earlier one that has both of them.

` + exitStatusHelp,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			if err := c.pickVariant(sys, args); err != nil {
				return err
			}
			source, err := c.repackSource(sys, from, out)
			if err != nil {
				return err
			}
			return build(cmd.Context(), sys, c, request{variant: c.variant, repack: source})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "directory with the outputs of the image's build (default: the newest of the variant)")
	cmd.Flags().StringVar(&out, "out", "", "directory for the new image, on the file system of the tree (default: beside the others of the variant)")
	s.addBuildFlags(cmd.Flags())
	return cmd
}

// repackSource finds the outputs to start from. The link to the newest image is followed at once: the new image may move it.
func (c config) repackSource(sys *System, from, out string) (*plan.RepackSource, error) {
	dir := inDir(sys.Dir, from)
	hint := ""
	if from == "" {
		dir = filepath.Join(builddir.Dir{Root: c.buildDir(), Arch: c.arch}.Images(c.variant), builddir.Latest)
		hint = fmt.Sprintf(": build it with 'buildsys build-variant %s --arch %s', or name another with --from", c.variant, c.arch)
	}
	resolved, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{fmt.Errorf("there is no image of variant %s to repack: %s does not exist%s", c.variant, dir, hint)}
	}
	if err != nil {
		return nil, environmentError{err}
	}
	entries, err := os.ReadDir(resolved)
	if err != nil {
		return nil, usageError{fmt.Errorf("the image of variant %s to repack: %w", c.variant, err)}
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() { // links are other names of the same files
			names = append(names, e.Name())
		}
	}
	source := &plan.RepackSource{Dir: resolved, Names: names}
	if out != "" {
		source.Out = inDir(sys.Dir, out)
		err = c.checkOut(source.Out)
	}
	return source, err
}

// checkOut refuses a directory with anything but an image of the variant: what is there is replaced as a whole.
func (c config) checkOut(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	stem := strings.Join([]string{c.name, c.variant, c.arch, ""}, "-")
	ours := []string{"application-inventory.json", c.variant + "-" + c.arch + "-kmod-kit-", stem[:len(stem)-1]}
	for _, e := range entries {
		if !slices.ContainsFunc(ours, func(begin string) bool { return strings.HasPrefix(e.Name(), begin) }) {
			return usageError{fmt.Errorf("--out %s would be replaced as a whole, but it holds %s: name a new directory", dir, e.Name())}
		}
	}
	return nil
}

// overrides are the files that settings have put into images in place of those of packages. All of them must be there.
func (c config) overrides() ([]plan.File, error) {
	var files []plan.File
	for _, one := range []struct{ env, name, path string }{
		{cacertsEnv, "ca-bundle.crt", c.cacertsBundle},
		{rootJSONEnv, "root.json", c.rootJSON},
	} {
		if one.path == "" {
			continue
		}
		f, err := os.Open(one.path)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", one.env, err)}
		}
		info, err := f.Stat()
		err = errors.Join(err, f.Close())
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is no file", one.path)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", one.env, err)}
		}
		files = append(files, plan.File{Name: one.name, Host: one.path, Mode: 0o644})
	}
	return files, nil
}
