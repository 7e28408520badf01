// man: writes manual pages.

package cli

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

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
			if err := doc.GenManTree(cmd.Root(), &header, dir); err != nil {
				return errkind.BadEnvironment(err)
			}
			return nil
		},
	}
}
