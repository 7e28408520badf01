// image owner: which package brought a file.

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/contents"
	"buildsys/internal/errkind"
	"buildsys/internal/image"
)

// ownedFile is the document of image owner.
type ownedFile struct {
	Image     string   `json:"image"`
	Partition string   `json:"partition"`
	Path      string   `json:"path"` // after all symbolic links on the way
	Owners    []owning `json:"owners"`
	// Unknown is the number of packages whose files are not known: one of them may have the file.
	Unknown int `json:"unknown_packages"`
}

// owning is a package that has the file.
type owning struct {
	*contents.RPM
	// Differs says in what the file is not as the RPM has it; empty if it is the same.
	Differs string `json:"differs"`
}

func newImageOwnerCommand(a *app) *cobra.Command {
	var partition string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "owner IMAGE:/PATH",
		Short: "Say which package brought a file of an image",
		Long: `Says which RPM brought a file, from which directory of packages/ and which step it
came, and whether its bytes are still those of the RPM. An image lists its packages
by name and version; of several RPMs with that name, in the store and in build/, it
is the one of which the image has the most files.

With --json it prints {"format": 1, "kind": "image-owner", …}; see docs/images.md.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.openPartition(cmd.Context(), args[0], partition)
			if err != nil {
				return err
			}
			defer o.Close()
			if o.inside == "" {
				return errkind.Usagef("name a file in the image: %s:/PATH", args[0])
			}
			owned, err := a.ownersOf(cmd.Context(), o)
			if err != nil {
				return orCause(cmd.Context(), err)
			}
			if asJSON {
				return a.printJSON("image-owner", owned)
			}
			a.writeOwners(owned)
			return nil
		},
	}
	addPartitionFlag(cmd, &partition)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func (a *app) ownersOf(ctx context.Context, o *opened) (ownedFile, error) {
	file, err := o.at(false)
	if err != nil {
		return ownedFile{}, err
	}
	owners, err := a.owners(ctx, o)
	owned := ownedFile{Image: o.Name, Partition: o.part.Title(), Path: file.Path, Owners: []owning{}}
	if err != nil || owners == nil {
		owned.Unknown = -1
		return owned, err
	}
	owned.Unknown = len(owners.Unknown)
	for _, r := range owners.Of(o.part, file.Path) {
		one := owning{RPM: r}
		r.Keys = append([]string{}, r.Keys...) // a list in JSON
		if file.Type() != image.ModeDir || len(owned.Owners) == 0 {
			if one.Differs, err = owners.Differs(ctx, o.part, file, r); err != nil {
				return owned, err
			}
		}
		owned.Owners = append(owned.Owners, one)
	}
	return owned, nil
}

func (a *app) writeOwners(owned ownedFile) {
	out := a.sys.Stdout
	printf(out, "%s\n", owned.Path)
	for _, r := range owned.Owners {
		printf(out, "  %s (%s)\n", r.String(), r.File)
		if r.Package != "" {
			printf(out, "    built from packages/%s", r.Package)
			if len(r.Keys) > 0 {
				printf(out, ", key %.12s", r.Keys[0])
			}
			fmt.Fprintln(out)
		}
		if r.Source != "" {
			printf(out, "    source RPM %s\n", r.Source)
		}
		if r.Differs != "" {
			printf(out, "    %s\n", r.Differs)
		} else {
			fmt.Fprintln(out, "    as it is in the RPM")
		}
	}
	switch {
	case len(owned.Owners) > 0:
	case owned.Unknown < 0:
		fmt.Fprintln(out, "  it is not known who brought it")
	case owned.Unknown > 0:
		printf(out, "  no RPM that is known has it; the files of %s are not known\n",
			count(owned.Unknown, "package"))
	default:
		printf(out, "  no RPM has it: the step that makes the image made it (%s)\n",
			strings.TrimSuffix(owned.Partition, " "))
	}
}
