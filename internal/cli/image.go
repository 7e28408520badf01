// image: looks into disk images. Here are the group and the names of images and of files in them.

package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
	"buildsys/internal/image"
	"buildsys/internal/workspace"
)

const imageHelp = `Looks into disk images without root rights, mounts or an engine: lists, shows and
takes out files, says which package brought one and what takes the space, and
compares two images.

IMAGE is a file (raw, lz4, qcow2, vmdk or OVA; a disk, or a file system alone) or
an image of a variant:

  NAME            the newest
  NAME~1          the one before it, NAME~2 the one before that
  NAME@HASH       by the first digits (at least 4) of its root hash
  NAME@VERSION    by version and build ID, as its directory is named
  NAME@TIME       the newest one of 2026-01-31, or of 2026-01-31T12:00

Earlier images are those that this checkout has had in place and that the store
still has. A path in an image follows a colon and begins with a slash: IMAGE:/PATH.

Files are those of the root file system; --partition names another one by its
label, its end (BOOT-A) or its number.`

func newImageCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Look into disk images: files, owners, sizes, differences",
		Long:  imageHelp,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImageListCommand(a), newImageLsCommand(a), newImageCatCommand(a),
		newImageExtractCommand(a), newImageOwnerCommand(a), newImageSizeCommand(a),
		newImageDiffCommand(a), newImageSBOMCommand(a))
	return cmd
}

// imageSuffixes are the ends of names that can only be image files.
var imageSuffixes = []string{".img", ".lz4", ".qcow2", ".vmdk", ".ova"}

// splitImage splits IMAGE:/PATH. inside is empty if the argument has no path. Of several places
// where a path could begin, it is the first behind an image file, else the first.
func splitImage(arg string, isFile func(string) bool) (name, inside string, err error) {
	var splits []int
	for i := 0; i+1 < len(arg); i++ {
		if arg[i] == ':' && arg[i+1] == '/' && i > 0 {
			splits = append(splits, i)
		}
	}
	if len(splits) == 0 {
		return arg, "", nil
	}
	var behind []int
	for _, i := range splits {
		if isFile(arg[:i]) {
			behind = append(behind, i)
		}
	}
	whole := isFile(arg)
	switch {
	case whole && len(behind) > 0 || len(behind) > 1:
		return "", "", errkind.Usagef("%q has several meanings: files of this machine have names with "+
			`":/"; rename one of them`, arg)
	case whole:
		return arg, "", nil
	case len(behind) == 1:
		splits = behind
	}
	return arg[:splits[0]], arg[splits[0]+1:], nil
}

// isFile reports whether a name is a regular file.
func (a *app) isFile(name string) bool {
	info, err := os.Stat(a.path(name))
	return err == nil && info.Mode().IsRegular()
}

// looksLikeFile reports whether a name is a file's, not a variant's.
func (a *app) looksLikeFile(name string) bool {
	isPath := workspace.ParseTarget(name).Kind == "" && filepath.Base(name) != name
	return a.isFile(name) || isPath || slices.Contains(imageSuffixes, filepath.Ext(name))
}

// imageFile returns the path of an image file, which must be one.
func (a *app) imageFile(name string) ([]string, error) {
	path := a.path(name)
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file: name an image file or a variant", name)
	}
	return []string{path}, errkind.BadUsage(err)
}

// splitSelector splits NAME~1 and NAME@HASH.
func splitSelector(name string) (variant, selector string) {
	if i := strings.IndexAny(name, "~@"); i > 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// opened is an image that a command line names.
type opened struct {
	*contents.Image
	found   build.NamedImage
	session *build.Session // nil for a file outside of any tree
	inside  string         // path in the image; empty if none is named
	part    *contents.Part // nil until pick
}

// openPartition opens the image of an argument at the partition with a name, or at the one that is
// looked into without.
func (a *app) openPartition(ctx context.Context, arg, partition string) (*opened, error) {
	o, err := a.openImage(ctx, arg)
	if err != nil {
		return nil, err
	}
	if err := o.pick(partition); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// locate finds the image of an argument, and does not open it.
func (a *app) locate(ctx context.Context, arg string) (*opened, error) {
	name, inside, err := splitImage(arg, a.isFile)
	if err != nil {
		return nil, err
	}
	o := &opened{inside: inside}
	if a.looksLikeFile(name) {
		o.found.Name = name
		if o.found.Files, err = a.imageFile(name); err != nil {
			return nil, err
		}
		if _, s, err := a.resolve(); err == nil {
			o.session = s
		}
	} else if o.found, o.session, err = a.variantImage(ctx, name); err != nil {
		return nil, err
	}
	return o, nil
}

// openImage opens the image of an argument.
func (a *app) openImage(ctx context.Context, arg string) (*opened, error) {
	o, err := a.locate(ctx, arg)
	if err != nil {
		return nil, err
	}
	img, err := contents.Open(ctx, o.found.Name, o.found.Files, "")
	switch {
	case err == nil:
		o.Image = img
		return o, nil
	case errkind.Is[*image.UnsupportedError](err):
		return nil, errkind.BadUsage(err)
	case errkind.Is[*image.BadImageError](err):
		return nil, err
	}
	return nil, orCause(ctx, errkind.BadEnvironment(err))
}

// variantImage returns the image of a variant that a name with a selector means.
func (a *app) variantImage(ctx context.Context, name string) (build.NamedImage, *build.Session,
	error) {
	name, selector := splitSelector(name)
	_, s, err := a.resolveVariant([]string{name})
	if err != nil {
		return build.NamedImage{}, nil, err
	}
	found, err := s.FindImage(ctx, selector)
	return found, s, err
}

// pick chooses the partition that a command is about.
func (o *opened) pick(partition string) error {
	part, err := o.Part(partition)
	o.part = part
	return err
}

// at returns the file that the argument names; without a path the root directory.
func (o *opened) at(follow bool) (image.Walked, error) {
	if o.inside == "" {
		return o.part.Find("/", true)
	}
	return o.part.Find(o.inside, follow || strings.HasSuffix(o.inside, "/"))
}

// owners returns the packages of the image. Without a tree, or where the image does not list them,
// none is known, which a warning says.
func (a *app) owners(ctx context.Context, o *opened) (*contents.Owners, error) {
	if o.session == nil {
		a.warn("the packages of " + o.Name + " are not known: run inside its tree")
		return nil, nil
	}
	owners, err := o.session.Owners(ctx, o.Image, o.found.Entry)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		a.warn("the packages of " + o.Name + " are not known: " + err.Error())
		return nil, nil
	}
	if n := len(owners.Unknown); n > 0 {
		a.warn("no RPM is here of " + count(n, "package") + " of " + o.Name + ", " +
			owners.Unknown[0].Name + " for one: their files are not told from those of no package")
	}
	return owners, nil
}

// addPartitionFlag adds --partition.
func addPartitionFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "partition", "p", "", "another partition than that of the root: "+
		"its label, the end of it, or its number")
}
