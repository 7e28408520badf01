// dev: work on the source of a package.

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
)

const devHelp = `Unpacks and patches the source of a package, with its own %prep in a container,
into a git repository in dev/NAME/: a commit of the source, and one for each
patch. While it is there, the package is built from it: with the commits on top
and the changes that are not committed, as patches after its own. A build says
so; a release (--release) refuses.

  buildsys dev less                # then edit and commit in dev/less
  buildsys build-package less      # try it
  buildsys dev --finish less       # commits become patches of packages/less

--finish writes a numbered patch for each new commit, adds their lines to the
spec, and removes dev/NAME. Before that it runs %prep with them, which must make
the same files. --drop removes dev/NAME unless something in it would be lost;
with --force, always.

A package whose %prep unpacks its source itself, or applies patches under
conditions or in several directories, is refused, as is a tree with its own
Dockerfile.`

func newDevCommand(a *app) *cobra.Command {
	var finish, drop, force bool
	cmd := &cobra.Command{
		Use:   "dev [NAME]",
		Short: "Work on the source of a package, and make patches of it",
		Long:  devHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			if finish && drop || force && !drop {
				return errkind.Usagef("give --finish, or --drop with or without --force")
			}
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			packages, err := a.pickPackages(c, names)
			if err != nil {
				return err
			}
			name := packages[0]
			switch {
			case finish:
				files, err := s.FinishDev(cmd.Context(), name)
				for _, f := range files {
					fmt.Fprintln(a.sys.Stdout, f)
				}
				return err
			case drop:
				return s.DropDev(cmd.Context(), name, force)
			}
			dir, err := s.BeginDev(cmd.Context(), name)
			if err == nil {
				fmt.Fprintln(a.sys.Stdout, dir)
				fmt.Fprintf(a.sys.Stderr, "next: edit and commit in %s, build with buildsys build-package "+
					"%s, then buildsys dev --finish %[2]s\n", dir, name)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&finish, "finish", false, "make patches of the new commits")
	cmd.Flags().BoolVar(&drop, "drop", false, "remove the source that is worked on")
	cmd.Flags().BoolVar(&force, "force", false, "with --drop: also if work would be lost")
	return cmd
}
