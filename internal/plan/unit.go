// unit: what is left of a plan when others have built everything that its last step needs.

package plan

import (
	"maps"
	"slices"

	"buildsys/internal/graph"
)

// Unit returns the plan of the last step of p alone, with the step that bundles its Go modules or
// packs its kmod kit. All other steps that these use are Given. A plan for one package or one image
// ends with its step.
func (p Plan) Unit() Plan {
	end := len(p.Steps) - 1
	last := p.Steps[end]
	own := graph.SetOf(end)
	for _, d := range last.Waits { // only this step uses its modules or its kmod kit
		if p.Steps[d].isPartOf(last) {
			own = own.Union(graph.SetOf(d))
		}
	}
	keep := own
	for i := range own.All() {
		keep = keep.Union(p.Steps[i].Uses)
	}
	unit, moved := p, map[int]int{}
	unit.Steps = nil
	for i := range keep.All() {
		moved[i] = len(unit.Steps)
		s := p.Steps[i]
		if own.Has(i) {
			s = s.renumbered(moved)
		} else {
			s = Step{ID: s.ID, Kind: s.Kind, Name: s.Name, Out: s.Out, Given: true}
		}
		unit.Steps = append(unit.Steps, s)
	}
	return unit
}

// renumbered returns the step with new indexes for the steps that it uses. It waits for them all,
// as they do not wait for each other. What steps share is copied.
func (s Step) renumbered(moved map[int]int) Step {
	s.Uses = renumberedSet(s.Uses, moved)
	s.Waits = slices.Collect(s.Uses.All())
	s.Solve.Contexts = maps.Clone(s.Solve.Contexts)
	for name, c := range s.Solve.Contexts {
		c.RPMs = renumberedSet(c.RPMs, moved)
		c.Dirs, c.Top = renumberedDirs(c.Dirs, moved), renumberedDirs(c.Top, moved)
		s.Solve.Contexts[name] = c
	}
	return s
}

func renumberedSet(set graph.Set, moved map[int]int) graph.Set {
	var now []int
	for i := range set.All() {
		now = append(now, moved[i])
	}
	return graph.SetOf(now...)
}

func renumberedDirs(dirs []*Dir, moved map[int]int) []*Dir {
	out := make([]*Dir, len(dirs))
	for i, d := range dirs {
		out[i] = &Dir{Name: d.Name, Host: d.Host, Step: moved[d.Step]}
	}
	return out
}
