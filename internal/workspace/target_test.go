package workspace

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	w := &Workspace{
		Packages: map[string]*Package{"bash": {}, "core": {}},
		Kits:     map[string]*Kit{"core": {Dir: "kits/core"}, "deep": {Dir: "kits/a/deep"}},
		Variants: map[string]*Variant{"qemu-dev": {}},
	}
	for text, want := range map[string]string{
		"bash":              "package/bash",
		"package/bash":      "package/bash",
		"packages/bash/":    "package/bash",
		"./packages/bash":   "package/bash",
		"kit/core":          "kit/core",
		"kits/a/deep":       "kit/deep",
		"package/core":      "package/core",
		"deep":              "kit/deep",
		"qemu-dev":          "variant/qemu-dev",
		"variant/qemu-dev":  "variant/qemu-dev",
		"variants/qemu-dev": "variant/qemu-dev",
		"core":              `error: "core" has several meanings: write package/core or kit/core`,
		"bsh":               `error: no package, kit or variant "bsh"; did you mean "bash"?`,
		"kit/bash":          `error: no kit "bash"; there are: core, deep`,
		"variant/bash":      `error: no variant "bash"; there are: qemu-dev`,
		"sources/bash":      `error: no package, kit or variant "sources/bash"; there are: bash, core, deep, qemu-dev`,
		"":                  `error: no package, kit or variant ""; there are: bash, core, deep, qemu-dev`,
	} {
		got, err := w.Find(text)
		if shown := got.String(); err == nil && shown != want {
			t.Errorf("%q: got %s, want %s", text, shown, want)
		} else if err != nil && "error: "+err.Error() != want {
			t.Errorf("%q: got error %v, want %s", text, err, want)
		} else if err == nil && strings.HasPrefix(want, "error") {
			t.Errorf("%q: no error, want %s", text, want)
		}
	}
}

// TestAsIsPartOfPath: names of targets become parts of paths, some of which are removed.
func TestAsIsPartOfPath(t *testing.T) {
	for _, text := range []string{"..", ".", "", "../packages", "variants/../../x", "variant/..",
		"variants/a/b", "./..", "variants/\x00", "/etc"} {
		if name, err := ParseTarget(text).As(VariantKind); err == nil {
			t.Errorf("%q is %q", text, name)
		}
	}
	name, err := ParseTarget("variants/qemu-dev/").As(VariantKind)
	if err != nil || name != "qemu-dev" {
		t.Errorf("%q, %v", name, err)
	}
}
