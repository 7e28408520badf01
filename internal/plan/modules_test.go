// modules_test: the step that bundles Go modules, and where other steps see and do not see it.

package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/graph"
	"buildsys/internal/manifest"
)

// bundleTree returns tree with the Go modules of app's source bundled, and data built with app.
func bundleTree(t *testing.T) (fstest.MapFS, Request) {
	t.Helper()
	files, r := tree(), request()
	files["tools/modules/bundle-go"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o644}
	app := files["packages/app/Cargo.toml"]
	app.Data = []byte(strings.Replace(string(app.Data), "[build-dependencies]",
		"bundle-modules = [\"go\"]\n[build-dependencies]", 1))
	files["packages/os/Cargo.toml"].Data = append(files["packages/os/Cargo.toml"].Data,
		"[build-dependencies]\napp = { path = \"../app\" }\n"...)
	r.Sources.Modules = func(f manifest.ExternalFile) string { return "/modules/" + f.Name() }
	return files, r
}

func TestModulesStep(t *testing.T) {
	files, r := bundleTree(t)
	r.Image = true
	p := mustMake(t, files, r)
	const want = `modules/app: | archives app-1.tar.gz bundles.tsv | modules | recipe tools/modules/bundle-go
package/app: app data lib | package a.patch app-1.tar.gz app.spec | recipe macros/shared tools/package/build-rpm | rpms data/ lib/ | sources app/main.go
package/data: | package data.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
package/lib: | package lib.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
package/os: app data lib | package os.spec | recipe macros/shared tools/package/build-rpm | rpms app/ data/ lib/ | sources
package/release: | package release.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
variant/qemu-dev: app data lib os release | image partitions.tsv | recipe macros/shared tools/image/build-variant tools/image/rpm2img | rpms app/ data/ lib/ os/ release/`
	if got := sorted(outline(p)); got != sorted(want) {
		t.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
	byID := map[string]int{}
	for i, s := range p.Steps {
		byID[s.ID] = i
		if !slices.IsSorted(s.Waits) || s.Uses.Last() >= i || !s.Uses.Holds(graph.SetOf(s.Waits...)) {
			t.Errorf("%s uses %v and waits for %v", s.ID, slices.Collect(s.Uses.All()), s.Waits)
		}
	}
	modules, app := p.Steps[byID["modules/app"]], p.Steps[byID["package/app"]]
	if top := app.Solve.Contexts["package"].Top; len(top) != 1 || top[0].Host != modules.Out ||
		modules.Out != "/b/modules/x86_64/app" {
		t.Errorf("app sees %v, the modules are in %s", top, modules.Out)
	}
	if derived := modules.Solve.Contexts["modules"].Derived; len(derived) != 1 ||
		*derived[0] != (Dir{Name: "0", Host: "/modules/app-1.tar.gz"}) {
		t.Errorf("the modules come from %v", derived)
	}
	list := string(modules.Solve.Contexts["archives"].Files[1].Data)
	if list != "0\tapp-1.tar.gz\t-\tbundled-app-1.tar.gz\n" {
		t.Errorf("the list is %q", list)
	}
	// Only the package itself waits for its modules' step by name.
	for id, i := range byID {
		if p.Steps[i].Uses.Has(byID["modules/app"]) != (id == "package/app") {
			t.Errorf("%s uses %v", id, slices.Collect(p.Steps[i].Uses.All()))
		}
	}
}

// TestTwoModulesOfOneArchive checks that an archive listed once for each of its modules is one file
// of the steps, and gives two bundles.
func TestTwoModulesOfOneArchive(t *testing.T) {
	files, r := bundleTree(t)
	app := files["packages/app/Cargo.toml"]
	text := string(app.Data)
	from := strings.Index(text, "[[package.metadata.build-package.external-files]]")
	entry := text[from:strings.Index(text, "[build-dependencies]")]
	app.Data = []byte(strings.Replace(text, entry,
		entry+entry+"bundle-root-path = \"cmd\"\nbundle-output-path = \"cmd.tar.gz\"\n", 1))
	r.Packages = []string{"app"}
	r.Sources.Modules = func(f manifest.ExternalFile) string { return "/modules/" + f.BundleRoot }
	for _, s := range mustMake(t, files, r).Steps {
		switch s.ID {
		case "modules/app":
			archives := s.Solve.Contexts["archives"].Files
			if len(archives) != 2 || len(s.Solve.Contexts["modules"].Derived) != 2 ||
				strings.Count(string(archives[1].Data), "\n") != 2 {
				t.Errorf("archives %v, modules %v", archives, s.Solve.Contexts["modules"].Derived)
			}
		case "package/app":
			if n := len(s.Solve.Contexts["package"].Files); n != 3 {
				t.Errorf("the package has %d files: %v", n, s.Solve.Contexts["package"].Files)
			}
		}
	}
}

// TestCratesOfArchives checks that an archive's crates are shown to the step that bundles them, and
// that one archive may be bundled for both.
func TestCratesOfArchives(t *testing.T) {
	files, r := bundleTree(t)
	app := files["packages/app/Cargo.toml"]
	text := string(app.Data)
	from := strings.Index(text, "[[package.metadata.build-package.external-files]]")
	entry := strings.Replace(text[from:strings.Index(text, "[build-dependencies]")], `"go"`, `"rust"`, 1)
	app.Data = []byte(strings.Replace(text, "[build-dependencies]",
		entry+"bundle-output-path = \"crates.tar.gz\"\n[build-dependencies]", 1))
	r.Packages = []string{"app"}
	r.Sources.Vendor = func(f manifest.ExternalFile) string { return "/vendor/" + f.Name() }
	p := mustMake(t, files, r)
	step := p.Steps[0]
	var got []string
	for _, f := range step.Solve.Contexts["archives"].Files {
		got = append(got, f.Name+" "+string(f.Data))
	}
	for _, d := range step.Solve.Contexts["modules"].Derived {
		got = append(got, d.Name+" "+d.Host)
	}
	want := []string{"app-1.tar.gz ", "bundles.tsv 0\tapp-1.tar.gz\t-\tbundled-app-1.tar.gz\n",
		"crates.tsv 1\tcrates.tar.gz\n", "0 /modules/app-1.tar.gz", "1 /vendor/app-1.tar.gz"}
	if step.ID != "modules/app" || !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", step.ID, got, want)
	}
	for _, s := range p.Steps {
		if s.ID == "package/app" && len(s.Solve.Contexts["package"].Top) != 1 {
			t.Errorf("app sees %v", s.Solve.Contexts["package"].Top)
		}
	}
}
