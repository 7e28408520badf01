// image list: the images of a variant that can be named.

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/bytesize"
)

// listedImage is one image in the document of image list.
type listedImage struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"` // with the build ID
	Placed   time.Time `json:"placed"`
	RootHash string    `json:"root_hash"` // empty if it has none
	Bytes    int64     `json:"file_bytes"`
	Key      string    `json:"key"`    // of the step that made it
	Origin   string    `json:"origin"` // remote cache that it came from; empty for this machine
}

func newImageListCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [VARIANT]",
		Short: "List the images of a variant that can be named",
		Long: `Lists the images of a variant that this checkout has had in place and that the
store still has, the newest first. The store keeps what was used within the last
60 days, as far as "cache trim" leaves it.

With --json it prints {"format": 1, "kind": "image-list", "images": [IMAGE...]}.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, s, err := a.resolveVariant(args)
			if err != nil {
				return err
			}
			all, err := s.EarlierImages()
			if err != nil {
				return err
			}
			images := []listedImage{}
			for _, one := range all {
				hash, err := s.RootHash(cmd.Context(), one)
				if err != nil {
					return orCause(cmd.Context(), err)
				}
				images = append(images, describeImage(one, hash))
			}
			if asJSON {
				return a.printJSON("image-list", map[string]any{"images": images})
			}
			return a.writeImages(images)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func describeImage(one build.EarlierImage, hash string) listedImage {
	l := listedImage{Name: one.Name, Version: one.Version(),
		Placed:   one.At.UTC().Truncate(time.Second),
		RootHash: hash, Key: one.Entry.Action.String(), Origin: one.Entry.Origin}
	for _, f := range build.DiskFiles(one.Entry) {
		l.Bytes += f.Size
	}
	return l
}

func (a *app) writeImages(images []listedImage) error {
	table := newTable(a.sys.Stdout)
	if len(images) > 0 {
		fmt.Fprintln(table, "name\tversion\tplaced\troot hash\tfile")
	}
	for _, one := range images {
		printf(table, "%s\t%s\t%s\t%.16s\t%s\n", one.Name, one.Version,
			one.Placed.Local().Format("2006-01-02 15:04:05"), orDash(one.RootHash),
			bytesize.Format(one.Bytes))
	}
	return table.Flush()
}
