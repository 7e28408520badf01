// image ls: lists files of an image.

package cli

import (
	"bufio"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/contents"
	"buildsys/internal/image"
)

// listedFile is one file in the document of image ls.
type listedFile struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"` // four octal digits
	Type   string `json:"type"` // the first letter of ls -l: "-", "d", "l", "c", "b", "p", "s"
	UID    uint32 `json:"uid"`
	GID    uint32 `json:"gid"`
	Bytes  int64  `json:"bytes"`
	Stored int64  `json:"stored_bytes"` // in the partition
	Links  uint32 `json:"links"`
	Time   int64  `json:"modified"` // seconds since 1970
	Target string `json:"target,omitempty"`
	Device string `json:"device,omitempty"` // "MAJOR:MINOR"
}

func newImageLsCommand(a *app) *cobra.Command {
	var partition string
	var asJSON, deep, self bool
	cmd := &cobra.Command{
		Use:   "ls IMAGE[:/PATH]",
		Short: "List files of an image",
		Long: `Lists a directory of an image, or a file, as "ls -l" does: mode, links, owner,
size (of a device its numbers), date in UTC, name, and where a link leads. Without
a path it is the root directory.

With --json it prints {"format": 1, "kind": "image-files", "image": NAME,
"partition": NAME, "files": [FILE...]}; see docs/images.md.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := a.openPartition(cmd.Context(), args[0], partition)
			if err != nil {
				return err
			}
			defer o.Close()
			at, err := o.at(false)
			if err != nil {
				return orCause(cmd.Context(), err)
			}
			files, err := o.part.List(at, deep && !self)
			if err != nil {
				return orCause(cmd.Context(), err)
			}
			switch {
			case self:
				files = files[:1]
			case at.Type() == image.ModeDir:
				files = files[1:]
			}
			if asJSON {
				return a.printFiles(o, files)
			}
			return a.writeFiles(files, deep)
		},
	}
	addPartitionFlag(cmd, &partition)
	cmd.Flags().BoolVarP(&deep, "recursive", "R", false,
		"list what is below directories, with whole paths")
	cmd.Flags().BoolVarP(&self, "directory-itself", "d", false, "list a directory itself")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func (a *app) printFiles(o *opened, files []image.Walked) error {
	list := []listedFile{}
	for _, f := range files {
		one := listedFile{Path: f.Path, Mode: fmt.Sprintf("%04o", f.Mode&image.ModePerm),
			Type: contents.ModeText(f.Mode)[:1], UID: f.UID, GID: f.GID, Bytes: f.Size, Stored: f.Stored,
			Links: f.Links, Time: f.Time, Target: f.Target}
		if t := f.Type(); t == image.ModeChar || t == image.ModeBlock {
			one.Device = fmt.Sprintf("%d:%d", f.Device[0], f.Device[1])
		}
		list = append(list, one)
	}
	return a.printJSON("image-files", map[string]any{"image": o.Name, "partition": o.part.Title(),
		"files": list})
}

func (a *app) writeFiles(files []image.Walked, whole bool) error {
	out := bufio.NewWriter(a.sys.Stdout)
	widths := [4]int{}
	rows := make([][4]string, len(files))
	for i, f := range files {
		size := fmt.Sprint(f.Size)
		if t := f.Type(); t == image.ModeChar || t == image.ModeBlock {
			size = fmt.Sprintf("%d, %d", f.Device[0], f.Device[1])
		}
		rows[i] = [4]string{fmt.Sprint(f.Links), fmt.Sprint(f.UID), fmt.Sprint(f.GID), size}
		for n, text := range rows[i] {
			widths[n] = max(widths[n], len(text))
		}
	}
	for i, f := range files {
		name := f.Path
		if !whole {
			name = path.Base(f.Path)
		}
		if f.Type() == image.ModeLink {
			name += " -> " + f.Target
		}
		r := rows[i]
		fmt.Fprintf(out, "%s %*s %-*s %-*s %*s %s %s\n", contents.ModeText(f.Mode), widths[0], r[0],
			widths[1], r[1], widths[2], r[2], widths[3], r[3],
			time.Unix(f.Time, 0).UTC().Format("2006-01-02 15:04"), oneLine(name))
	}
	return out.Flush()
}

// oneLine replaces what would end a line or move the cursor.
func oneLine(name string) string { return printable(strings.ToValidUTF8(name, "?")) }
