// make_test: the steps of a small tree, what they see and what they wait for.

package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/crates"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// tree returns a small tree: release needs os and app at run time; app is built with lib, and lib
// needs data at run time.
func tree() fstest.MapFS {
	file := func(text string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(text),
			Mode: 0o644}
	}
	return fstest.MapFS{
		"Release.toml":              file("version = \"1.0.0\"\n"),
		"Dockerfile":                file("# buildsys-recipe: 2\nARG SDK\n"),
		"macros/shared":             file("%_cross_os tiny-\n"),
		"tools/package/build-rpm":   file("#!/bin/sh\n"),
		"tools/image/build-variant": file("#!/bin/sh\n"),
		"tools/image/rpm2img":       file("#!/bin/sh\n"),
		"sources/app/main.go":       file("package main\n"),
		"packages/release/Cargo.toml": file(`[package]
name = "release"
[dependencies]
os = { path = "../os" }
app = { path = "../app" }
`),
		"packages/release/release.spec": file(""),
		"packages/os/Cargo.toml": file(`[package]
name = "os"
[package.metadata.build-package]
variant-sensitive = "runtime"
`),
		"packages/os/os.spec": file(""),
		"packages/app/Cargo.toml": file(`[package]
name = "app"
[package.metadata.build-package]
source-groups = ["app"]
[[package.metadata.build-package.external-files]]
url = "https://example.com/app-1.tar.gz"
sha512 = "` + strings.Repeat("ab", 64) + `"
[build-dependencies]
lib = { path = "../lib" }
`),
		"packages/app/app.spec": file(""),
		"packages/app/a.patch":  file(""),
		"packages/lib/Cargo.toml": file("[package]\nname = \"lib\"\n[dependencies]\ndata = { path = " +
			"\"../data\" }\n"),
		"packages/lib/lib.spec":    file(""),
		"packages/data/Cargo.toml": file("[package]\nname = \"data\"\n"),
		"packages/data/data.spec":  file(""),
		"variants/qemu-dev/Cargo.toml": file(`[package]
name = "qemu-dev"
[package.metadata.build-variant]
included-packages = ["release"]
kernel-parameters = ["a=1", "b"]
[build-dependencies]
release = { path = "../../packages/release" }
`),
	}
}

func request() Request {
	return Request{
		Arch: "x86_64", Variant: "qemu-dev", SDK: "buildsys.invalid/sdk:1", BuildDir: "/b",
		Identity: Identity{Name: "tiny", PrettyName: "Tiny OS", Version: "1.0.0", BuildID: "abc"},
		Sources: Sources{
			Path:     func(f manifest.ExternalFile) string { return "/store/" + f.Name() },
			Sums:     func(s GoSums) string { return "/proxy/" + s.Module },
			Crate:    func(c crates.Crate) string { return "/crates/" + c.String() },
			GitCrate: func(c crates.GitCrate) string { return "/git/" + c.From.Commit + "/" + c.String() },
		},
	}
}

func mustMake(t *testing.T, files fstest.MapFS, r Request) Plan {
	t.Helper()
	p, err := try(t, files, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func try(t *testing.T, files fstest.MapFS, r Request) (Plan, error) {
	t.Helper()
	return tryWith(t, files, r, "")
}

// tryWith is try with parts of the Dockerfile of the recipes inside.
func tryWith(t *testing.T, files fstest.MapFS, r Request, parts string) (Plan, error) {
	t.Helper()
	ws, err := workspace.LoadFS("/tree", files)
	if err != nil {
		t.Fatal(err)
	}
	inside := &fstest.MapFile{Data: []byte("# buildsys-recipe: 2\n" + parts)}
	recipe, err := ws.Recipe(fstest.MapFS{"Dockerfile": inside, "twoliter/Dockerfile": {},
		"macros/shared":                    {Data: []byte("native")},
		"tools/package/build-rpm":          {Data: []byte("native")},
		"twoliter/tools/package/build-rpm": {Data: []byte("twoliter")}})
	if err != nil {
		t.Fatal(err)
	}
	return Make(ws, recipe, r)
}

// outline returns a plan with one line for each step: what it waits for, and the files of each
// context.
func outline(p Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s:", s.ID)
		for d := range s.Uses.All() {
			fmt.Fprintf(&b, " %s", p.Steps[d].Name)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Solve.Contexts)) {
			c := p.SolveOf(s).Contexts[name]
			fmt.Fprintf(&b, " | %s", name)
			for _, f := range c.Files {
				fmt.Fprintf(&b, " %s", f.Name)
			}
			for _, dir := range c.Dirs {
				fmt.Fprintf(&b, " %s/", dir.Name)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestMakeImage(t *testing.T) {
	r := request()
	r.Image = true
	p := mustMake(t, tree(), r)
	want := `package/lib: | package lib.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
package/data: | package data.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
package/app: lib data | package a.patch app-1.tar.gz app.spec | recipe macros/shared tools/package/build-rpm | rpms data/ lib/ | sources app/main.go
package/os: | package os.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
package/release: | package release.spec | recipe macros/shared tools/package/build-rpm | rpms | sources
variant/qemu-dev: lib data app os release | image partitions.tsv | recipe macros/shared tools/image/build-variant tools/image/rpm2img | rpms app/ data/ lib/ os/ release/
`
	if got := sorted(outline(p)); got != sorted(want) {
		t.Errorf("plan:\n%swant:\n%s", outline(p), want)
	}
	last := p.Steps[len(p.Steps)-1]
	if last.Out != "/b/images/x86_64-qemu-dev/1.0.0-abc" || last.Link != "latest" {
		t.Errorf("image goes to %s, link %q", last.Out, last.Link)
	}
	wantArgs := map[string]string{
		"SDK": "buildsys.invalid/sdk:1", "ARCH": "x86_64", "GOARCH": "amd64", "PACKAGES": "release",
		"VARIANT":          "qemu-dev",
		"VARIANT_PLATFORM": "qemu", "VARIANT_RUNTIME": "dev", "VARIANT_FAMILY": "qemu-dev",
		"VARIANT_FLAVOR": "none",
		"VERSION_ID":     "1.0.0", "BUILD_ID": "abc", "NAME": "tiny", "PRETTY_NAME": "Tiny OS",
		"IMAGE_NAME": "tiny-qemu-dev-x86_64-1.0.0-abc", "IMAGE_FORMAT": "raw", "PARTITION_PLAN": "split",
		"KERNEL_PARAMETERS": "a=1 b",
		"IMAGE_FEATURES": "no-encrypted-storage no-ephemeral-encryption-keys no-erofs-root-partition " +
			"external-kmod-development no-fips no-grub-set-private-var host-containers " +
			"in-place-updates no-nvidia-dual-branch no-standalone-image no-systemd-networkd " +
			"no-uefi-secure-boot no-unified-cgroup-hierarchy no-xfs-data-partition",
	}
	if !maps.Equal(last.Solve.Args, wantArgs) {
		t.Errorf("arguments %v\nwant %v", last.Solve.Args, wantArgs)
	}
}

// sorted returns an outline with its lines, and the names after each "rpms" and ":", sorted.
func sorted(outline string) string {
	lines := strings.Split(strings.TrimSpace(outline), "\n")
	for i, line := range lines {
		id, rest, _ := strings.Cut(line, ":")
		deps, contexts, _ := strings.Cut(rest, " | ")
		names := strings.Fields(deps)
		slices.Sort(names)
		lines[i] = id + ": " + strings.Join(names, " ") + " | " + contexts
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestOnlySensitivePackagesLearnOfTheVariant(t *testing.T) {
	r := request()
	r.Image = true
	for _, s := range mustMake(t, tree(), r).Steps {
		var learned []string
		for name := range s.Solve.Args {
			if strings.HasPrefix(name, "VARIANT") {
				learned = append(learned, name)
			}
		}
		switch {
		case s.ID == "package/os":
			if !slices.Equal(learned, []string{"VARIANT_RUNTIME"}) ||
				s.Solve.Args["VARIANT_RUNTIME"] != "dev" {
				t.Errorf("%s is sensitive to the runtime, but gets %q", s.ID, learned)
			}
		case s.Kind == Package && len(learned) > 0:
			t.Errorf("%s is not sensitive, but gets %q", s.ID, learned)
		}
	}
}

func TestMakePackages(t *testing.T) {
	r := request()
	r.Packages = []string{"app"}
	p := mustMake(t, tree(), r)
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "app data lib" {
		t.Errorf("steps %q, want app and all it waits for", got)
	}
	for _, s := range p.Steps {
		if s.Name == "app" && (s.Fetch[0].Name() != "app-1.tar.gz" ||
			s.Solve.Contexts["package"].Files[1].SHA512 == "") {
			t.Errorf("app's source is not declared: %+v", s)
		}
	}
}

// TestMakeSkips checks that Make skips a variant before it reports what else is wrong with the
// image, and only if an image is requested.
func TestMakeSkips(t *testing.T) {
	const variant = "variants/qemu-dev/Cargo.toml"
	const table = "[package.metadata.build-variant]\n"
	files, r := tree(), request()
	files[variant] = &fstest.MapFile{Mode: 0o644,
		Data: []byte(strings.Replace(string(files[variant].Data), table,
			table+"supported-arches = [\"aarch64\"]\nimage-format = \"qcow2\"\n", 1))}
	r.Image, r.Packages = true, nil
	_, err := try(t, files, r)
	const want = "skipped: variant qemu-dev is not for x86_64; its supported-arches are aarch64 " +
		"(variants/qemu-dev/Cargo.toml)"
	if _, ok := errors.AsType[*SkippedError](err); !ok || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	r.Image, r.Packages = false, []string{"os"}
	if _, err := try(t, files, r); err != nil {
		t.Errorf("packages for the variant: %v", err)
	}
}

func TestMakeRefuses(t *testing.T) {
	edit := func(name, old, new string) func(fstest.MapFS) {
		return func(files fstest.MapFS) {
			files[name] = &fstest.MapFile{Data: []byte(strings.Replace(string(files[name].Data), old, new,
				1)), Mode: 0o644}
		}
	}
	const variant = "variants/qemu-dev/Cargo.toml"
	const table = "[package.metadata.build-variant]\n"
	tests := []struct {
		name    string
		edit    func(fstest.MapFS)
		request func(*Request)
		want    string
	}{
		{"unknown package", nil, func(r *Request) { r.Packages = []string{"ap"} },
			`no package "ap"; did you mean "app"?`},
		{"a variant's name", nil, func(r *Request) { r.Packages = []string{"qemu-dev"} },
			`no package "qemu-dev"; it is a variant: build-variant qemu-dev builds its image`},
		{"unknown variant", nil, func(r *Request) { r.Variant = "zzz" },
			`no variant "zzz"; there are: qemu-dev`},
		{"sensitive without variant", nil, func(r *Request) {
			r.Variant, r.Packages = "",
				[]string{"os"}
		},
			"package os: it is variant-sensitive (packages/os/Cargo.toml) and no variant is named; name " +
				"one with --variant or BUILDSYS_VARIANT"},
		{"contradictions", edit(variant, table, table+"image-format = \"uki\"\n"+
			"image-features.ephemeral-encryption-keys = true\nimage-features.standalone-image = true\n"+
			"image-features.in-place-updates = true\n"),
			func(r *Request) { r.Image = true },
			"variant qemu-dev: feature standalone-image excludes feature ephemeral-encryption-keys, " +
				"feature in-place-updates, partition-plan \"split\" (the default); image-format \"uki\" " +
				"excludes feature in-place-updates; feature ephemeral-encryption-keys needs feature " +
				"encrypted-storage; correct image-features, image-format or image-layout in " +
				"variants/qemu-dev/Cargo.toml"},
		{"eif", edit(variant, table, table+"image-format = \"eif\"\n"),
			func(r *Request) { r.Image = true },
			"variant qemu-dev: this buildsys cannot make an image with image-format \"eif\"; " +
				"the variant's packages can be built (build-package); see " +
				"variants/qemu-dev/Cargo.toml"},
		{"template", func(files fstest.MapFS) {
			edit(variant, table, table+"image-format = \"vmdk\"\n")(files)
			files["variants/qemu-dev/template.ovf"] = &fstest.MapFile{
				Data: []byte("{{OS_DISK}}\n{{DATA_DSIK}}"), Mode: 0o644}
		}, func(r *Request) { r.Image = true },
			"variant qemu-dev: variants/qemu-dev/template.ovf: line 2 has the unknown placeholder " +
				"{{DATA_DSIK}}; known are DATA_DISK, DATA_DISK_BYTES, OS_DISK, OS_DISK_BYTES"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files, r := tree(), request()
			if test.edit != nil {
				test.edit(files)
			}
			test.request(&r)
			_, err := try(t, files, r)
			if _, ok := errors.AsType[*RequestError](err); !ok || err.Error() != test.want {
				t.Errorf("error %v\nwant  %s", err, test.want)
			}
		})
	}
	t.Run("packages for an enclave", func(t *testing.T) {
		files, r := tree(), request()
		edit(variant, table, table+"image-format = \"eif\"\n")(files)
		r.Packages = []string{"os"}
		if _, err := try(t, files, r); err != nil {
			t.Error(err)
		}
	})
}
