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
	kmodKits, first := requested(p, want)
	second := again(p, slices.Concat(kmodKits, first), s.builds)
	// What an earlier run left must not pass for this one's.
	if err := s.removeBuilds(kmodKits, first); err != nil {
		return nil, err
	}
	_, failed := s.runSteps(ctx, e, second, stepsOptions{second: true, keyed: keyed})
	if failed != nil && (ctx.Err() != nil || errors.Is(failed, sdk.ErrChanged)) {
		return nil, failed
	}
	var all []Comparison
	var different []string
	for i, step := range second.Steps[len(kmodKits):] {
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
	if err := s.removeBuilds(kmodKits); err != nil { // the images have them
		return all, err
	}
	if failed != nil || len(different) == 0 {
		return all, failed
	}
	return all, &IrreproducibleError{different, len(first), first[0].Kind}
}

// removeBuilds removes what is kept of two builds of steps.
func (s *Session) removeBuilds(steps ...[]plan.Step) error {
	for _, step := range slices.Concat(steps...) {
		if err := s.builds(step).Remove(); err != nil {
			return errkind.BadEnvironment(err)
		}
	}
	return nil
}

// requested returns the requested steps of a plan, without what they need, and the steps of the
// kmod kits that are among the outputs of those.
func requested(p plan.Plan, want Request) (kmodKits, steps []plan.Step) {
	for _, step := range p.Steps {
		switch step.Kind {
		case plan.KmodKit:
			kmodKits = append(kmodKits, step)
		case plan.Variant, plan.Kit:
			steps = append(steps, step)
		case plan.Package:
			if slices.Contains(want.Packages, step.Name) {
				steps = append(steps, step)
			}
		}
	}
	return kmodKits, steps
}

// again returns the plan of the second builds: only the given steps, all at once, as what they need
// is in place. But images see the second builds of kmod kits, which come before them.
func again(p plan.Plan, steps []plan.Step, builds func(plan.Step) builddir.Builds) plan.Plan {
	second := plan.Plan{Arch: p.Arch, Packages: p.Packages}
	for i, s := range steps {
		s.ID = "second-build/" + s.Name
		if s.Kind == plan.KmodKit {
			s.ID = "second-build/" + string(s.Kind) + "-" + s.Name
		}
		s.Solve = p.SolveOf(s)
		s.Uses, s.Waits = graph.Set{}, nil
		for k, kit := range steps[:i] {
			if c := s.Solve.Contexts[string(plan.KmodKit)]; len(c.Top) > 0 && c.Top[0].Host == kit.Out {
				c.Top = []*plan.Dir{{Name: kit.Name, Host: builds(kit).Second(), Step: k}}
				s.Solve.Contexts[string(plan.KmodKit)] = c // the map is a copy
				s.Uses, s.Waits = graph.SetOf(k), []int{k}
			}
		}
		s.Out = builds(s).Second()
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
	case plan.KmodKit:
		name = "kmod-kit-" + s.c.Arch + "-" + name
	case plan.Kit: // a package may have the same name
		name = "kit-" + name
	}
	return s.dir.Builds(name)
}
