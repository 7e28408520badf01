// docs_test: the examples in docs/manifests.md are valid manifests, and it names every key.

package manifest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDocsExamples(t *testing.T) {
	data, err := os.ReadFile("../../docs/manifests.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```toml\n# (\\S+)\n(.*?)```")
	examples := example.FindAllStringSubmatch(string(data), -1)
	if len(examples) != 4 {
		t.Fatalf("found %d examples, want 4", len(examples))
	}
	for _, example := range examples {
		file, text := example[1], []byte(example[2])
		var problems Problems
		switch dir := filepath.Dir(filepath.Dir(file)); {
		case dir == "packages":
			_, problems = ParsePackage(file, text, Rules{})
		case dir == "variants":
			_, problems = ParseVariant(file, text, Rules{})
		case file == "Release.toml":
			_, problems = ParseRelease(file, text, Rules{})
		case file == "Makefile.toml":
			var env map[string]string
			env, problems = ParseMakefile(file, text, func(string) string { return "" })
			if env["BUILDSYS_PRETTY_NAME"] != "Skiff (skiff)" || env["BUILDSYS_JOBS"] != "4" ||
				env["BUILDSYS_LOOKASIDE_CACHE"] != "https://sources.example/skiff" {
				t.Errorf("%s gives %v", file, env)
			}
		default:
			t.Errorf("an example is for %s, which nothing reads", file)
		}
		if len(problems) > 0 {
			t.Errorf("the example %s has mistakes:\n%v", file, problems)
		}
	}
}

func TestDocsNameEveryKey(t *testing.T) {
	data, err := os.ReadFile("../../docs/manifests.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := ImageFeatures()
	for _, file := range []string{"package.go", "external.go", "variant.go", "release.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pattern := regexp.MustCompile(`(?:\.(?:str|strings|boolean|integer|choice|sub|tables|accept)\(|key = |included, arches = )"([a-z0-9-]+)"(?:, "([a-z-]+)")?`)
		for _, match := range pattern.FindAllStringSubmatch(string(source), -1) {
			keys = append(keys, match[1])
		}
	}
	if len(keys) < 25 {
		t.Fatalf("found only %d keys: %q", len(keys), keys)
	}
	for _, key := range keys {
		if !strings.Contains(string(data), "`"+key+"`") && !strings.Contains(string(data), "["+key+"]") {
			t.Errorf("docs/manifests.md does not name the key %q", key)
		}
	}
}
