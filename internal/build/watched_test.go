// watched_test: what of a tree is watched for the image of a variant.

package build

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/cachedir"
)

const watchedTree = `
-- Release.toml --
version = "1.0.0"
-- packages/app/Cargo.toml --
[package]
name = "app"
[package.metadata.build-package]
source-groups = ["app"]
-- packages/app/app.spec --
-- packages/other/Cargo.toml --
[package]
name = "other"
-- packages/other/other.spec --
-- sources/app/cmd/app/main.go --
-- sources/other/main.go --
-- variants/qemu-dev/Cargo.toml --
[package]
name = "qemu-dev"
[package.metadata.build-variant]
included-packages = ["app"]
[build-dependencies]
app = { path = "../../packages/app" }
`

func TestPlaces(t *testing.T) {
	root := buildtest.Tree(t, watchedTree)
	// Outputs and sources of others than the variant's packages do not count.
	for _, dir := range []string{"build/rpms/x86_64/app", "dev/other"} {
		buildtest.Must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	places := func() string {
		s := New(Config{Root: root, Arch: "x86_64", Variant: "qemu-dev",
			SDK:         SDKConfig{Image: "buildsys.invalid/sdk:1"},
			Image:       ImageConfig{Name: "tiny"},
			CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir())}}, Surroundings{Output: silent{}})
		p, err := s.Prepare(t.Context(), Request{Image: true, Dev: true})
		buildtest.Must(t, err)
		var all []string
		for _, one := range p.Places() {
			all = append(all, strings.TrimSpace(fmt.Sprintln(one.Dir, strings.Join(one.Names, " "))))
		}
		return strings.Join(all, "\n")
	}
	want := `. Dockerfile Release.toml Twoliter.lock Twoliter.toml
macros
packages/app
roles
sources/app
variants/qemu-dev`
	if got := places(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// A tree's own recipe is a part of it.
	for _, file := range []string{"macros/shared", "macros/x86_64", "tools/package/build-rpm",
		"tools/image/build-variant"} {
		buildtest.Must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755))
		buildtest.Must(t, os.WriteFile(filepath.Join(root, file), nil, 0o644))
	}
	buildtest.Must(t, os.WriteFile(filepath.Join(root, "Dockerfile"),
		[]byte("# buildsys-recipe: 2\n"), 0o644))
	want = strings.Replace(want, "variants/", "tools/image\ntools/package\nvariants/", 1)
	if got := places(); got != want {
		t.Errorf("with a recipe: got\n%s\nwant\n%s", got, want)
	}
}

func TestIgnored(t *testing.T) {
	for name, want := range map[string]bool{
		"main.go": false, ".main.go.swp": true, "main.go~": true, ".git": true, "target": true,
	} {
		if Ignored(name) != want {
			t.Errorf("%s is ignored: %v", name, !want)
		}
	}
}
