// shell: a shell in the step of a package.

package build

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"buildsys/internal/builddir"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sdk"
)

// Shell opens a container where rpmbuild stands in the step of a package at a stage, and runs p
// there: its Args are a command, or none for a shell. What the package needs is built first.
// Nothing of the container is kept, and the step's own result stays what it is. It returns the exit
// status of the command.
func (s *Session) Shell(ctx context.Context, name string, at plan.Stage, p engine.Process) (
	status int, err error) {
	steps, err := s.Plan(ctx, Request{Packages: []string{name}})
	if err != nil {
		return 0, err
	}
	last := len(steps.Steps) - 1
	step := steps.Steps[last]
	if _, ok := plan.Shell(step.Solve, at); !ok {
		return 0, errkind.Usagef("no shell for %s: the Dockerfile of this tree makes RPMs in its own "+
			"way, and where rpmbuild stands in that is not known; shell is for trees that the recipes of "+
			"buildsys build", name)
	}
	if err := s.checkRecipe(steps); err != nil {
		return 0, err
	}
	unlock, err := builddir.Lock(ctx, s.c.Root, s.dir.Lock(), s.waitingFor("working on this checkout"))
	if err != nil {
		return 0, err
	}
	free := sync.OnceFunc(unlock)
	defer free()
	p.Args = append([]string{"bash", plan.ShellEntry}, p.Args...)
	started := p.Started
	p.Started = func() {
		free() // another run may work on the checkout while the shell is open
		started()
	}
	err = s.withEngine(func(e *engineLink) error {
		keyed, err := s.makeNeeds(ctx, e, steps)
		if err != nil {
			return err
		}
		status, err = s.open(ctx, e, steps, step, at, keyed, p)
		return err
	})
	return status, err
}

// makeNeeds builds what the last step of a plan uses.
func (s *Session) makeNeeds(ctx context.Context, e *engineLink, p plan.Plan) (sdk.Digests, error) {
	last := len(p.Steps) - 1
	step := p.Steps[last]
	p.Steps = p.Steps[:last]
	if last == 0 {
		return sdk.Digests{}, nil
	}
	uses := map[string]bool{}
	for i := range step.Uses.All() {
		uses[p.Steps[i].ID] = true
	}
	return s.runSteps(ctx, e, p, stepsOptions{wanted: func(s plan.Step) bool { return uses[s.ID] }})
}

// open opens the container.
func (s *Session) open(ctx context.Context, e *engineLink, p plan.Plan, step plan.Step,
	at plan.Stage, keyed sdk.Digests, process engine.Process) (status int, err error) {
	if err := fetchSources(s.sources(s.out))(ctx, step); err != nil {
		return 0, err
	}
	if err := e.confirm(ctx, s.images(p, nil, s.out), keyed); err != nil {
		return 0, err
	}
	opener, ok := e.eng.(engine.Opener)
	if !ok {
		return 0, errkind.Environmentf("this engine opens no containers")
	}
	solve, _ := plan.Shell(p.SolveOf(step), at)
	s.out.Notice(fmt.Sprintf("running %s up to the shell (%s)", step.Name, at))
	return opener.Open(ctx, solve, process, func(event progress.Event) {
		event.Step = cmp.Or(event.Step, step.ID)
		s.out.Event(event)
	})
}
