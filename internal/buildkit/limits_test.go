package buildkit

import (
	"testing"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
)

// TestDisksMayBeLargerThanOutputs: an image's disk is far larger than what the step sends of it.
func TestDisksMayBeLargerThanOutputs(t *testing.T) {
	for _, c := range []struct {
		target plan.Kind
		bytes  int64
		want   string
	}{
		{plan.Package, 5, "fsize=5:5"},
		{plan.Variant, 5, "fsize=1099511627776:1099511627776"},
		{plan.Repack, 1 << 50, "fsize=1125899906842624:1125899906842624"},
		{plan.Variant, 0, ""},
	} {
		got := limitAttrs(plan.Solve{Target: string(c.target)}, engine.Limits{Bytes: c.bytes})["ulimit"]
		if got != c.want {
			t.Errorf("%s, %d bytes: %q, want %q", c.target, c.bytes, got, c.want)
		}
	}
}
