// man: writes manual pages.

package cli

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// newManCommand returns the command that writes manual pages, one for each command. They have the
// date of the commit that the program was built from, so that they are the same wherever they are
// written.
func newManCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages of all commands into a directory",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := a.path(args[0])
			if _, err := a.throughNoLink(dir); err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return errkind.BadEnvironment(err)
			}
			v := thisVersion()
			date, err := time.Parse(time.RFC3339, v.Time)
			if err != nil { // not built from a commit
				date = time.Unix(0, 0).UTC()
			}
			header := doc.GenManHeader{Section: "1", Source: "buildsys " + v.Version, Date: &date,
				Manual: "buildsys"}
			cmd.Root().DisableAutoGenTag = true
			return errkind.BadEnvironment(a.writeManuals(cmd.Root(), &header, dir))
		},
	}
}

// writeManuals writes the pages by way of a directory of its own: the library writes through links
// that are in the place of pages.
func (a *app) writeManuals(root *cobra.Command, header *doc.GenManHeader, dir string) error {
	scratch, err := os.MkdirTemp("", "buildsys-man-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := doc.GenManTree(root, header, scratch); err != nil {
		return err
	}
	pages, err := confined.List(scratch)
	for _, page := range pages {
		var text []byte
		if err == nil {
			text, err = os.ReadFile(filepath.Join(scratch, page.Name()))
		}
		if err == nil {
			err = a.writeFile(filepath.Join(dir, page.Name()), text, 0o644)
		}
	}
	return err
}
