// gocommand: runs the go command of the SDK on first-party code.

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/progress"
)

const goHelp = `Runs "go ARGUMENT..." inside the SDK on a Go module of the tree, for example the
unit tests of first-party code, with the compiler and libraries it is built with.

  buildsys go --module-path sources/skiff test ./...

The command sees a copy of the module and nothing else, and has no network: what
the module's go.sum names is first fetched from GOPROXY and checked. Files that
it writes are discarded. Its output appears on standard output at once, and its
exit status is that of go: 1 is a failed test, 2 a command line that go refuses.`

func newGoCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "go [--module-path DIR] ARGUMENT...",
		Short: "Run the go command of the SDK on a Go module of the tree",
		Long:  goHelp,
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			at := nearestModule(a.sys.Dir, c.Root)
			if dir != "" {
				at = a.path(dir)
			}
			status, err := s.RunGo(cmd.Context(), at, argv, a.printGo)
			if err == nil && status != 0 {
				err = commandError{status}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "module-path", "",
		"directory of the Go module (default: found upwards from the working directory)")
	cmd.Flags().SetInterspersed(false) // flags after the first argument are the go command's
	return cmd
}

// printGo prints the output of the go command to standard output, and warnings to standard error.
func (a *app) printGo(e progress.Event) {
	switch e.Kind {
	case progress.StepLog:
		fmt.Fprintln(a.sys.Stdout, progress.Clean(e.Text))
	case progress.Warning:
		fmt.Fprintln(a.sys.Stderr, "warning:", progress.Clean(e.Text))
	}
}

// nearestModule returns the first directory from dir up to root that has a go.mod, or dir if none
// has.
func nearestModule(dir, root string) string {
	for at := dir; strings.HasPrefix(at, root); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if at == root {
			break
		}
	}
	return dir
}
