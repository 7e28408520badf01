package build

import (
	"os"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/workspace"
)

// TestLockedSDKWithoutName: an SDK image in an OCI layout of the tree has no name, so no engine can
// have it by that.
func TestLockedSDKWithoutName(t *testing.T) {
	for registry, name := range map[string]string{
		"oci-layout:kits": "", "registry.invalid/x": "registry.invalid/x/sdk:v1.0.0",
	} {
		root := buildtest.Tree(t, `
-- Release.toml --
version = "1.0.0"
-- packages/build.rs --
-- Twoliter.toml --
schema-version = 1
release-version = "1.0.0"
[vendor.v]
registry = "`+registry+`"
[sdk]
name = "sdk"
version = "1.0.0"
vendor = "v"
-- Twoliter.lock --
schema-version = 1
kit = []
[sdk]
name = "sdk"
version = "1.0.0"
vendor = "v"
source = "`+registry+`/sdk:v1.0.0"
digest = "jBhYnvyyI/+bPJ5/ByO/CRN47gXAfLRQXH+uApeS0Qw="
`)
		tree := os.DirFS(root)
		s := &Session{c: Config{Root: root, SDK: SDKConfig{Image: name}}}
		load, err := s.lockedSDK(&workspace.Workspace{Root: root, FS: tree,
			Project: workspace.ReadProject(tree)})
		if err != nil || (load != nil) != (name != "") {
			t.Errorf("%s: it is loaded: %v, %v", registry, load != nil, err)
		}
	}
}
