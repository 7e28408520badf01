// section_test: each target gets its own part of the Dockerfile, and edits elsewhere do not reach
// it.

package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys"
	"buildsys/internal/workspace"
)

func TestSection(t *testing.T) {
	const text = "# recipe\nARG SDK\n\n# ---- target `package`: RPMs ----\nFROM ${SDK} AS " +
		"package\n\n\n# ---- target `variant`: disks ----\nFROM ${SDK} AS variant\nRUN x\n"
	tests := []struct{ name, text, target, want string }{
		{"first", text, "package",
			"# recipe\nARG SDK\n\n# ---- target `package`: RPMs ----\nFROM ${SDK} AS package\n"},
		{"second, line numbers kept", text, "variant",
			"# recipe\nARG SDK\n\n\n\n\n\n# ---- target `variant`: disks ----\nFROM ${SDK} AS " +
				"variant\nRUN x\n"},
		{"no section for it", text, "kit", text},
		{"no sections", "FROM scratch AS package\n\n", "package", "FROM scratch AS package\n\n"},
		{"no end of line", "A\n# ---- target `x`", "x", "A\n# ---- target `x`\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(section([]byte(test.text), test.target)); got != test.want {
				t.Errorf("%q\nwant %q", got, test.want)
			}
		})
	}
}

// recipes returns the Dockerfiles of the recipes inside buildsys.
func recipes(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, files := range map[string]fstest.MapFS{
		"native": {"Release.toml": {Data: []byte("version = \"1.0.0\"\n")}},
		"twoliter": {"Twoliter.toml": {Data: []byte("schema-version = 1\n" +
			"release-version = \"1.0.0\"\n[sdk]\nname = \"sdk\"\n" +
			"version = \"0.1.0\"\nvendor = \"lab\"\n[vendor.lab]\nregistry = \"registry.invalid\"\n")}},
	} {
		files["packages/a/Cargo.toml"] = &fstest.MapFile{Data: []byte("[package]\nname = \"a\"\n" +
			"[package.metadata.build-package]\n")}
		files["packages/a/a.spec"] = &fstest.MapFile{}
		files["packages/build.rs"] = &fstest.MapFile{Data: []byte("fn main() {}")}
		ws, err := workspace.LoadFS("/tree", files)
		if err != nil {
			t.Fatal(err)
		}
		recipe, err := ws.Recipe(buildsys.Recipe)
		if err != nil || recipe.Twoliter != (name == "twoliter") {
			t.Fatal(name, err)
		}
		all[name] = recipe.Dockerfile
	}
	return all
}

// TestSectionsOfTheRecipe checks the real Dockerfiles: no target's section may need a stage of
// another section.
func TestSectionsOfTheRecipe(t *testing.T) {
	for name, text := range recipes(t) {
		t.Run(name, func(t *testing.T) { checkSections(t, text) })
	}
}

func checkSections(t *testing.T, text []byte) {
	for target := range recipeDirs {
		part := section(text, target)
		if len(part) >= len(text) {
			t.Errorf("the recipe has no section for %s", target)
		}
		if !bytes.Contains(part, []byte(" AS "+target+"\n")) {
			t.Errorf("the section for %s does not make it", target)
		}
		for _, m := range strings.Split(string(part), "COPY --from=")[1:] {
			stage, _, _ := strings.Cut(m, " ")
			if !strings.Contains(string(part), " AS "+stage+"\n") {
				t.Errorf("the section for %s copies from %s, which is in another", target, stage)
			}
		}
	}
}

// TestDirsOfTheRecipe checks that what a target's section runs, and what those tools read, is in a
// directory that its steps see.
func TestDirsOfTheRecipe(t *testing.T) {
	for name, text := range recipes(t) {
		t.Run(name, func(t *testing.T) { checkDirs(t, text) })
	}
}

func checkDirs(t *testing.T, dockerfile []byte) {
	run := regexp.MustCompile(`/host/recipe/(tools/[a-z]+)/`)
	source := regexp.MustCompile(`source=\.\./([a-z]+)/`)
	for target, dirs := range recipeDirs {
		var used []string
		for _, m := range run.FindAllSubmatch(section(dockerfile, target), -1) {
			used = append(used, string(m[1]))
		}
		for _, dir := range dirs {
			files, err := filepath.Glob("../../" + dir + "/*")
			if err != nil || len(files) == 0 {
				t.Errorf("%s: no files in %s (%v)", target, dir, err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range source.FindAllSubmatch(text, -1) {
					used = append(used, "tools/"+string(m[1]))
				}
			}
		}
		for _, dir := range used {
			if !slices.Contains(dirs, dir) {
				t.Errorf("the tools of %s use %s, which its steps do not see", target, dir)
			}
		}
	}
}
