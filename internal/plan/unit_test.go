// unit_test: what is left of a plan for one unit.

package plan

import (
	"slices"
	"testing"

	"buildsys/internal/graph"
)

func TestUnit(t *testing.T) {
	for _, test := range []struct {
		request func(*Request)
		given   []string
		own     string
	}{
		{func(r *Request) { r.Packages = []string{"data"} }, nil, "package/data"},
		{func(r *Request) { r.Packages = []string{"app"} }, []string{"package/data", "package/lib"},
			"package/app"},
		{func(r *Request) { r.Image = true }, []string{"package/app", "package/data", "package/lib",
			"package/os", "package/release"}, "variant/qemu-dev"},
	} {
		r := request()
		test.request(&r)
		whole := mustMake(t, tree(), r)
		unit := whole.Unit()
		last := unit.Steps[len(unit.Steps)-1]
		if last.ID != test.own || last.Given || last.Solve.Target == "" {
			t.Errorf("the unit is %s (given: %v), want %s", last.ID, last.Given, test.own)
		}
		var given []string
		for i, s := range unit.Steps[:len(unit.Steps)-1] {
			bare := s.Given && s.Solve.Target == "" && s.Uses.Empty() && len(s.Waits)+len(s.Fetch) == 0
			if !bare || s.Out == "" || !last.Uses.Has(i) || last.Waits[i] != i {
				t.Errorf("step %d for %s: %+v; it waits for %v", i, test.own, s, last.Waits)
			}
			given = append(given, s.ID)
		}
		slices.Sort(given)
		if !slices.Equal(given, test.given) {
			t.Errorf("given to %s: %q, want %q", test.own, given, test.given)
		}
		for _, dir := range unit.SolveOf(last).Contexts["rpms"].Dirs {
			if dir.Name != unit.Steps[dir.Step].Name || dir.Host != unit.Steps[dir.Step].Out {
				t.Errorf("%s sees %+v, which step %d is not", test.own, dir, dir.Step)
			}
		}
		for _, s := range whole.Steps { // the whole plan must not change
			for _, dir := range whole.SolveOf(s).Contexts["rpms"].Dirs {
				if whole.Steps[dir.Step].Name != dir.Name {
					t.Errorf("the whole plan was changed: %+v", dir)
				}
			}
		}
	}
}

// The step of a package's Go modules is part of its unit.
func TestUnitWithModules(t *testing.T) {
	p := Plan{Arch: "x86_64", Steps: []Step{
		{ID: "modules/other", Kind: Modules, Name: "other", Out: "/modules/other"},
		{ID: "modules/app", Kind: Modules, Name: "app", Out: "/modules/app",
			Solve: Solve{Target: "modules"}},
		{ID: "package/other", Kind: Package, Name: "other", Uses: graph.SetOf(0), Waits: []int{0},
			Out: "/rpms/other"},
		{ID: "package/app", Kind: Package, Name: "app", Uses: graph.SetOf(1, 2), Waits: []int{1, 2},
			Solve: Solve{Contexts: map[string]Context{
				"package": {Top: []*Dir{{Name: "app", Host: "/modules/app", Step: 1}}},
				"rpms":    {RPMs: graph.SetOf(2)},
			}}},
	}}
	unit := p.Unit()
	var ids []string
	for _, s := range unit.Steps {
		ids = append(ids, s.ID)
	}
	if want := []string{"modules/app", "package/other", "package/app"}; !slices.Equal(ids, want) {
		t.Fatalf("the unit is %q, want %q", ids, want)
	}
	last := unit.Steps[2]
	rpms := unit.SolveOf(last).Contexts["rpms"].Dirs
	if unit.Steps[0].Given || !unit.Steps[1].Given || !slices.Equal(last.Waits, []int{0, 1}) ||
		last.Uses.Len() != 2 || last.Solve.Contexts["package"].Top[0].Step != 0 || rpms[0].Step != 1 {
		t.Errorf("got %+v", unit.Steps)
	}
}
