// releasebill_test: no image is released without a bill of materials.

package build

import (
	"strings"
	"testing"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

func TestCheckBilled(t *testing.T) {
	pkg := plan.Step{Kind: plan.Package}
	for _, tt := range []struct {
		steps []plan.Step
		want  string
	}{
		{[]plan.Step{pkg}, ""},
		{[]plan.Step{pkg, {Kind: plan.Variant, Bill: &plan.Bill{}}}, ""},
		{[]plan.Step{{Kind: plan.Repack, Bill: &plan.Bill{}}}, ""},
		{[]plan.Step{pkg, {Kind: plan.Variant}}, "own Dockerfile"},
		{[]plan.Step{{Kind: plan.Repack}}, "the image to repack has none"},
	} {
		err := checkBilled(plan.Plan{Steps: tt.steps})
		if tt.want == "" && err != nil || tt.want != "" && (errkind.Of(err) != errkind.Usage ||
			!strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.steps, err, tt.want)
		}
	}
}
