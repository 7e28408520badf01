// name_test: the images that foreign trees name.

package sdk

import (
	"testing"

	"buildsys/internal/buildtest"
)

func TestDefaultOfForeignTrees(t *testing.T) {
	const rest = "-- Release.toml --\nversion = \"1.0.0\"\n-- packages/build.rs --\n"
	for _, c := range []struct{ tree, image, toolchain string }{
		{`[sdk]
registry = "registry.example.com/acme"
name = "acme-sdk"
version = "v0.35.0"
[toolchain]
registry = "registry.example.com/acme"
name = "acme-toolchain"
version = "v0.35.0"
`, "registry.example.com/acme/acme-sdk-aarch64:v0.35.0",
			"registry.example.com/acme/acme-toolchain-aarch64:v0.35.0"},
		{`[sdk]
registry = "registry.example.com/acme"
repo = "acme-sdk"
tag = "v0.41.0"
`, "registry.example.com/acme/acme-sdk:v0.41.0", ""},
		{`release-version = "1.0.0"
[vendor.acme]
registry = "registry.example.com/acme"
[[kit]]
name = "core-kit"
version = "3.1.1"
vendor = "acme"
-- Twoliter.lock --
schema-version = 1
kit = []
[sdk]
name = "acme-sdk"
version = "0.46.0"
vendor = "acme"
source = "registry.example.com/acme/acme-sdk:v0.46.0"
digest = ""
`, "registry.example.com/acme/acme-sdk:v0.46.0", ""},
		{"", "", ""},
	} {
		root := buildtest.Tree(t, rest+"-- Twoliter.toml --\nschema-version = 1\n"+c.tree)
		image, toolchain, err := Default(root, "aarch64", "amd64")
		if err != nil || image != c.image || toolchain != c.toolchain {
			t.Errorf("%s\n%q, %q, %v", c.tree, image, toolchain, err)
		}
	}
}
