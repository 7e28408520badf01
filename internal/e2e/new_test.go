// What buildsys new writes builds on a real engine without changes.

package e2e

import "testing"

func TestNewPackageBuilds(t *testing.T) {
	needEngine(t)
	root := writeTree(t)
	write(t, root, "packages/README", "none\n")
	buildsys(t, root, nil, "new", "package", "fresh-1.2").must(t, 0,
		"buildsys build-package fresh-1.2")
	r := buildsys(t, root, nil, "lint", "--strict")
	r.must(t, 0, "0 errors, 0 warnings")
	buildsys(t, root, nil, "build-package", "fresh-1.2").must(t, 0)
	if got := rpms(t, root, "fresh-1.2"); len(got) != 1 {
		t.Errorf("RPMs: %q", got)
	}
}
