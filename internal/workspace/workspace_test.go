package workspace

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// goodTree has packages whose crate is not named as the directory, a dependency of each kind, a
// source group inside another one, and files that no build should see.
const goodTree = `
-- Release.toml --
version = "1.2.3"
-- packages/packages.rs --
-- packages/empty/README.md --
-- packages/musl/Cargo.toml --
[package]
name = "musl"
-- packages/musl/musl.spec --
Name: musl
-- packages/kernel-6.12/Cargo.toml --
[package]
name = "kernel-6_12"
build = "make.rs"

[lib]
path = "pkg.rs"

[package.metadata.build-package]
package-name = "kernel-6.12"
source-groups = ["api", "clock", "api/model"]

[[package.metadata.build-package.external-files]]
url = "https://example.com/linux-6.12.tar.xz"
sha512 = "HASH"

[build-dependencies]
musl = { path = "../musl" }
-- packages/kernel-6.12/kernel-6.12.spec --
-- packages/kernel-6.12/pkg.rs --
-- packages/kernel-6.12/make.rs --
-- packages/kernel-6.12/build.rs --
-- packages/kernel-6.12/Cargo.lock --
-- packages/kernel-6.12/linux-6.12.tar.xz --
downloaded by Bottlerocket's buildsys
-- packages/kernel-6.12/0001-fix.patch --
-- packages/kernel-6.12/configs/x86_64 --
-- packages/kernel-6.12/configs/lib.rs --
-- packages/kernel-6.12/.keep-me --
-- packages/kernel-6.12/.kernel-6.12.spec.swp --
-- packages/kernel-6.12/kernel-6.12.spec~ --
-- packages/kernel-6.12/.gitignore --
-- packages/kernel-6.12/.DS_Store --
-- packages/kernel-6.12/#0001-fix.patch# --
-- packages/kernel-6.12/target/debug/x --
-- packages/tool/Cargo.toml --
[package]
name = "tool"

[build-dependencies]
kernel-6_12 = { path = "../kernel-6.12" }
musl = { path = "../musl" }

[dependencies]
musl = { path = "../musl/" }
-- packages/tool/tool.spec --
-- sources/api/main.go --
-- sources/api/README.md --
-- sources/api/.cache/x --
-- sources/api/target/debug/x --
-- sources/api/vendor/dep/dep.go --
-- sources/api/model/model.go --
-- sources/api/model/target --
-- sources/clock/clock.go --
-- sources/other/other.go --
-- variants/Cargo.toml --
[workspace]
-- variants/shared/lib.rs --
-- variants/qemu-dev/Cargo.toml --
[package]
name = "qemu-dev"

[package.metadata.build-variant]
included-packages = ["tool", "tool-extras"]

[build-dependencies]
tool = { path = "../../packages/tool" }
`

func makeTree(t *testing.T) string {
	t.Helper()
	return writeTree(t, txtar.Parse([]byte(strings.ReplaceAll(goodTree, "HASH",
		strings.Repeat("0123456789abcdef", 8)))))
}

func load(t *testing.T, root string) *Workspace {
	t.Helper()
	w, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLoad(t *testing.T) {
	root := makeTree(t)
	w := load(t, root)
	if w.Root != root || w.Release.Version != "1.2.3" {
		t.Errorf("root %s, version %s", w.Root, w.Release.Version)
	}
	got := []string{}
	for _, name := range w.PackageNames() {
		p := w.Packages[name]
		got = append(got, fmt.Sprintf("%s in %s: build %v run %v", name, p.Dir, p.BuildRequires,
			p.Requires))
	}
	for _, name := range w.VariantNames() {
		v := w.Variants[name]
		got = append(got, fmt.Sprintf("%s in %s: build %v run %v", name, v.Dir, v.BuildRequires,
			v.Requires))
	}
	want := []string{
		"kernel-6.12 in packages/kernel-6.12: build [musl] run []",
		"musl in packages/musl: build [] run []",
		"tool in packages/tool: build [kernel-6.12 musl] run [musl]",
		"qemu-dev in variants/qemu-dev: build [tool] run []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLoadUnreadableRoot(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none"))
	if errkind.Of(err) != errkind.Environment {
		t.Errorf("%v; want an error of the environment", err)
	}
}

// TestLoadFS: the same tree in memory gives the same packages.
func TestLoadFS(t *testing.T) {
	root := makeTree(t)
	w, err := LoadFS(root, os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if fromDisk := load(t, root); !reflect.DeepEqual(w.Packages, fromDisk.Packages) ||
		!reflect.DeepEqual(w.Variants, fromDisk.Variants) {
		t.Error("LoadFS and Load differ")
	}
}

// TestSampleTree: the tree this repository ships has no mistakes.
func TestSampleTree(t *testing.T) {
	w := load(t, "../..")
	for _, p := range w.Packages {
		if _, err := w.SourceGroupFiles(p); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Recipe(nil); err != nil {
		t.Error(err)
	}
}

func names(files []File) []string {
	out := []string{}
	for _, f := range files {
		out = append(out, f.Name)
	}
	return out
}

func TestFiles(t *testing.T) {
	root := makeTree(t)
	must(t, os.Chmod(filepath.Join(root, "packages/kernel-6.12/configs/x86_64"), 0o700))
	w := load(t, root)
	files := w.Files(w.Packages["kernel-6.12"])
	if got, want := names(files), []string{".keep-me", "0001-fix.patch", "configs/lib.rs",
		"configs/x86_64", "kernel-6.12.spec"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want := File{Name: "configs/x86_64", Host: filepath.Join(root, "packages", "kernel-6.12",
		"configs", "x86_64"), Mode: 0o755}
	if !reflect.DeepEqual(files[3], want) || files[1].Mode != 0o644 {
		t.Errorf("got %+v, want %+v; mode of a patch %v", files[3], want, files[1].Mode)
	}
}

func TestSourceGroupFiles(t *testing.T) {
	root := makeTree(t)
	w := load(t, root)
	files, err := w.SourceGroupFiles(w.Packages["kernel-6.12"])
	want := []string{"api/README.md", "api/main.go", "api/model/model.go", "api/model/target",
		"api/vendor/dep/dep.go", "clock/clock.go"}
	if got := names(files); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if files, err := w.SourceGroupFiles(w.Packages["musl"]); len(files) != 0 || err != nil {
		t.Errorf("a package without source groups has %v, %v", files, err)
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(root, "sources/api/model/secret")))
	_, err = w.SourceGroupFiles(w.Packages["kernel-6.12"])
	const wrong = "sources/api/model/secret: is a symlink; a build may read only regular files"
	if err == nil || err.Error() != wrong {
		t.Errorf("got %v, want %s once", err, wrong)
	}
}

func TestFindRoot(t *testing.T) {
	root := makeTree(t)
	for _, below := range []string{".", "packages", "packages/kernel-6.12/configs",
		"sources/api/model"} {
		if got, err := FindRoot(filepath.Join(root, below)); got != root || err != nil {
			t.Errorf("from %s: got %s, %v; want %s", below, got, err, root)
		}
	}
	for _, mark := range []string{"Release.toml", "Twoliter.toml", "Makefile.toml"} {
		root := t.TempDir()
		must(t, os.Mkdir(filepath.Join(root, "packages"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, mark), nil, 0o644))
		if got, err := FindRoot(filepath.Join(root, "packages")); got != root || err != nil {
			t.Errorf("with %s: got %s, %v", mark, got, err)
		}
	}
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "Release.toml"), nil, 0o644)) // no packages/ beside it
	if got, err := FindRoot(outside); !errors.Is(err, ErrNoRoot) {
		t.Errorf("outside of a tree: got %s, %v", got, err)
	}
}

func TestHere(t *testing.T) {
	root := makeTree(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(root, link))
	must(t, os.MkdirAll(filepath.Join(root, "kits/core/deep"), 0o755))
	for dir, want := range map[string]string{
		"packages/musl":                "package/musl",
		"packages/kernel-6.12/configs": "package/kernel-6.12",
		"variants/qemu-dev":            "variant/qemu-dev",
		"kits/core/deep":               "kit/core/deep",
		"packages":                     "",
		".":                            "",
		"..":                           "",
		"sources/api":                  "",
	} {
		for _, base := range []string{root, link} {
			got, ok := Here(root, filepath.Join(base, dir))
			if ok != (want != "") || ok && got.String() != want {
				t.Errorf("%s below %s: got %q, %t, want %q", dir, base, got, ok, want)
			}
		}
	}
}

func TestRecipe(t *testing.T) {
	recipe := fstest.MapFS{
		"Dockerfile":               {Data: []byte(recipeLine + "\nFROM scratch\n"), Mode: 0o444},
		"tools/image/rpm2img":      {Data: []byte("#!/bin/bash\n"), Mode: 0o444},
		"tools/image/.rpm2img.swp": {Data: []byte("no")},
		"macros/shared":            {Data: []byte("%_x y\n"), Mode: 0o444},
		"macros/x86_64":            {Data: []byte("\n"), Mode: 0o444},
		"somewhere/else.conf":      {Data: []byte("no")},
	}
	w := load(t, makeTree(t))
	embedded, err := w.Recipe(recipe)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(embedded.Files), []string{"macros/shared", "macros/x86_64",
		"tools/image/rpm2img"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for name := range recipe { // the same recipe in the tree
		at := filepath.Join(w.Root, name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, recipe[name].Data, 0o600))
	}
	own, err := w.Recipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range own.Files {
		data, err := os.ReadFile(f.Host)
		if e := embedded.Files[i]; err != nil || e.Name != f.Name || e.Mode != f.Mode ||
			string(e.Data) != string(data) || e.Host != "" || f.Data != nil {
			t.Errorf("%v: the tree's %+v is not the program's %+v", err, f, e)
		}
	}
	if own.Files[2].Mode != 0o755 || own.Files[0].Mode != 0o644 ||
		string(own.Dockerfile) != string(embedded.Dockerfile) {
		t.Errorf("got %+v", own)
	}
}

// TestMacrosOfTree: what a tree without a recipe of its own has in macros/ is read after the same
// file of the recipe in the program, and what no build would read is refused.
func TestMacrosOfTree(t *testing.T) {
	recipe := fstest.MapFS{
		"Dockerfile":    {Data: []byte(recipeLine + "\n")},
		"macros/shared": {Data: []byte("%_cross_os skiff-\n")},
		"macros/x86_64": {Data: []byte("%_cross_arch x86_64\n")},
	}
	root := makeTree(t)
	must(t, os.MkdirAll(filepath.Join(root, "macros"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "macros/shared"), []byte("%_cross_os mine-"), 0o644))
	r, err := load(t, root).Recipe(recipe)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Files[0].Data); got != "%_cross_os skiff-\n%_cross_os mine-\n" {
		t.Errorf("macros/shared is %q", got)
	}
	if got := string(r.Files[1].Data); got != "%_cross_arch x86_64\n" {
		t.Errorf("macros/x86_64 is %q", got)
	}
	large := strings.Repeat("#", manifest.MaxSize+1)
	for name, put := range map[string]func(at string) error{
		"macros/more: is read by no build: the recipe inside buildsys has no such file": func(
			at string) error {
			return os.WriteFile(at+"/more", nil, 0o644)
		},
		"macros/x86_64: has more than 1048576 bytes": func(at string) error {
			return os.WriteFile(at+"/x86_64", []byte(large), 0o644)
		},
		"macros/x86_64: is a symlink; a build may read only regular files": func(at string) error {
			return os.Symlink("/etc/passwd", at+"/x86_64")
		},
		"macros: must be a directory, not a symlink": func(at string) error {
			return errors.Join(os.RemoveAll(at), os.Symlink("packages", at))
		},
	} {
		root := makeTree(t)
		must(t, os.MkdirAll(filepath.Join(root, "macros"), 0o755))
		must(t, put(filepath.Join(root, "macros")))
		if _, err := load(t, root).Recipe(recipe); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s", err, name)
		}
	}
}

// TestRecipeOfGeneration: a tree written for Twoliter, of either generation, gets the recipe for
// those, which shares what it does not replace. Its own Dockerfile comes first.
func TestRecipeOfGeneration(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	inside := fstest.MapFS{
		"Dockerfile": file(recipeLine + "\n# ---- target `package`: native\n" +
			"# ---- targets `a` and `b`: native\n"),
		"macros/shared":                    file("native"),
		"tools/lib/prelude":                file("native"),
		"tools/package/build-rpm":          file("native"),
		"twoliter/Dockerfile":              file("# different\n# ---- target `package`: twoliter\n"),
		"twoliter/tools/package/build-rpm": file("twoliter"),
		"twoliter/tools/modules/with-go":   file("twoliter"),
	}
	const native = "native: macros/shared=native tools/lib/prelude=native " +
		"tools/package/build-rpm=native"
	const twoliter = "twoliter: macros/shared=native tools/lib/prelude=native " +
		"tools/modules/with-go=twoliter tools/package/build-rpm=twoliter"
	scripts := fstest.MapFS{"packages/build.rs": file("fn main() {}"), "packages/a/a.spec": file(""),
		"packages/a/Cargo.toml": file("[package]\nname = \"a\"\n"),
		"Release.toml":          file("version = \"1.0.0\"\n")}
	const sdk = "schema-version = 1\nrelease-version = \"1.0.0\"\n[vendor.lab]\n" +
		"registry = \"registry.invalid\"\n[sdk]\nname = \"sdk\"\nversion = \"0.1.0\"\nvendor = \"lab\"\n"
	for name, c := range map[string]struct{ project, dockerfile, want string }{
		"no Twoliter.toml": {"", "", native},
		"before kits":      {"schema-version = 1\n", "", twoliter},
		"kits":             {sdk, "", twoliter},
		"own Dockerfile":   {sdk, "FROM scratch\n", native},
		"a recipe":         {sdk, recipeLine + "\n# native\n", "native:"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := maps.Clone(scripts)
			for name, text := range map[string]string{"Twoliter.toml": c.project,
				"Dockerfile": c.dockerfile} {
				if text != "" {
					tree[name] = file(text)
				}
			}
			w, err := LoadFS("/tree", tree)
			must(t, err)
			r, err := w.Recipe(inside)
			must(t, err)
			got := "native:"
			if string(r.Dockerfile) == recipeLine+"\n\n\n# ---- target `package`: twoliter\n\n\n"+
				"# ---- targets `a` and `b`: native\n" {
				got = "twoliter:"
			}
			for _, f := range r.Files {
				got += " " + f.Name + "=" + string(f.Data)
			}
			if got != c.want || r.Twoliter != strings.HasPrefix(c.want, "twoliter") {
				t.Errorf("got %s, %v; want %s", got, r.Twoliter, c.want)
			}
		})
	}
}

// TestParts: what a part replaces must be there, or an edit of one Dockerfile would be without
// effect.
func TestParts(t *testing.T) {
	const text = "head\n\n# ---- target `a`: x\nA\n\n# ---- targets `a` and `b`\nB\n"
	for _, c := range []struct{ name, by, want, fault string }{
		{"none", "# comment\n",
			"head\n\n\n# ---- target `a`: x\nA\n\n\n# ---- targets `a` and `b`\nB\n", ""},
		{"one", "# ---- target `a`: other\nC\n",
			"head\n\n\n# ---- target `a`: other\nC\n\n\n# ---- targets `a` and `b`\nB\n", ""},
		{"unknown", "# ---- target `b`: x\n", "", "it has no part \"# ---- target `b`\" to replace"},
	} {
		got, err := replaceParts([]byte(text), []byte(c.by))
		if string(got) != c.want || (err == nil) != (c.fault == "") ||
			err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestRecipeOfAnotherKind(t *testing.T) {
	w := load(t, makeTree(t))
	const (
		want = "Dockerfile:1: is not a recipe for this buildsys: its first line is not " +
			`"# buildsys-recipe: 2"; `
		away = "move it away to use the recipe inside buildsys"
		flat = "move each file of tools/ into the directory of the target that runs it (tools/package, " +
			"tools/image, ...), correct the paths in the Dockerfile and write the new first line, " +
			"as docs/manifests.md says; or move the Dockerfile away to use the recipe inside buildsys"
	)
	for text, hint := range map[string]string{
		"# buildsys-recipe: 20\n": away, "\n" + recipeLine: away,
		"# buildsys-recipe: 1\n": flat, "# buildsys-recipe: 1\r\n": flat,
	} {
		must(t, os.WriteFile(filepath.Join(w.Root, "Dockerfile"), []byte(text), 0o644))
		if _, err := w.Recipe(nil); err == nil || err.Error() != want+hint {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestOwnDockerfile: a Dockerfile that is not marked for buildsys is Own, and the fallback does
// what it cannot.
func TestOwnDockerfile(t *testing.T) {
	w := load(t, makeTree(t))
	ours := fstest.MapFS{"Dockerfile": {Data: []byte(recipeLine + "\n")},
		"tools/go/run": {Data: []byte("#!/bin/sh\n")}}
	const text = "# syntax=docker/dockerfile:1.1.3-experimental\nFROM scratch\n"
	must(t, os.WriteFile(filepath.Join(w.Root, "Dockerfile"), []byte(text), 0o644))
	r, err := w.Recipe(ours)
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Own) != text || string(r.Dockerfile) != recipeLine+"\n" || len(r.Files) != 1 ||
		r.Files[0].Name != "tools/go/run" {
		t.Errorf("got %+v", r)
	}
}

// TestTreeFiles: the files that a Dockerfile sees whose context is the whole tree.
func TestTreeFiles(t *testing.T) {
	w := load(t, makeTree(t))
	must(t, os.MkdirAll(filepath.Join(w.Root, "tools/target"), 0o755))
	for _, name := range []string{"tools/run", "tools/.run.swp", "tools/target/x"} {
		must(t, os.WriteFile(filepath.Join(w.Root, name), nil, 0o755))
	}
	must(t, os.Symlink("../packages", filepath.Join(w.Root, "tools/link")))
	skip := func(dir string) bool { return dir == "tools/target" }
	for at, want := range map[string]string{
		"tools": "tools/link->../packages tools/run", "tools/link": "tools/link->../packages",
		"tools/run": "tools/run", "nothing": "",
	} {
		files, err := w.TreeFiles(at, skip)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			if f.Link != "" {
				f.Name += "->" + f.Link
			} else if f.Host != filepath.Join(w.Root, f.Name) || f.Mode != 0o755 {
				t.Errorf("%+v", f)
			}
			got = append(got, f.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("at %s: %q, want %q", at, got, want)
		}
	}
}

// TestRealPathsOnly: a tree that is replaced by a link after it was opened is not followed out of
// the root.
func TestRealPathsOnly(t *testing.T) {
	root := makeTree(t)
	w := load(t, root)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o644))
	must(t, os.RemoveAll(filepath.Join(root, "sources/clock")))
	must(t, os.Symlink(outside, filepath.Join(root, "sources/clock")))
	if files, err := w.SourceGroupFiles(w.Packages["kernel-6.12"]); err == nil {
		t.Errorf("followed a symlink out of the tree: %v", names(files))
	}
	if _, err := fs.ReadFile(w.FS, "sources/clock/secret"); err == nil {
		t.Error("the file system of the tree can be left")
	}
}

// TestCycleOnce: in a long chain whose end leads back to its start, the cycle is reported once, and
// the walk copes with its length.
func TestCycleOnce(t *testing.T) {
	tree := fstest.MapFS{"Release.toml": {Data: []byte(`version = "1.0.0"`)}}
	const n = 300
	for i := range n {
		name := fmt.Sprintf("p%03d", i)
		next := fmt.Sprintf("p%03d", (i+1)%n)
		text := fmt.Sprintf("[package]\nname = %q\n[dependencies]\n%s = { path = \"../%s\" }\n", name,
			next, next)
		tree["packages/"+name+"/Cargo.toml"] = &fstest.MapFile{Data: []byte(text)}
		tree["packages/"+name+"/"+name+".spec"] = &fstest.MapFile{}
	}
	_, err := LoadFS("", tree)
	if err == nil || strings.Count(err.Error(), "\n") != 0 ||
		!strings.HasPrefix(err.Error(), "packages/p000/Cargo.toml:4: ") ||
		strings.Count(err.Error(), "→") != n {
		t.Errorf("got %.200v", err)
	}
	delete(tree, "packages/p000/Cargo.toml")
	delete(tree, "packages/p000/p000.spec")
	if _, err = LoadFS("", tree); err == nil || !strings.Contains(err.Error(),
		`there is no package packages/p000`) {
		t.Errorf("got %.200v", err)
	}
	w, err := LoadFS("", fstest.MapFS{"Release.toml": tree["Release.toml"], "packages/a/a.spec": {},
		"packages/a/Cargo.toml": {Data: []byte("[package]\nname = \"a\"\n")}})
	if err != nil || !slices.Equal(slices.Collect(maps.Keys(w.Packages)), []string{"a"}) {
		t.Errorf("got %v, %v", w, err)
	}
}

// TestHugeManifests: a file far too large is refused in plain words and not read into memory.
func TestHugeManifests(t *testing.T) {
	huge := bytes.Repeat([]byte("a = 1 # ten megabytes of nothing\n"), 10<<20/33)
	tree := fstest.MapFS{
		"Release.toml":                {Data: []byte("version = \"1.0.0\"\n")},
		"packages/app/Cargo.toml":     {Data: huge},
		"packages/app/app.spec":       {Data: []byte("Name: app\n")},
		"variants/lab-dev/Cargo.toml": {Data: huge},
	}
	_, err := LoadFS("/tree", tree)
	const large = ": the file is larger than 1048576 bytes; is this really a manifest?"
	want := "packages/app/Cargo.toml" + large + "\nvariants/lab-dev/Cargo.toml" + large
	if fmt.Sprint(err) != want {
		t.Errorf("got %v", err)
	}
	delete(tree, "variants/lab-dev/Cargo.toml")
	tree["packages/app/Cargo.toml"] = &fstest.MapFile{Data: []byte("[package]\nname = \"app\"\n")}
	tree["Twoliter.toml"] = &fstest.MapFile{Data: huge}
	if _, err := LoadFS("/tree", tree); err == nil || !strings.Contains(err.Error(),
		"Twoliter.toml: the file is larger than") {
		t.Errorf("Twoliter.toml: got %v", err)
	}
}

// listing counts how often the directory of source groups is listed.
type listing struct {
	fstest.MapFS
	n int
}

func (l *listing) Open(name string) (fs.File, error) {
	if name == sourcesDir {
		l.n++
	}
	return l.MapFS.Open(name)
}

// TestManyMistakes: mistakes without number cost no more than reading them, and are said up to a
// bound.
func TestManyMistakes(t *testing.T) {
	const n = 20_000
	var groups strings.Builder
	for i := range n {
		fmt.Fprintf(&groups, "\"g%d\", ", i)
	}
	tree := &listing{MapFS: fstest.MapFS{
		"Release.toml":      {Data: []byte("version = \"1.0.0\"\n")},
		"sources/gg/x":      {},
		"packages/a/a.spec": {Data: []byte("Name: a\n")},
		"packages/a/Cargo.toml": {Data: []byte("[package]\nname = \"a\"\n" +
			"[package.metadata.build-package]\nsource-groups = [" + groups.String() + "]\n")},
	}}
	_, err := LoadFS("/tree", tree)
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 1001 || lines[1000] != "and 19000 more problems" ||
		!strings.Contains(lines[0], "there is no directory sources/g0") {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
	if tree.n > 2*maxHints {
		t.Errorf("the directory is listed %d times", tree.n)
	}
}
