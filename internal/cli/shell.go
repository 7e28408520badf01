// shell: opens a shell in the step of a package.

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
)

const shellHelp = `Opens a shell in the container of a package's step, where rpmbuild stands after
%prep, or at another place: the sources and the build tree as the step has them,
its user, environment, macros and RPMs, and no network. If the step fails before
that place, the shell is where it failed. What the package needs is built first.

  prep     after %prep: sources are unpacked and patched (the default)
  build    after %build
  install  after %install and %check
  fail     where the step fails

With a command after --, that runs instead of a shell; without a terminal and a
command, the shell reads standard input. The exit status is that of the shell or
command, or that of buildsys if it could not be started.

Nothing that is changed in the container is kept, and what the package's build
makes stays what it is. A shell at the same place of the same package opens at
once: the engine has it in its cache.`

func newShellCommand(a *app) *cobra.Command {
	at := string(plan.AfterPrep)
	cmd := &cobra.Command{
		Use:   "shell [NAME] [-- COMMAND...]",
		Short: "Open a shell where a package is built, or where that fails",
		Long:  shellHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, command := args, []string(nil)
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				names, command = args[:dash], args[dash:]
			}
			return a.shell(cmd.Context(), names, plan.Stage(at), command)
		},
	}
	cmd.Flags().StringVar(&at, "at", at, "where: "+stageList())
	return cmd
}

func stageList() string {
	var names []string
	for _, stage := range plan.Stages() {
		names = append(names, string(stage))
	}
	return strings.Join(names, ", ")
}

// shell runs a command or a shell in the step of a package.
func (a *app) shell(ctx context.Context, names []string, at plan.Stage, command []string) error {
	if len(names) > 1 {
		return errkind.Usagef("name one package, and a command after --")
	}
	if !slices.Contains(plan.Stages(), at) {
		return errkind.Usagef("--at %s: it is one of %s", at, stageList())
	}
	c, s, err := a.resolve()
	if err != nil {
		return err
	}
	packages, err := a.pickPackages(c, names)
	if err != nil {
		return err
	}
	t := newTerminal(a.sys)
	defer t.restore()
	status, err := s.Shell(ctx, packages[0], at, t.process(command))
	if err == nil && status != 0 {
		err = commandError{status}
	}
	return err
}

// checkOnFailure refuses what --on-failure cannot do.
func (a *app) checkOnFailure(what string) error {
	switch {
	case what == "":
	case what != "shell":
		return errkind.Usagef("--on-failure %s: it is shell", what)
	case newTerminal(a.sys).in == nil:
		return errkind.Usagef("--on-failure shell needs a terminal as standard input and output")
	}
	return nil
}

// shellAtFailure opens a shell where the first package that failed did, if err is about one.
func (a *app) shellAtFailure(ctx context.Context, s *build.Session, err error) {
	failed, ok := errors.AsType[*executor.FailedError](err)
	if !ok || ctx.Err() != nil {
		return
	}
	for _, step := range failed.Roots {
		name, ok := strings.CutPrefix(step.ID, string(plan.Package)+"/")
		if !ok || errkind.Of(step.Err) != errkind.StepFailed {
			continue
		}
		t := newTerminal(a.sys)
		defer t.restore()
		if _, err := s.Shell(ctx, name, plan.AtFailure, t.process(nil)); err != nil {
			a.warn(fmt.Sprintf("no shell for %s: %v", name, err))
		}
		return
	}
}
