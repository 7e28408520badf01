// files_test: which steps see a new file of the recipe.

package plan

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// TestNewRecipeFile checks that a file added to a directory of the recipe changes what every step
// of the targets that use the directory sees, and nothing else.
func TestNewRecipeFile(t *testing.T) {
	files := kernelTree()
	maps.Copy(files, kitTree())
	for _, name := range []string{"Dockerfile", "variants/qemu-dev/Cargo.toml"} {
		files[name] = kernelTree()[name]
	}
	app := files["packages/app/Cargo.toml"]
	const deps = "[build-dependencies]"
	app.Data = []byte(strings.Replace(string(app.Data), deps, "bundle-modules = [\"go\"]\n"+deps, 1))
	before := solves(t, files)
	for file, want := range map[string]string{
		"tools/new":         "",
		"tools/new/new":     "",
		"tools/package/new": "package",
		"tools/image/new":   "variant",
		"tools/repack/new":  "repack",
		"tools/disk/new":    "repack variant",
		"tools/kit/new":     "kit",
		"tools/modules/new": "modules",
		"tools/go/new":      "go",
		"tools/kmodkit/new": "kmod-kit variant",
		"tools/lib/new":     "kit kmod-kit modules package repack variant",
		"tools/lib/a/new":   "kit kmod-kit modules package repack variant",
		"macros/new":        "package variant",
		"macros/x86_64":     "package variant",
		"macros/aarch64":    "",
	} {
		files[file] = &fstest.MapFile{Data: []byte("new")}
		var changed []string
		for i, solve := range solves(t, files) {
			if !reflect.DeepEqual(solve, before[i]) {
				changed = append(changed, solve.Target)
			} else if slices.Contains(strings.Fields(want), solve.Target) {
				t.Errorf("%s: %s is the same", file, solve.Name)
			}
		}
		slices.Sort(changed)
		if got := strings.Join(slices.Compact(changed), " "); got != want {
			t.Errorf("%s changes steps of %q, want %q", file, got, want)
		}
		delete(files, file)
	}
}

// solves returns the builds of a tree, for every target.
func solves(t *testing.T, files fstest.MapFS) []Solve {
	t.Helper()
	image, repack := request(), request()
	image.Sources.Modules = func(manifest.ExternalFile) string { return "/modules" }
	image.Image, image.Kits = true, []string{"lib-kit"}
	repack.Repack = &RepackSource{Dir: "/old", Names: []string{"tiny-qemu-dev-x86_64-1.img.lz4",
		inventoryName}}
	ws, err := workspace.LoadFS("/tree", files)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := ws.Recipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := []Solve{GoRun(recipe, "sdk", "x86_64", "m", nil, "/proxy", nil)}
	for _, r := range []Request{image, repack} {
		for _, step := range mustMake(t, files, r).Steps {
			all = append(all, step.Solve)
		}
	}
	return all
}
