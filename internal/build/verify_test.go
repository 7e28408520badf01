// verify_test: what second builds see.

package build

import (
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
)

// TestSecondImageHasSecondKmodKit checks that a kmod kit is packed again and its image made of
// that, so that the comparison of the images is one of the kits too.
func TestSecondImageHasSecondKmodKit(t *testing.T) {
	kit := plan.Step{ID: "kmod-kit/os", Kind: plan.KmodKit, Name: "os", Out: "/b/kmod-kits/os",
		Solve: plan.Solve{Args: map[string]string{"ARCH": "x86_64"}}}
	image := plan.Step{ID: "variant/os", Kind: plan.Variant, Name: "os", Out: "/b/images/os",
		Uses: graph.SetOf(0, 1), Waits: []int{0, 1}, Solve: plan.Solve{
			Args: map[string]string{"ARCH": "x86_64"},
			Contexts: map[string]plan.Context{
				"rpms":     {RPMs: graph.SetOf(0)},
				"kmod-kit": {Top: []*plan.Dir{{Name: "os", Host: kit.Out, Step: 1}}}}}}
	pkg := plan.Step{ID: "package/a", Kind: plan.Package, Name: "a", Out: "/b/rpms/a"}
	p := plan.Plan{Steps: []plan.Step{pkg, kit, image}}
	kits, first := requested(p, Request{Image: true})
	if len(kits) != 1 || kits[0].ID != kit.ID || len(first) != 1 || first[0].ID != image.ID {
		t.Fatalf("kmod kits %+v, compared %+v", kits, first)
	}
	second := again(p, append(kits, first...), func(s plan.Step) builddir.Builds {
		return builddir.Dir{Root: "/b"}.Builds(string(s.Kind))
	})
	packed, made := second.Steps[0], second.Steps[1]
	if packed.ID == made.ID || packed.Out == kit.Out || packed.Solve.Args["VARY"] != "1" {
		t.Errorf("the second kmod kit is %+v", packed)
	}
	seen := made.Solve.Contexts["kmod-kit"].Top[0]
	if seen.Host != packed.Out || made.Waits[0] != 0 || !made.Uses.Has(0) {
		t.Errorf("the second image sees %+v, waits for %v", seen, made.Waits)
	}
	if image.Solve.Contexts["kmod-kit"].Top[0].Host != kit.Out {
		t.Error("the first plan was changed")
	}
}
