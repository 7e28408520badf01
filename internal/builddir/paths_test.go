// The paths of the build directory: users and other programs rely on them, so they must not change.

package builddir_test

import (
	"testing"

	"buildsys/internal/builddir"
)

func TestPaths(t *testing.T) {
	d := builddir.Dir{Root: "/b", Arch: "aarch64"}
	for got, want := range map[string]string{
		builddir.In("/c", "").Root: "/c/build",
		d.AllOutputs()[0]:          "/b/rpms",
		d.AllOutputs()[1]:          "/b/images",
		d.RPMs("bash"):             "/b/rpms/aarch64/bash",
		d.Modules("runc"):          "/b/modules/aarch64/runc",
		d.Images("aws"):            "/b/images/aarch64-aws",
		d.Kit("core"):              "/b/kits/aarch64/core",
		d.KitImage("core"):         "/b/kits/oci/core",
		d.Logs():                   "/b/logs/aarch64",
		d.State():                  "/b/state/aarch64",
		d.Nodes():                  "/b/state/aarch64/packages",
		d.Memo():                   "/b/state/hashes",
		d.Staging(""):              "/b/staging/aarch64",
		d.Staging("package/bash"):  "/b/staging/aarch64/package-bash",
		d.Lock():                   "/b/.lock-aarch64",
		d.KitsLock():               "/b/.lock-kits",
		d.UnitLock("package/bash"): "/b/state/aarch64/package-bash.lock",
		d.Builds("bash").Dir():     "/b/reproducible/bash",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
