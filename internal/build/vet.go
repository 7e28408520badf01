// vet: compares the specs of what is going to be built with its manifests, before anything is.

package build

import (
	"context"
	"errors"
	"strings"

	"buildsys"
	"buildsys/internal/errkind"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// vet returns an error if the build of a pending step must fail, as its spec and its manifest say.
// What a tree's own Dockerfile makes of them, only that knows.
func (s *Session) vet(ctx context.Context, p plan.Plan, pending []plan.Step) error {
	if p.Own {
		return nil
	}
	steps := map[string]bool{}
	for _, step := range pending {
		switch step.Kind {
		case plan.Package, plan.Variant:
			steps[step.ID] = true
		case plan.DevImage: // lint finds what is wrong with the variant
			steps[string(plan.Variant)+"/"+step.Name] = true
		}
	}
	if len(steps) == 0 {
		return nil
	}
	ws, err := workspace.Load(s.c.Root, s.c.Strictness)
	if err != nil {
		return err
	}
	findings, err := lint.Tree(ctx, ws, buildsys.Recipe, s.c.Arch)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return cannotRead(err)
	}
	var lines []string
	for _, f := range findings {
		if f.Certain() && steps[f.Of] {
			lines = append(lines, f.String())
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return errkind.Usagef("nothing is built, because it cannot succeed:\n  %s",
		strings.Join(lines, "\n  "))
}

// cannotRead returns an error of usage for files of the tree that cannot be read.
func cannotRead(err error) error {
	if _, ok := errors.AsType[manifest.Problems](err); ok {
		return errkind.BadUsage(err)
	}
	return errkind.BadEnvironment(err)
}
