// verify: builds steps a second time in other surroundings.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/sdk"
)

// IrreproducibleError reports that steps had other outputs when they were built again.
type IrreproducibleError struct {
	Names []string
	Of    int // number of steps that were compared
	Kind  plan.Kind
}

// Error returns the names of the packages, the kits or the variant.
func (e *IrreproducibleError) Error() string {
	names := strings.Join(e.Names, ", ")
	switch e.Kind {
	case plan.Variant:
		return fmt.Sprintf("the images of variant %s are not reproducible", names)
	case plan.Kit:
		return fmt.Sprintf("%d of %d kits are not reproducible: %s", len(e.Names), e.Of, names)
	}
	return fmt.Sprintf("%d of %d packages are not reproducible: %s", len(e.Names), e.Of, names)
}

// ErrorKind returns errkind.Integrity.
func (*IrreproducibleError) ErrorKind() errkind.Kind { return errkind.Integrity }

// verify builds what was requested again, in other surroundings and without any cache, and
// compares: the named packages or kits, or only the images of a variant. The outputs of the plan
// are in place. It keeps both builds if they differ.
func (s *Session) verify(ctx context.Context, e *engineLink, p plan.Plan, want Request,
	keyed sdk.Digests) ([]Comparison, error) {
	first := requested(p, want)
	second := again(p, first, s.builds)
	for _, step := range first { // what an earlier run left must not pass for this one's
		if err := s.builds(step).Remove(); err != nil {
			return nil, errkind.BadEnvironment(err)
		}
	}
	_, failed := s.runSteps(ctx, e, second, stepsOptions{second: true, keyed: keyed})
	if failed != nil && (ctx.Err() != nil || errors.Is(failed, sdk.ErrChanged)) {
		return nil, failed
	}
	var all []Comparison
	var different []string
	for i, step := range second.Steps {
		if _, err := os.Stat(step.Out); errors.Is(err, fs.ErrNotExist) {
			continue // its build failed, and was reported
		}
		c, err := compare(ctx, step.Name, first[i].Out, s.builds(first[i]))
		if err != nil {
			return all, errkind.BadEnvironment(err)
		}
		all = append(all, c)
		if !c.Same() {
			different = append(different, step.Name)
		}
	}
	if failed != nil || len(different) == 0 {
		return all, failed
	}
	return all, &IrreproducibleError{different, len(first), first[0].Kind}
}

// requested returns the requested steps of a plan, without what they need.
func requested(p plan.Plan, want Request) []plan.Step {
	var steps []plan.Step
	for _, step := range p.Steps {
		switch step.Kind {
		case plan.Variant, plan.Kit:
			steps = append(steps, step)
		case plan.Package:
			if slices.Contains(want.Packages, step.Name) {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// again returns the plan of the second builds: only the given steps, all at once, as what they need
// is in place.
func again(p plan.Plan, steps []plan.Step, builds func(plan.Step) builddir.Builds) plan.Plan {
	second := plan.Plan{Arch: p.Arch, Packages: p.Packages}
	for _, s := range steps {
		s.Out = builds(s).Second()
		s.ID = "second-build/" + s.Name
		s.Solve = p.SolveOf(s)
		s.Uses, s.Waits = graph.Set{}, nil
		s.Link = ""
		s.Solve.Fresh = true
		s.Solve.Args = maps.Clone(s.Solve.Args)
		s.Solve.Args["VARY"] = "1"
		second.Steps = append(second.Steps, s)
	}
	return second
}

// builds returns where the two builds of a step are kept if they differ.
func (s *Session) builds(step plan.Step) builddir.Builds {
	name := step.Name
	switch step.Kind {
	case plan.Variant: // as below build/images
		name = s.c.Arch + "-" + name
	case plan.Kit: // a package may have the same name
		name = "kit-" + name
	}
	return s.dir.Builds(name)
}
