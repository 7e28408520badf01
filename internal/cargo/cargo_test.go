package cargo

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

func TestUnit(t *testing.T) {
	root := buildtest.Tree(t, `
-- packages/bash/Cargo.toml --
-- variants/aws-dev/Cargo.toml --
-- kits/core/deep/Cargo.toml --
-- tools/helper/Cargo.toml --
`)
	for _, tt := range []struct {
		dir  string
		kind plan.Kind
		want string
	}{
		{"packages/bash", plan.Package, "bash"},
		{"variants/aws-dev", plan.Variant, "aws-dev"},
		{"kits/core/deep", plan.Kit, "core/deep"},
		{"tools/helper", plan.Package, ""}, // a crate of no step
		{"..", plan.Package, ""},
	} {
		got, err := Unit(root, filepath.Join(root, tt.dir), tt.kind)
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.dir, got, err, tt.want)
		}
	}
	_, err := Unit(root, filepath.Join(root, "packages/bash"), plan.Variant)
	if errkind.Of(err) != errkind.Usage || !strings.Contains(err.Error(), "build-package is what") {
		t.Errorf("the script of a package that builds a variant: %v", err)
	}
}

func TestVariablesOfAnOwnDockerfile(t *testing.T) {
	step := plan.Step{Kind: plan.Kit, Solve: plan.Solve{Args: map[string]string{"TOOLCHAIN": "x"}}}
	got := Crate{Plan: plan.Plan{Steps: []plan.Step{step}}}.variables()
	want := strings.Fields("BUILDSYS_ARCH BUILDSYS_REGISTRY BUILDSYS_SDK_IMAGE BUILDSYS_SDK_NAME " +
		"BUILDSYS_SDK_VERSION BUILDSYS_TOOLCHAIN BUILDSYS_VERSION_IMAGE")
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCover(t *testing.T) {
	root := buildtest.Tree(t, `
-- packages/a/Cargo.toml --
-- packages/a/a.spec --
-- packages/b/Cargo.toml --
-- packages/b/notes --
-- sources/app/main.go --
-- sources/app/sub/x.go --
-- elsewhere --
`)
	for _, tt := range []struct{ files, want string }{
		{"packages/a/Cargo.toml packages/a/a.spec", "packages/a"},
		{"packages/b/Cargo.toml", "packages/b/Cargo.toml"}, // its directory has another file
		{"sources/app/main.go sources/app/sub/x.go", "sources/app"},
		{"sources/app/sub/x.go", "sources/app/sub"},
		// What is added below packages/ belongs to another crate, so that directory is never returned.
		{"packages/a/Cargo.toml packages/a/a.spec packages/b/Cargo.toml packages/b/notes",
			"packages/a packages/b"},
	} {
		files := map[string]bool{"/outside": true}
		for _, name := range strings.Fields(tt.files) {
			files[filepath.Join(root, name)] = true
		}
		var got []string
		for _, path := range cover(root, files) {
			if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
				got = append(got, rel)
			} else if path != "/outside" {
				t.Errorf("%s: unexpected %s", tt.files, path)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s is covered by %q, want %q", tt.files, got, tt.want)
		}
	}
}

func TestBackdate(t *testing.T) {
	dir := buildtest.Tree(t, "-- Cargo.toml --\n-- out/a.rpm --\n-- out/sub/b.rpm --\n")
	out, manifest := filepath.Join(dir, "out"), filepath.Join(dir, "Cargo.toml")
	if err := os.Symlink("a.rpm", filepath.Join(out, "link")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	older := old.Add(-time.Hour)
	if err := errors.Join(os.Chtimes(manifest, old, old),
		os.Chtimes(filepath.Join(out, "a.rpm"), older, older), Backdate(out, manifest)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Time{"": old, "a.rpm": older, "sub/b.rpm": old,
		"link": old} {
		info, err := os.Lstat(filepath.Join(out, name))
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%q has the time %v, want %v (%v)", name, info.ModTime(), want, err)
		}
	}
	if Backdate(out, filepath.Join(dir, "none")) == nil {
		t.Error("no error without the manifest")
	}
}
