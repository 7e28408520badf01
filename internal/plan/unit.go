// unit: the part of a plan that is left when others have built everything that one package or image needs.

package plan

import (
	"maps"
	"slices"
)

// Unit returns the plan of the last step of p alone, with the step that bundles its Go modules: what else these see is Given. A
// plan for one package or one image ends with that.
func (p Plan) Unit() Plan {
	last := p.Steps[len(p.Steps)-1]
	own := map[int]bool{len(p.Steps) - 1: true}
	for _, d := range last.Deps {
		if s := p.Steps[d]; s.Kind == Modules && s.Name == last.Name {
			own[d] = true
		}
	}
	keep := map[int]bool{}
	for i := range own {
		keep[i] = true
		for _, d := range p.Steps[i].Deps {
			keep[d] = true
		}
	}
	unit, moved := Plan{Arch: p.Arch, Lacks: p.Lacks, Warnings: p.Warnings}, map[int]int{}
	for _, i := range slices.Sorted(maps.Keys(keep)) {
		moved[i] = len(unit.Steps)
		s := p.Steps[i]
		if own[i] {
			s = s.renumbered(moved)
		} else {
			s = Step{ID: s.ID, Kind: s.Kind, Name: s.Name, Out: s.Out, Given: true}
		}
		unit.Steps = append(unit.Steps, s)
	}
	return unit
}

// renumbered returns the step with its dependencies at other places of the plan. What steps share is copied.
func (s Step) renumbered(moved map[int]int) Step {
	s.Deps = slices.Clone(s.Deps)
	for i, d := range s.Deps {
		s.Deps[i] = moved[d]
	}
	s.Solve.Contexts = maps.Clone(s.Solve.Contexts)
	for name, c := range s.Solve.Contexts {
		c.Dirs, c.Top = renumberedDirs(c.Dirs, moved), renumberedDirs(c.Top, moved)
		s.Solve.Contexts[name] = c
	}
	return s
}

func renumberedDirs(dirs []*Dir, moved map[int]int) []*Dir {
	out := make([]*Dir, len(dirs))
	for i, d := range dirs {
		out[i] = &Dir{Name: d.Name, Host: d.Host, Step: moved[d.Step]}
	}
	return out
}
