// A fresh build ignores the engine's cache and has another host name; any other build does not.

package buildkit

import (
	"testing"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
)

func TestFreshBuild(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		attrs := frontendAttrs(plan.Solve{Name: "a x86_64", Target: "package", Fresh: fresh},
			sdkImage{}, engine.Limits{})
		stages, noCache := attrs["no-cache"]
		host, named := attrs["hostname"]
		if noCache != fresh || named != fresh || stages != "" || fresh && host != freshHostname {
			t.Errorf("fresh %v: no-cache %v for %q, hostname %q", fresh, noCache, stages, host)
		}
	}
}
