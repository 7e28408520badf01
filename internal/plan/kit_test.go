// kit_test: the inputs of the step of a kit, and what packages and images see of external kits.

package plan

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// kitTree returns the small tree with a kit of lib and another of app, where app is built with the
// first.
func kitTree() fstest.MapFS {
	files := tree()
	file := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	kit := func(name, deps string) {
		file("kits/"+name+"/Cargo.toml",
			"[package]\nname = \""+name+"\"\n[package.metadata.build-kit]\nvendor = "+
				"\"me\"\n[build-dependencies]\n"+deps)
	}
	kit("lib-kit", "lib = { path = \"../../packages/lib\" }\n")
	kit("app-kit", "app = { path = \"../../packages/app\" }\n")
	file("packages/app/Cargo.toml", strings.Replace(string(files["packages/app/Cargo.toml"].Data),
		`lib = { path = "../lib" }`, `lib-kit = { path = "../../kits/lib-kit" }`, 1))
	file("tools/kit/rpm2kit", "#!/bin/sh\n")
	return files
}

func ids(p Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

func TestKitSteps(t *testing.T) {
	r := request()
	r.Kits = []string{"app-kit", "lib-kit"}
	p := mustMake(t, kitTree(), r)
	const want = "package/lib package/data package/app kit/app-kit kit/lib-kit"
	if got := ids(p); got != want {
		t.Fatalf("steps %s\nwant %s", got, want)
	}
	// app is built with the contents of the kit that it needs, and is alone in its own.
	for id, want := range map[string]string{"package/app": "data lib", "kit/app-kit": "app",
		"kit/lib-kit": "data lib"} {
		s := p.Steps[slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })]
		var sees, waits []string
		for _, d := range p.SolveOf(s).Contexts["rpms"].Dirs {
			sees = append(sees, d.Name)
		}
		for d := range s.Uses.All() {
			waits = append(waits, p.Steps[d].Name)
		}
		slices.Sort(waits)
		if strings.Join(sees, " ") != want || strings.Join(waits, " ") != want {
			t.Errorf("%s sees %q and waits for %q, want %s", id, sees, waits, want)
		}
	}
	kit := p.Steps[3]
	if kit.Out != "/b/kits/x86_64/app-kit" || kit.Solve.Target != "kit" ||
		kit.Solve.Args["KIT"] != "app-kit" {
		t.Errorf("got %+v", kit)
	}
	if files := kit.Solve.Contexts["recipe"].Files; len(files) != 1 ||
		files[0].Name != "tools/kit/rpm2kit" {
		t.Errorf("it has of the recipe %+v", files)
	}
}

func TestExternalKits(t *testing.T) {
	r := request()
	r.Packages = []string{"app"}
	r.ExternalKits = []ExternalKit{
		{Name: "core", Vendor: "acme", Version: "1.0.0", Digest: "sha256:1", Dirs: []KitPackage{
			{Name: "lib", Dir: "/kits/1/Packages/lib", RPMs: []string{"lib-1.rpm"}}, // replaced
			{Name: "musl", Dir: "/kits/1/Packages/musl", RPMs: []string{"musl-1.rpm", "musl-devel-1.rpm"}},
		}},
		{Name: "extra", Vendor: "acme", Version: "2.0.0", Digest: "sha256:2", Dirs: []KitPackage{
			{Name: "libc", Dir: "/kits/2/Packages/libc", RPMs: []string{"musl-1.rpm"}}, // in the first kit
			{Name: "zlib", Dir: "/kits/2/Packages/zlib", RPMs: []string{"zlib-1.rpm"}},
		}},
	}
	seen := func(p Plan, id string) string {
		i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
		c := p.SolveOf(p.Steps[i]).Contexts["rpms"]
		var out []string
		for _, f := range c.Files {
			out = append(out, f.Name+"="+strings.TrimSpace(string(f.Data)))
		}
		for _, d := range c.Derived {
			out = append(out, d.Name)
		}
		return strings.Join(out, " ")
	}
	p := mustMake(t, tree(), r)
	const which = "kits/acme/core/kit=1.0.0 sha256:1 kits/acme/extra/kit=2.0.0 sha256:2"
	want := which + " kits/acme/core/musl kits/acme/extra/zlib"
	if got := seen(p, "package/app"); got != want {
		t.Errorf("app sees %s\nwant %s", got, want)
	}
	if got, want := seen(p, "package/data"), which+" kits/acme/core/lib kits/acme/core/musl "+
		"kits/acme/extra/zlib"; got != want {
		t.Errorf("data sees %s\nwant %s", got, want)
	}
}
