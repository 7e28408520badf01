// kmodkit_test: what the step of a kmod kit sees, and what changes it.

package plan

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/graph"
)

// kernelTree returns the small tree with a recipe that packs kmod kits apart from images, and with
// a kernel, one without an archive for a kit, and headers.
func kernelTree() fstest.MapFS {
	files := tree()
	file := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	file("Dockerfile", "# buildsys-recipe: 2\nARG SDK\n# ---- target `kmod-kit`: kits\n"+
		"FROM ${SDK} AS kmod-kit\n")
	for _, tool := range []string{"kmodkit/build-kmod-kit", "disk/imghelper"} {
		file("tools/"+tool, "#!/bin/sh\n")
	}
	deps := ""
	for name, spec := range map[string]string{"kernel-6": "%package archive\n", "kernel-tiny": "",
		"linux-archive": "%package archive\n"} {
		file("packages/"+name+"/Cargo.toml", "[package]\nname = \""+name+"\"\n")
		file("packages/"+name+"/"+name+".spec", spec)
		deps += name + " = { path = \"../../packages/" + name + "\" }\n"
	}
	const variant = "variants/qemu-dev/Cargo.toml"
	file(variant, string(files[variant].Data)+deps)
	return files
}

// TestKmodKit checks that the step sees the kernel alone, and the image what came of it.
func TestKmodKit(t *testing.T) {
	r := request()
	r.Image = true
	p := mustMake(t, kernelTree(), r)
	kit, image := step(t, p, "kmod-kit/qemu-dev"), step(t, p, "variant/qemu-dev")
	want := "kmod-kit/qemu-dev: kernel-6 | recipe tools/kmodkit/build-kmod-kit | rpms kernel-6/\n"
	if got := outline(Plan{Steps: p.Steps}); !strings.Contains(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	wantArgs := map[string]string{"SDK": "buildsys.invalid/sdk:1", "ARCH": "x86_64",
		"VARIANT": "qemu-dev", "VERSION_ID": "1.0.0", "KERNELS": "kernel*"}
	if !maps.Equal(kit.Solve.Args, wantArgs) || kit.Out != "/b/kmod-kits/x86_64/qemu-dev" {
		t.Errorf("arguments %v, want %v; outputs in %s", kit.Solve.Args, wantArgs, kit.Out)
	}
	top := image.Solve.Contexts["kmod-kit"].Top
	if len(top) != 1 || top[0].Host != kit.Out || p.Steps[top[0].Step].ID != kit.ID ||
		!image.Uses.Has(top[0].Step) || !slices.Contains(image.Waits, top[0].Step) {
		t.Errorf("the image sees %+v, uses %v, waits for %v", top, image.Uses, image.Waits)
	}
	if dirs := p.SolveOf(image).Contexts["rpms"].Dirs; len(dirs) != 8 {
		t.Errorf("the image sees the RPMs of %d packages, want 8", len(dirs))
	}
	unit := p.Unit()
	if s := unit.Steps[len(unit.Steps)-2]; s.ID != kit.ID || s.Given ||
		unit.Steps[s.Waits[0]].ID != "package/kernel-6" || !unit.Steps[s.Waits[0]].Given {
		t.Errorf("before the image, its unit has %+v", s)
	}
}

// TestKmodKitChanges checks that a change of userland, of the build ID, or of how images are made
// changes neither the step nor what it sees, but a change of the kernel and of its own tools does.
func TestKmodKitChanges(t *testing.T) {
	r := request()
	r.Image = true
	seen := func(files fstest.MapFS, r Request) (all []Solve) {
		p := mustMake(t, files, r)
		kit := step(t, p, "kmod-kit/qemu-dev")
		for i := range kit.Uses.All() {
			all = append(all, p.SolveOf(p.Steps[i]))
		}
		rpms := kit.Solve.Contexts["rpms"]
		rpms.RPMs = graph.Set{} // indexes, which are no inputs
		kit.Solve.Contexts["rpms"] = rpms
		return append(all, kit.Solve)
	}
	before := seen(kernelTree(), r)
	edit := func(name, text string) func(fstest.MapFS, *Request) {
		return func(files fstest.MapFS, _ *Request) {
			files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		}
	}
	for name, c := range map[string]struct {
		change func(fstest.MapFS, *Request)
		same   bool
	}{
		"userland":         {edit("sources/app/main.go", "package other\n"), true},
		"package file":     {edit("packages/app/b.patch", "x"), true},
		"other kernel":     {edit("packages/kernel-tiny/config", "x"), true},
		"macros":           {edit("macros/new", "x"), false}, // the kernel sees it
		"image tool":       {edit("tools/image/new", "x"), true},
		"disk tool":        {edit("tools/disk/new", "x"), true},
		"build ID":         {func(_ fstest.MapFS, r *Request) { r.Identity.BuildID = "def" }, true},
		"name":             {func(_ fstest.MapFS, r *Request) { r.Identity.Name = "x" }, true},
		"version":          {func(_ fstest.MapFS, r *Request) { r.Identity.Version = "2.0" }, false},
		"kernel":           {edit("packages/kernel-6/config", "x"), false},
		"tool of the kits": {edit("tools/kmodkit/new", "x"), false},
	} {
		files, changed := kernelTree(), r
		c.change(files, &changed)
		if same := reflect.DeepEqual(seen(files, changed), before); same != c.same {
			t.Errorf("%s: the same is %v, want %v", name, same, c.same)
		}
	}
}

// TestNoKmodKit checks that without a kernel that has an archive, or with a recipe of before kmod
// kits were apart, the image's step has to pack the kit.
func TestNoKmodKit(t *testing.T) {
	r := request()
	r.Image = true
	files := kernelTree()
	delete(files, "packages/kernel-6/kernel-6.spec")
	files["packages/kernel-6/kernel-6.spec"] = &fstest.MapFile{}
	old := kernelTree()
	old["Dockerfile"] = &fstest.MapFile{Data: []byte("# buildsys-recipe: 2\nARG SDK\n" +
		"# ---- target `variant`: disks\nFROM ${SDK} AS variant\n")}
	for name, c := range map[string]struct {
		files fstest.MapFS
		sees  bool // the image has the context, which is then empty
	}{"no archive": {files, true}, "recipe of before": {old, false}} {
		p := mustMake(t, c.files, r)
		if got := ids(p); strings.Contains(got, "kmod-kit") {
			t.Errorf("%s: steps %s", name, got)
		}
		context, sees := step(t, p, "variant/qemu-dev").Solve.Contexts["kmod-kit"]
		if sees != c.sees || len(context.Top) > 0 {
			t.Errorf("%s: the image sees %+v (%v)", name, context, sees)
		}
	}
}

// TestTwoliterKmodKit checks that in a tree written for Twoliter the kernel is what the variant
// includes, of the tree or of a kit, and that image features say whether there is a kmod kit.
func TestTwoliterKmodKit(t *testing.T) {
	const manifest = "variants/lab-dev/Cargo.toml"
	files := beforeKits(t)
	text := strings.Replace(string(files[manifest].Data), `"app"`, `"app", "kernel-6.1"`, 1)
	files[manifest] = &fstest.MapFile{Data: []byte(text)}
	r := twoliterRequest()
	r.Variant, r.Image = "lab-dev", true
	r.ExternalKits = []ExternalKit{{Name: "kernel-kit", Vendor: "lab", Version: "1",
		Digest: "sha256:1",
		Dirs: []KitPackage{{Name: "kernel-5.10", Dir: "/k/kernel-5.10"},
			{Name: "kernel-6.1", Dir: "/k/kernel-6.1"}}},
		{Name: "core-kit", Vendor: "lab", Version: "1", Digest: "sha256:2",
			Dirs: []KitPackage{{Name: "glibc", Dir: "/k/glibc"}}}}
	p, err := tryWith(t, files, r, "# ---- target `kmod-kit`: kits\n")
	if err != nil {
		t.Fatal(err)
	}
	kit := step(t, p, "kmod-kit/lab-dev")
	rpms := kit.Solve.Contexts["rpms"]
	if len(rpms.Files) != 1 || rpms.Files[0].Name != "kits/lab/kernel-kit/kit" ||
		len(rpms.Derived) != 1 || rpms.Derived[0].Host != "/k/kernel-6.1" || !kit.Uses.Empty() {
		t.Errorf("the kmod kit sees %+v, uses %v", rpms, kit.Uses)
	}
	if a := kit.Solve.Args; a["KERNELS"] != "kernel-6.1" || a["TOOLCHAIN_DIR"] != "/toolchain" {
		t.Errorf("arguments %v", a)
	}
	files = twoliterTree(t)
	files[manifest] = &fstest.MapFile{Data: []byte(text +
		"[package.metadata.build-variant.image-features]\nexternal-kmod-development = false\n")}
	p, err = tryWith(t, files, r, "# ---- target `kmod-kit`: kits\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(p); strings.Contains(got, "kmod-kit") {
		t.Errorf("steps without external-kmod-development: %s", got)
	}
}
