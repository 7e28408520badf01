// new: writes the skeleton of a package or variant.

package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/safetext"
	"buildsys/internal/scaffold"
)

func newNewCommand(a *app) *cobra.Command {
	return group("new", "Write the skeleton of a package or variant", "",
		newNewPackage(a), newNewVariant(a))
}

func newNewPackage(a *app) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "package NAME",
		Short: "Write packages/NAME with a manifest and a spec that builds",
		Long: `Writes packages/NAME/ with a manifest, a spec, and one file that the spec
installs. It builds as it is. If the tree's other packages have what cargo needs,
a build script and a library without code, the new one has it too. Existing files
are not touched. Prints the names of the files.

With --from it packages an existing program: sources at a URL, in an archive, or
in a git checkout, whose commit becomes an archive. It looks into the archive
for the build system (autotools, cmake, meson, Go, cargo, make), the version,
the licence, what the sources are, and what they need, which it finds among the
packages of the tree. A URL is pinned to the sha512 that it has now; an archive
of this machine becomes a file of the package.

Simple programs build at once. What is guessed or not known is a warning, and a
comment with TODO in the spec.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, s, err := a.resolve()
			switch {
			case err != nil:
				return err
			case from == "":
				return a.write(scaffold.Package(c.Root, args[0]))
			case !strings.Contains(from, "://"):
				from = a.path(from)
			}
			made, notes, err := s.NewPackage(cmd.Context(), args[0], from)
			for _, text := range notes {
				a.warn(safetext.Line(text))
			}
			return a.write(made, err)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "URL, archive or git checkout with its sources")
	return cmd
}

func newNewVariant(a *app) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "variant NAME [PACKAGE...]",
		Short: "Write variants/NAME with a manifest",
		Long: `Writes variants/NAME/ as a copy of another variant, with the named packages in the
image beside those of the other: --from, BUILDSYS_VARIANT, or the only one. So an
image like one that boots to a shell does so as well. In a tree without variants
the image has the named packages. A name is platform-runtime, optionally followed
by -version and -flavor. Existing files are not touched. Prints the names of the
files.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			return a.write(scaffold.Variant(c.Root, args[0], args[1:], cmp.Or(from, c.Variant)))
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "variant to copy (default: BUILDSYS_VARIANT)")
	return cmd
}

// write writes a skeleton and prints its files and the next steps.
func (a *app) write(n *scaffold.Skeleton, err error) error {
	if err != nil {
		return err
	}
	files, next, err := n.Write()
	if err != nil {
		return err
	}
	for _, f := range files {
		fmt.Fprintln(a.sys.Stdout, f)
	}
	fmt.Fprintf(a.sys.Stderr, "next: %s\n", next)
	return nil
}
