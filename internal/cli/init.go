// init: writes a new tree that builds and boots.

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/scaffold"
)

func newInitCommand(a *app) *cobra.Command {
	var o scaffold.TreeOptions
	var vcs string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a new tree that builds and boots",
		Long: `Writes a tree for a new OS into DIR, which may exist: the packages that an image
needs, a program to begin with, a variant with a shell on its serial console, a
README, and a file for a CI service. The OS is named after the directory, and
its RPM names begin with that name. The recipe stays in buildsys. Nothing is
overwritten, and a directory in a tree is refused.

The base packages, a kernel among them, are made from source by the first build.
With --rpm-prefix skiff they are byte for byte those of Skiff, the tree of
buildsys itself: a store or a remote cache that has them gives them to this
tree. RPMs are then called skiff-NAME; the OS has its own name all the same.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if vcs != "" && vcs != "git" && vcs != "none" {
				return errkind.Usagef("--vcs %q: use git or none", vcs)
			}
			t, err := scaffold.Tree(a.path(args[0]), o)
			if err != nil {
				return err
			}
			return a.initTree(cmd.Context(), t, vcs, args[0])
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the OS (default: that of the directory)")
	cmd.Flags().StringVar(&o.Prefix, "rpm-prefix", "",
		"what the names of RPMs begin with, before a dash (default: the name of the OS)")
	cmd.Flags().StringVar(&o.CI, "ci", "github",
		"CI service to write a file for: github, gitlab, codebuild, or none")
	cmd.Flags().StringVar(&vcs, "vcs", "",
		"git: make a repository; none: do not (default: git, unless DIR is in a checkout)")
	return cmd
}

// initTree writes a tree, makes a repository of it, and says what comes next.
func (a *app) initTree(ctx context.Context, t *scaffold.NewTree, vcs, dir string) error {
	files, err := t.Write()
	if err != nil {
		return err
	}
	if err := a.initRepository(ctx, t.Dir, vcs); err != nil {
		return errkind.Environmentf("the tree is written, but is no git repository: %w", err)
	}
	fmt.Fprintf(a.sys.Stderr, "wrote %d files for the OS %s\n", len(files), t.Name)
	cd := ""
	if dir != "." {
		cd = "  cd " + dir + "\n"
	}
	fmt.Fprintf(a.sys.Stderr, "next:\n%s  buildsys build-variant\n  buildsys boot\n", cd)
	if t.Own {
		fmt.Fprintln(a.sys.Stderr, "the first build makes everything from source, a kernel too; with "+
			"--rpm-prefix "+scaffold.SharedPrefix+" a store that has Skiff has most of it")
	}
	fmt.Fprintln(a.sys.Stdout, t.Dir)
	return nil
}

// initRepository makes a git repository of a directory that is in none. Without a wish it does so
// where there is git.
func (a *app) initRepository(ctx context.Context, dir, vcs string) error {
	if vcs == "none" {
		return nil
	}
	_, err := git.Find(dir)
	if err == nil && vcs == "" {
		return nil
	}
	if err == nil {
		return errors.New("it is in a checkout already")
	}
	if !errors.Is(err, git.ErrNone) {
		return err
	}
	err = git.Init(ctx, dir)
	if vcs == "" && errors.Is(err, git.ErrNone) { // there is no git
		return nil
	}
	return err
}
