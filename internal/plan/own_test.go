// own_test: what steps of a tree with its own Dockerfile see, and their arguments.

package plan

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// g1 returns the test tree in Bottlerocket's form.
func g1(t *testing.T) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile("../../testdata/foreign/g1.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range txtar.Parse(data).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	return files
}

func ownRequest() Request {
	r := request()
	r.Variant, r.Toolchain, r.Files.Repo = "echo-dev", "registry.invalid/chain:1", "default"
	return r
}

func step(t *testing.T, p Plan, id string) Step {
	t.Helper()
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("there is no step %s", id)
	}
	return p.Steps[i]
}

// sees lists what is in a step's context, in one line.
func sees(p Plan, s Step) string {
	c := p.SolveOf(s).Contexts[TreeContext]
	var words []string
	for _, f := range c.Files {
		name := f.Name
		if f.Link != "" {
			name += "->" + f.Link
		}
		words = append(words, name)
	}
	for _, d := range c.Made {
		words = append(words, d+"/")
	}
	for _, d := range c.Dirs {
		words = append(words, d.Name+"/*:"+filepath.Base(d.Host))
	}
	return strings.Join(words, " ")
}

func TestOwnViews(t *testing.T) {
	r := ownRequest()
	r.Image = true
	p := mustMake(t, g1(t), r)
	want := map[string]string{
		"package/base": ".dockerignore LICENSE macros/shared macros/x86_64 packages/base/base.conf " +
			"packages/base/base.spec roles/default.root.json sources/LICENSE " +
			".cargo/ build/rpms/ sources/ sources/models/variant/",
		"package/greeter": ".dockerignore LICENSE macros/shared macros/x86_64 " +
			"packages/greeter/greeter.spec roles/default.root.json sources/LICENSE " +
			"sources/greeter/greet.sh " +
			".cargo/ build/rpms/ sources/ sources/models/variant/ build/rpms/*:base",
		"package/motd": ".dockerignore LICENSE macros/shared macros/x86_64 packages/motd/motd.spec " +
			"roles/default.root.json sources/LICENSE .cargo/ build/rpms/ sources/ " +
			"sources/models/variant/",
		// rpm2img names the licence itself, and comes with the files beside it.
		"variant/echo-dev": "COPYRIGHT LICENSE tools/naming tools/rpm2img build/rpms/ " +
			"build/rpms/*:base build/rpms/*:greeter build/rpms/*:motd",
	}
	for _, s := range p.Steps {
		if got := sees(p, s); got != want[s.ID] {
			t.Errorf("%s sees %s\nwant %s", s.ID, got, want[s.ID])
		}
		delete(want, s.ID)
	}
	if len(want) > 0 || len(p.Lacks)+len(p.Warnings) > 0 {
		t.Errorf("no steps %v, lacks %q, warnings %q", slices.Collect(maps.Keys(want)), p.Lacks,
			p.Warnings)
	}
}

func TestOwnArgs(t *testing.T) {
	r := ownRequest()
	r.Image = true
	p := mustMake(t, g1(t), r)
	for id, want := range map[string]map[string]string{
		"package/greeter": {"SDK": r.SDK, "TOOLCHAIN": r.Toolchain, "ARCH": "x86_64", "GOARCH": "amd64",
			"PACKAGE": "greeter", "REPO": "default", "TOKEN": "buildsys", "VARIANT": "none"},
		"variant/echo-dev": {
			"SDK": r.SDK, "TOOLCHAIN": r.Toolchain, "ARCH": "x86_64", "GOARCH": "amd64",
			"PACKAGES": "greeter motd", "VARIANT": "echo-dev",
			"VERSION_ID": "1.0.0", "BUILD_ID": "abc", "PRETTY_NAME": "Tiny OS", "IMAGE_NAME": "tiny",
			"IMAGE_FORMAT":      "raw",
			"OS_IMAGE_SIZE_GIB": "4", "DATA_IMAGE_SIZE_GIB": "1", "PARTITION_PLAN": "unified",
			"KERNEL_PARAMETERS": "console=ttyS0 quiet",
			"GRUB_FEATURES":     "GRUB_SET_PRIVATE_VAR",
		},
	} {
		s := step(t, p, id)
		if !maps.Equal(s.Solve.Args, want) {
			t.Errorf("%s: arguments %v\nwant %v", id, s.Solve.Args, want)
		}
		if s.Solve.KeyArg != "NOCACHE" || s.Layout != nil || len(s.Solve.Images) > 0 {
			t.Errorf("%s: %+v", id, s.Solve)
		}
	}
}

// TestOwnRPMs: the first trees of this form had their RPMs in build/packages.
func TestOwnRPMs(t *testing.T) {
	files := g1(t)
	text := strings.ReplaceAll(string(files["Dockerfile"].Data), "/build/rpms", "/build/packages")
	files["Dockerfile"] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	r := ownRequest()
	r.Packages = []string{"greeter"}
	p := mustMake(t, files, r)
	got := sees(p, step(t, p, "package/greeter"))
	if !strings.Contains(got, " build/packages/ ") || strings.Contains(got, "build/rpms") ||
		!strings.HasSuffix(got, " build/packages/*:base") {
		t.Errorf("greeter sees %s", got)
	}
}

// TestOwnFlavor: a recipe writes ${VARIANT_FLAVOR:-no}_flavor, so what has no flavor gets none.
func TestOwnFlavor(t *testing.T) {
	for variant, want := range map[string]string{"echo-dev": "", "echo-dev-1-gpu": "gpu"} {
		for _, sensitive := range []string{"true", `"flavor"`, `"platform"`, ""} {
			files := g1(t)
			files["variants/"+variant+"/Cargo.toml"] = files["variants/echo-dev/Cargo.toml"]
			edit(files, "Dockerfile", "ARG REPO\n", "ARG REPO\nARG VARIANT_FLAVOR\n")
			if sensitive != "" {
				edit(files, "packages/greeter/Cargo.toml", "source-groups",
					"variant-sensitive = "+sensitive+"\nsource-groups")
			}
			want := want
			if sensitive == "" || sensitive == `"platform"` {
				want = ""
			}
			r := ownRequest()
			r.Variant, r.Packages = variant, []string{"greeter"}
			args := step(t, mustMake(t, files, r), "package/greeter").Solve.Args
			if got := args["VARIANT_FLAVOR"]; got != want {
				t.Errorf("%s, sensitive to %q: flavor %q, want %q", variant, sensitive, got, want)
			}
		}
	}
}

// TestOwnArgsOfLaterTrees checks that only declared arguments are given, with a warning about those
// that buildsys has no value for.
func TestOwnArgsOfLaterTrees(t *testing.T) {
	files := g1(t)
	edit(files, "packages/greeter/Cargo.toml", "source-groups",
		"variant-sensitive = \"platform\"\npackage-features = [\"systemd-networkd\", "+
			"\"fips\"]\nsource-groups")
	edit(files, "variants/echo-dev/Cargo.toml", "included-packages",
		"image-features = { systemd-networkd = true }\nincluded-packages")
	edit(files, "Dockerfile", "ARG REPO\n",
		"ARG REPO\nARG VARIANT_PLATFORM\nARG VARIANT_RUNTIME\nARG SYSTEMD_NETWORKD\nARG FIPS\nARG "+
			"UNIFIED_CGROUP_HIERARCHY\nARG MOON\nARG SUN=1\n")
	edit(files, "Dockerfile", "ARG GRUB_FEATURES\n",
		"ARG SYSTEMD_NETWORKD\nARG IN_PLACE_UPDATES\nARG GRUB_SET_PRIVATE_VAR\nARG "+
			"OS_IMAGE_PUBLISH_SIZE_GIB\nARG DATA_IMAGE_PUBLISH_SIZE_GIB\n")
	r := ownRequest()
	r.Image = true
	p := mustMake(t, files, r)
	pkg, image := step(t, p, "package/greeter").Solve.Args, step(t, p, "variant/echo-dev").Solve.Args
	for name, want := range map[string]string{"VARIANT_PLATFORM": "echo", "SYSTEMD_NETWORKD": "1",
		"FIPS": "", "VARIANT_RUNTIME": "none", "VARIANT": "none", "SUN": ""} {
		if pkg[name] != want {
			t.Errorf("the package's %s is %q, want %q", name, pkg[name], want)
		}
	}
	for name, want := range map[string]string{
		"SYSTEMD_NETWORKD": "1", "IN_PLACE_UPDATES": "1", "GRUB_SET_PRIVATE_VAR": "1",
		"GRUB_FEATURES":             "",
		"OS_IMAGE_PUBLISH_SIZE_GIB": "22", "DATA_IMAGE_PUBLISH_SIZE_GIB": "-1", "VARIANT_PLATFORM": "",
	} {
		if image[name] != want {
			t.Errorf("the image's %s is %q, want %q", name, image[name], want)
		}
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "ARG MOON has no default") ||
		!strings.HasPrefix(p.Warnings[0], "Dockerfile:") {
		t.Errorf("warnings %q", p.Warnings)
	}
}

func edit(files fstest.MapFS, name, old, new string) {
	text := strings.Replace(string(files[name].Data), old, new, 1)
	files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
}

// TestOwnKeys checks which edits reach which steps.
func TestOwnKeys(t *testing.T) {
	r := ownRequest()
	r.Image = true
	inputs := func(p Plan) map[string]string {
		all := map[string]string{}
		for _, s := range p.Steps {
			all[s.ID] = string(s.Solve.Dockerfile) + sees(p, s)
			for _, f := range s.Solve.Contexts[TreeContext].Files {
				all[s.ID] += f.Name + "=" + f.Host
			}
		}
		return all
	}
	before := inputs(mustMake(t, g1(t), r))
	for name, want := range map[string]string{
		"README.md":                      "", // named by nothing
		"sources/other/new.sh":           "",
		"tools/publish/new":              "",
		"packages/motd/new":              "package/motd",
		"macros/new":                     "",
		"tools/new":                      "variant/echo-dev",
		"sources/greeter/new":            "package/greeter",
		"Licenses.toml":                  "package/base package/greeter package/motd", // once it exists
		"build/rpms/stale.rpm":           "",
		".cargo/config.toml":             "",
		"sources/greeter/target/debug/x": "",
	} {
		files := g1(t)
		files[name] = &fstest.MapFile{Data: []byte("new"), Mode: 0o644}
		var changed []string
		for id, text := range inputs(mustMake(t, files, r)) {
			if text != before[id] {
				changed = append(changed, id)
			}
		}
		slices.Sort(changed)
		if got := strings.Join(changed, " "); got != want {
			t.Errorf("a new file %s changes %q, want %q", name, got, want)
		}
	}
	files := g1(t)
	edit(files, "Dockerfile", "FROM repobuild as imgbuild", "FROM repobuild as imgbuild\nRUN true")
	after := inputs(mustMake(t, files, r))
	if after["package/base"] != before["package/base"] ||
		after["variant/echo-dev"] == before["variant/echo-dev"] {
		t.Error("an edit of how images are made changes packages, or does not change images")
	}
}

// TestOwnSources checks that a cargo workspace is seen whole, with what cargo has downloaded, and
// that links are followed.
func TestOwnSources(t *testing.T) {
	files := g1(t)
	put := func(name, text string, mode os.FileMode) {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: mode}
	}
	put("sources/Cargo.toml", "[workspace]\n", 0o644)
	put(".cargo/registry/cache/a.crate", "", 0o644)
	put(".cargo/.package-cache", "", 0o644)
	put("sources/greeter/conf", "../other/conf", os.ModeSymlink|0o777)
	put("sources/other/conf", "real.conf", os.ModeSymlink|0o777)
	put("sources/other/real.conf", "", 0o644)
	put("sources/greeter/out", "../../../etc/passwd", os.ModeSymlink|0o777)
	put("sources/greeter/up", "..", os.ModeSymlink|0o777)
	r := ownRequest()
	r.Packages = []string{"greeter"}
	p := mustMake(t, files, r)
	got := sees(p, step(t, p, "package/greeter"))
	const links = "sources/greeter/conf->../other/conf sources/greeter/greet.sh " +
		"sources/greeter/out->../../../etc/passwd sources/greeter/up->.. " +
		"sources/other/conf->real.conf sources/other/real.conf "
	if !strings.Contains(got, links+".cargo/") {
		t.Errorf("greeter sees %s\nwithout %s", got, links)
	}
	edit(files, "packages/greeter/greeter.spec", "%install",
		"%install\ncargo build --manifest-path %{_builddir}/sources/Cargo.toml")
	p = mustMake(t, files, r)
	got = sees(p, step(t, p, "package/greeter"))
	for _, want := range []string{" sources/Cargo.toml ", " sources/other/unused.sh ",
		".cargo/registry/cache/a.crate "} {
		if !strings.Contains(got, want) {
			t.Errorf("greeter sees %s\nwithout %s", got, want)
		}
	}
	if strings.Contains(got, "package-cache") {
		t.Errorf("greeter sees cargo's lock: %s", got)
	}
}

func TestOwnLacks(t *testing.T) {
	files := g1(t)
	delete(files, "roles/default.root.json")
	edit(files, "Dockerfile", "COPY ./macros/${ARCH}",
		"COPY build.conf tools/*.py README.md .\nCOPY ./macros/${ARCH}")
	edit(files, ".dockerignore", "/.git\n", "/.git\n/README.md\n")
	r := ownRequest()
	r.Packages = []string{"base", "motd"}
	p := mustMake(t, files, r)
	for i, want := range []string{
		"Dockerfile:31: the recipe copies roles/default.root.json, which the tree does not have: set " +
			"PUBLISH_REPO_ROOT_JSON to the root metadata",
		"Dockerfile:36: the recipe copies build.conf, which the tree does not have",
		"Dockerfile:36: the recipe copies tools/*.py, which the tree does not have",
		"Dockerfile:36: the recipe copies README.md, which .dockerignore excludes",
	} {
		if i >= len(p.Lacks) || !strings.HasPrefix(p.Lacks[i], want) {
			t.Fatalf("lacks %q, want %q", p.Lacks, want)
		}
	}
	if len(p.Lacks) != 4 {
		t.Errorf("lacks %q", p.Lacks)
	}
	r.SDK = ""
	if p := mustMake(t, g1(t), r); len(p.Lacks) != 1 || !strings.HasPrefix(p.Lacks[0],
		"no SDK image is known") {
		t.Errorf("lacks %q", p.Lacks)
	}
	r.Files.RootJSON = []byte("{}")
	p = mustMake(t, files, r)
	got := sees(p, step(t, p, "package/base"))
	if !strings.Contains(got, " roles/default.root.json ") {
		t.Errorf("base sees %s", got)
	}
}

func TestOwnRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"a recipe that works by sockets": {"ARG REPO\n", "ARG REPO\nARG OUTPUT_SOCKET\n",
			"Dockerfile:26: ARG OUTPUT_SOCKET: it exchanges inputs"},
		"a target that is not there": {"AS package", "AS rpms",
			`Dockerfile: it has no target "package"; its targets are sdk, toolchain, cache`},
		"no Dockerfile": {"FROM ${SDK}", "FORM ${SDK}", "unknown instruction: FORM"},
		"an image without a name": {"FROM sdk AS rpmbuild", "FROM $ROOT AS rpmbuild",
			"Dockerfile:20: FROM $ROOT names no image: no argument in it has a value"},
	} {
		files, r := g1(t), ownRequest()
		edit(files, "Dockerfile", c.old, c.new)
		r.Packages = []string{"base"}
		if _, err := try(t, files, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	files := g1(t)
	files["kits/extra/Cargo.toml"] = &fstest.MapFile{Mode: 0o644, Data: []byte(`[package]
name = "extra"
[package.metadata.build-kit]
vendor = "me"
[build-dependencies]
motd = { path = "../../packages/motd" }
`)}
	for want, ask := range map[string]func(*Request){
		"variant echo-dev: images of the tree's own Dockerfile cannot be repacked": func(r *Request) {
			r.Repack = &RepackSource{}
		},
		"kit extra: the tree's own Dockerfile cannot make kits; rename": func(r *Request) {
			r.Kits = []string{"extra"}
		},
	} {
		r := ownRequest()
		ask(&r)
		if _, err := try(t, files, r); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
