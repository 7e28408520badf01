// twoliter_test: what packages of trees written for Twoliter see, and their arguments.

package plan

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// twoliterTree returns the test tree in Twoliter's form.
func twoliterTree(t *testing.T) fstest.MapFS {
	t.Helper()
	data, err := os.ReadFile("../../testdata/foreign/twoliter.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range txtar.Parse(data).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	files["packages/tool/make.sh"].Mode = 0o755
	return files
}

// beforeKits turns it into one of the time before kits, with a variant.
func beforeKits(t *testing.T) fstest.MapFS {
	t.Helper()
	files := twoliterTree(t)
	delete(files, "kits/lab-kit/Cargo.toml")
	delete(files, "Twoliter.lock")
	set := func(name, text string) { files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	set("Twoliter.toml", "schema-version = 1\n")
	set("Release.toml", "version = \"1.0.0\"\n")
	set("variants/lab-dev/Cargo.toml", "[package]\nname = \"lab-dev\"\n"+
		"[package.metadata.build-variant]\nincluded-packages = [\"app\"]\n"+
		"[build-dependencies]\napp = { path = \"../../packages/app\" }\n")
	return files
}

func twoliterRequest(packages ...string) Request {
	r := request()
	r.Variant, r.Packages, r.Files.Repo = "", packages, "default"
	return r
}

// contexts lists what a step sees in each context, but for the recipe.
func contexts(p Plan, s Step) string {
	var lines []string
	all := p.SolveOf(s).Contexts
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "recipe" {
			continue
		}
		line := name + ":"
		for _, f := range all[name].Files {
			line += " " + f.Name
			if f.Mode == 0o755 {
				line += "*"
			}
		}
		for _, d := range all[name].Dirs {
			line += " " + d.Name + "/"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTwoliterViews(t *testing.T) {
	p := mustMake(t, twoliterTree(t), twoliterRequest("app", "tool", "words"))
	for id, want := range map[string]string{
		"package/app": "beside:\ncargo: twoliter_cargo_config.toml vendor/dep/lib.rs\n" +
			"package: app.spec\nrpms: words/\n" +
			"sources: Cargo.toml app/src/main.rs models/src/lib.rs tool/tool.go",
		"package/tool":  "beside:\ncargo:\npackage: make.sh* tool.spec\nrpms:\nsources: tool/tool.go",
		"package/words": "beside:\ncargo:\npackage: words.spec\nrpms:\nsources:",
	} {
		if got := contexts(p, step(t, p, id)); got != want {
			t.Errorf("%s sees\n%s\nwant\n%s", id, got, want)
		}
	}
}

// TestTwoliterImage checks what the step of an image sees, how its partitions are labelled, and
// what is refused.
func TestTwoliterImage(t *testing.T) {
	const manifest, root = "variants/lab-dev/Cargo.toml", "roles/default.root.json"
	files := beforeKits(t)
	files[root] = &fstest.MapFile{Data: []byte("of the tree")}
	r := twoliterRequest()
	r.Variant, r.Image, r.Identity.Name = "lab-dev", true, "lab"
	s := step(t, mustMake(t, files, r), "variant/lab-dev")
	for _, f := range s.Solve.Contexts["recipe"].Files {
		if strings.HasPrefix(f.Name, macrosDir) {
			t.Errorf("the image sees %s, but macros are the SDK's", f.Name)
		}
	}
	var labels []string
	for _, p := range s.Layout.Partitions {
		if p.Key == "ROOT-A" || p.Key == "DATA-A" {
			labels = append(labels, p.Label)
		}
	}
	if got := strings.Join(labels, ","); got != "BOTTLEROCKET-ROOT-A," {
		t.Errorf("labels of ROOT-A and DATA-A: %s", got)
	}
	rootJSON := func(s Step) (data []string) {
		for _, f := range s.Solve.Contexts["image"].Files {
			if f.Name == rootJSONFile {
				data = append(data, string(f.Data))
			}
		}
		return data
	}
	if got := rootJSON(s); !slices.Equal(got, []string{"of the tree"}) {
		t.Errorf("root metadata %q", got)
	}
	r.Files.Overrides = []File{{Name: rootJSONFile, Data: []byte("of a setting")}}
	s = step(t, mustMake(t, files, r), "variant/lab-dev")
	if got := rootJSON(s); !slices.Equal(got, []string{"of a setting"}) {
		t.Errorf("root metadata with a setting %q", got)
	}
	repack := r
	repack.Repack = &RepackSource{Dir: "/old",
		Names: []string{"lab-lab-dev-x86_64-1.img.lz4", inventoryName}}
	s = step(t, mustMake(t, files, repack), "repack/lab-dev")
	if got := rootJSON(s); !slices.Equal(got, []string{"of a setting"}) {
		t.Errorf("root metadata of the repacked image %q", got)
	}
	data := string(files[manifest].Data) + "[package.metadata.build-variant.image-features]\n" +
		"uefi-secure-boot = true\n"
	files[manifest] = &fstest.MapFile{Data: []byte(data)}
	r.Files.Signing = func(how Signatures) (SigningKeys, error) {
		if how != (Signatures{Shim: true}) {
			t.Errorf("asked for %+v", how)
		}
		return SigningKeys{}, nil
	}
	if s := step(t, mustMake(t, files, r), "variant/lab-dev"); !SecureBoot(s) {
		t.Error("the image is not signed")
	}
}

// TestTwoliterRecipe checks that trees of both generations get their recipe and no macros, and that
// the tree's own Dockerfile still comes first.
func TestTwoliterRecipe(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"kits":        {twoliterTree(t), "tools/package/build-rpm: twoliter"},
		"before kits": {beforeKits(t), "tools/package/build-rpm: twoliter"},
		"native":      {tree(), "macros/shared tools/package/build-rpm"},
	} {
		pkg := "words"
		if name == "native" {
			pkg = "lib"
		}
		r := twoliterRequest(pkg)
		r.Variant = ""
		s := step(t, mustMake(t, c.files, r), "package/"+pkg)
		var words []string
		for _, f := range s.Solve.Contexts["recipe"].Files {
			word := f.Name
			if string(f.Data) == "twoliter" {
				word += ": twoliter"
			}
			words = append(words, word)
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestTwoliterArgs(t *testing.T) {
	real := Commit{ID: "abcdef12-dirty", Seconds: "1700000000"}
	for _, c := range []struct {
		files  fstest.MapFS
		commit Commit
		want   string
	}{
		{twoliterTree(t), Commit{}, ".0.00000000.br1 00000000 0"},
		{twoliterTree(t), real, ".1700000000.abcdef12.br1 abcdef12-dirty 1700000000"},
		{beforeKits(t), Commit{}, " 00000000 0"},
		{beforeKits(t), real, " abcdef12-dirty 1700000000"},
	} {
		r := twoliterRequest("words")
		r.Commit = c.commit
		args := step(t, mustMake(t, c.files, r), "package/words").Solve.Args
		got := fmt.Sprint(args["DIST"], " ", args["BUILD_ID"], " ", args["BUILD_ID_TIMESTAMP"])
		if got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestTwoliterBeside checks the files that specs from before kits find beside first-party code, and
// that nothing is built without root metadata that a spec packs.
func TestTwoliterBeside(t *testing.T) {
	files := beforeKits(t)
	spec := files["packages/words/words.spec"]
	spec.Data = append(slices.Clip(spec.Data),
		"# %{_builddir}/Licenses.toml %{_cross_repo_root_json}\n"...)
	for _, name := range []string{"Licenses.toml", "licenses/nvidia/LICENSE"} {
		files[name] = &fstest.MapFile{Data: []byte("x"), Mode: 0o644}
	}
	p := mustMake(t, files, twoliterRequest("words"))
	if len(p.Lacks) != 1 || !strings.Contains(p.Lacks[0], "roles/default.root.json") {
		t.Errorf("lacks %q", p.Lacks)
	}
	files["roles/default.root.json"] = &fstest.MapFile{Data: []byte("{}"), Mode: 0o644}
	r := twoliterRequest("words")
	for _, data := range []string{"{}", "other"} {
		p = mustMake(t, files, r)
		s := step(t, p, "package/words")
		if got := contexts(p, s); !strings.HasPrefix(got,
			"beside: Licenses.toml licenses/nvidia/LICENSE root.json\n") || len(p.Lacks) > 0 {
			t.Errorf("sees %s, lacks %q", got, p.Lacks)
		}
		if got := s.Solve.Contexts["beside"].Files[2].Data; string(got) != data {
			t.Errorf("root.json is %s, want %s", got, data)
		}
		r.Files.RootJSON = []byte("other")
	}
}

// TestTwoliterVariant checks that a sensitive package gets the variant, and that one that asks for
// it without saying so is named.
func TestTwoliterVariant(t *testing.T) {
	const asks = "%if %{with aws_platform} %{without k8s_runtime} %{?_cross_variant}\n%endif\n"
	for sensitive, want := range map[string]string{
		"":           `"platform" "runtime" true`,
		`"platform"`: `"runtime" true`,
		"true":       "",
	} {
		files := beforeKits(t)
		files["packages/words/words.spec"].Data = []byte(asks)
		if sensitive != "" {
			files["packages/words/Cargo.toml"].Data = []byte("[package]\nname = \"words\"\n" +
				"[package.metadata.build-package]\nvariant-sensitive = " + sensitive + "\n")
		}
		r := twoliterRequest("words")
		r.Variant = "lab-dev"
		p := mustMake(t, files, r)
		var words []string
		for _, w := range p.Warnings {
			_, after, _ := strings.Cut(w, "variant-sensitive = ")
			word, _, _ := strings.Cut(after, " ")
			words = append(words, word)
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s: warns of %s, want %s\n%q", sensitive, got, want, p.Warnings)
		}
		if got := step(t, p, "package/words").Solve.Args["VARIANT_PLATFORM"]; (got == "lab") !=
			(sensitive != "") {
			t.Errorf("%s: VARIANT_PLATFORM is %q", sensitive, got)
		}
	}
}
