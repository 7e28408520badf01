// On a real engine, package-features reach a spec, and rebuild only the package that lists them.

package e2e

import (
	"slices"
	"strings"
	"testing"
)

func TestPackageFeatures(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "plain"}, pkg{name: "feat"})
	write(t, root, "packages/feat/Cargo.toml", `[package]
name = "feat"
[package.metadata.build-package]
package-features = ["xfs-data-partition"]
[build-dependencies]
plain = { path = "../plain" }
`)
	write(t, root, "packages/feat/feat.spec", strings.Join([]string{
		"Name: %{_cross_os}feat", "Version: 1.0", "Release: 1", "Summary: test", "License: MIT",
		"%description", "%{summary}.", "%install", "mkdir -p %{buildroot}", "touch %{buildroot}/feat",
		"%files",
		"%if %{with xfs_data_partition}", `%attr(700,root,root) /feat`, "%else", "/feat", "%endif", "",
	}, "\n"))
	for variant, features := range map[string]string{
		"qemu-plain": "", "qemu-other": "fips = true",
		"qemu-xfs": "fips = true\nxfs-data-partition = true",
	} {
		write(t, root, "variants/"+variant+"/Cargo.toml", "[package]\nname = \""+variant+"\"\n"+
			"[package.metadata.build-variant]\nincluded-packages = [\"feat\"]\n"+
			"[package.metadata.build-variant.image-features]\n"+features+"\n"+
			"[build-dependencies]\nfeat = { path = \"../../packages/feat\" }\n")
	}
	build := func(variant string, want ...string) string {
		r := buildsys(t, root, nil, "build-package", "feat", "--variant", variant)
		r.must(t, 0)
		if got := started(r); !slices.Equal(got, want) {
			t.Errorf("for %s built %q, want %q:\n%s", variant, got, want, r.stderr)
		}
		return rpmBytes(t, root, "feat")
	}
	without := build("qemu-plain", "feat", "plain")
	if build("qemu-other") != without {
		t.Error("a feature that the package does not list changed its RPM")
	}
	if build("qemu-xfs", "feat") == without {
		t.Error("the feature did not reach the spec")
	}
	if build("qemu-plain") != without { // from the store
		t.Error("the package of the variant without the feature was not kept")
	}
}
