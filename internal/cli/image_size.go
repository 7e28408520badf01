// image size: what takes the space of an image.

package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"buildsys/internal/bytesize"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
)

func newImageSizeCommand(a *app) *cobra.Command {
	var q sizeQuestion
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "size IMAGE",
		Short: "Say what takes the space of an image, by package, directory or file",
		Long: `Lists what the files of a partition take, the largest first: the bytes in the
partition, compressed ones where the file system compresses, the bytes of the
files as programs see them, and their number. Hard links count once. Directories
belong to no package. The items and what the file system itself takes add up to
what is used.

--format svg draws a treemap of all files, coloured by package.

With --json it prints {"format": 1, "kind": "image-size", …} with all items; see
docs/images.md.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				q.format = "json"
			}
			return a.imageSize(cmd.Context(), args[0], q)
		},
	}
	addPartitionFlag(cmd, &q.partition)
	cmd.Flags().StringVar(&q.by, "by", contents.ByPackage,
		"what to add up: package, directory or file")
	cmd.Flags().StringVar(&q.format, "format", "text", "text, json or svg")
	cmd.Flags().BoolVar(&asJSON, "json", false, "the same as --format json")
	cmd.Flags().IntVarP(&q.most, "number", "n", 40, "how many items to list as text; 0 for all")
	return cmd
}

// sizeQuestion is what image size is asked.
type sizeQuestion struct {
	partition, by, format string
	most                  int
}

func (a *app) imageSize(ctx context.Context, name string, q sizeQuestion) error {
	groups := []string{contents.ByPackage, contents.ByDirectory, contents.ByFile}
	if !slices.Contains(groups, q.by) {
		return errkind.Usagef("--by must be package, directory or file, not %q", q.by)
	}
	if !slices.Contains([]string{"text", "json", "svg"}, q.format) {
		return errkind.Usagef("--format must be text, json or svg, not %q", q.format)
	}
	if q.format == "svg" {
		q.by = contents.ByFile
	}
	o, err := a.openImage(ctx, name)
	if err != nil {
		return err
	}
	defer o.Close()
	if o.inside != "" {
		return errkind.Usagef("name an image without a path: sizes are of a whole partition")
	}
	sizes, err := a.sizes(ctx, o, q.partition, q.by)
	if err != nil {
		return orCause(ctx, err)
	}
	switch q.format {
	case "json":
		return a.printJSON("image-size", struct {
			Image string `json:"image"`
			By    string `json:"by"`
			contents.Sizes
		}{o.Name, q.by, sizes})
	case "svg":
		return a.writeTreemap(o, sizes)
	}
	return a.writeSizes(sizes, q.by, q.most)
}

func (a *app) sizes(ctx context.Context, o *opened, partition, by string) (contents.Sizes, error) {
	if err := o.pick(partition); err != nil {
		return contents.Sizes{}, err
	}
	var owners *contents.Owners
	if by != contents.ByDirectory {
		var err error
		if owners, err = a.owners(ctx, o); err != nil {
			return contents.Sizes{}, err
		}
		if owners == nil && by == contents.ByPackage {
			return contents.Sizes{}, errkind.Usagef("without packages there are no sizes by package: " +
				"use --by directory or --by file")
		}
	}
	return o.part.Sizes(by, owners)
}

// writeTreemap writes the picture past the writer for text, whose lines are those of terminals.
func (a *app) writeTreemap(o *opened, sizes contents.Sizes) error {
	var b bytes.Buffer
	if err := contents.WriteTreemap(&b, o.Name+" "+sizes.Partition, sizes); err != nil {
		return err
	}
	_, err := a.sys.Stdout.Write(b.Bytes())
	return err
}

func (a *app) writeSizes(s contents.Sizes, by string, most int) error {
	table := newTable(a.sys.Stdout)
	printf(table, "in %s\tcontents\tfiles\t%s\n", orDash(s.Holds), by)
	shown := s.Items
	if most > 0 && len(shown) > most {
		shown = shown[:most]
	}
	for _, one := range shown {
		printf(table, "%s\t%s\t%d\t%s\n", bytesize.Format(one.Bytes), bytesize.Format(one.Contents),
			one.Files, oneLine(one.Name))
	}
	if rest := s.Items[len(shown):]; len(rest) > 0 {
		sum := contents.Size{}
		for _, one := range rest {
			sum.Bytes, sum.Contents, sum.Files = sum.Bytes+one.Bytes, sum.Contents+one.Contents,
				sum.Files+one.Files
		}
		printf(table, "%s\t%s\t%d\t(%d more)\n", bytesize.Format(sum.Bytes),
			bytesize.Format(sum.Contents), sum.Files, len(rest))
	}
	printf(table, "%s\t\t\t(the file system itself)\n", bytesize.Format(s.Metadata))
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.sys.Stdout, "%s used of %s in %s, %s free\n", bytesize.Format(s.Used),
		bytesize.Format(s.Total), printable(s.Partition), bytesize.Format(s.Free))
	return err
}
