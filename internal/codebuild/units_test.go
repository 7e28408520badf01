// units_test: the units of a plan.

package codebuild

import (
	"slices"
	"testing"
	"time"

	"buildsys/internal/plan"
)

// TestKmodKitIsPartOfItsImage checks that the unit of an image has the cost of its kmod kit, and
// comes after what only the kmod kit waits for.
func TestKmodKitIsPartOfItsImage(t *testing.T) {
	var u Units
	u.Add("os", plan.Plan{Arch: "x86_64", Steps: []plan.Step{
		{ID: "package/kernel", Kind: plan.Package, Name: "kernel"},
		{ID: "modules/app", Kind: plan.Modules, Name: "app"},
		{ID: "package/app", Kind: plan.Package, Name: "app", Waits: []int{1}},
		{ID: "kmod-kit/os", Kind: plan.KmodKit, Name: "os", Waits: []int{0}},
		{ID: "variant/os", Kind: plan.Variant, Name: "os", Waits: []int{2, 3}},
	}}, func(plan.Step) time.Duration { return time.Minute })
	if len(u.All) != 3 {
		t.Fatalf("units %+v", u.All)
	}
	image := u.All[2]
	slices.Sort(image.Deps)
	if !image.Image || image.Cost != 2*time.Minute || !slices.Equal(image.Deps, []int{0, 1}) {
		t.Errorf("the image is %+v", image)
	}
	if app := u.All[1]; app.Cost != 2*time.Minute || len(app.Deps) != 0 {
		t.Errorf("the package with modules is %+v", app)
	}
}
