package buildkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/plan"
)

// TestContextsAreMerged checks that a RUN mounts parts of one tree where it can, and separate trees
// where it cannot.
func TestContextsAreMerged(t *testing.T) {
	rpms := t.TempDir()
	if err := os.WriteFile(filepath.Join(rpms, "a.rpm"), []byte("rpm"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := func(name string) []plan.File { return []plan.File{{Name: name, Data: []byte("x")}} }
	contexts := map[string]plan.Context{
		"recipe":  {Files: file("tools/build-rpm"), Shared: true},
		"package": {Files: file("a.spec")},
		"rpms":    {Dirs: []*plan.Dir{{Name: "a", Host: rpms}}},
		"deep":    {Files: file("dir/of/a/file")},
		"large":   {Files: []plan.File{{Name: "x", Data: make([]byte, inlineBytes+1)}}},
	}
	const end = "FROM scratch AS package\nCOPY --from=build /output/ /\n"
	mount := func(from string) string {
		return " --mount=from=buildsys.invalid/" + from +
			",target=/host/" + from
	}
	tests := map[string]struct{ body, want, wantNot string }{
		"two of its own": {"RUN" + mount("package") + mount("rpms") + " true\n",
			"mkdir / mkdir /package mkfile /package/a.spec mkdir /rpms mkdir /rpms/a " +
				"mkfile /rpms/a/a.rpm from\n/host/package=1:/package /host/rpms=1:/rpms", "mkfile /a.spec"},
		"only what is used": {"RUN" + mount("package") + " true\n",
			"mkdir / mkdir /package mkfile /package/a.spec from", "rpms"},
		"a shared one": {"RUN" + mount("package") + mount("recipe") + " true\n",
			"mkdir / mkdir /tools mkfile /tools/build-rpm from", "/recipe "},
		"times of directories": {"RUN" + mount("package") + mount("deep") + " true\n",
			"mkdir / mkdir /dir mkdir /dir/of " +
				"mkdir /dir/of/a mkfile /dir/of/a/file from\n copy / / from", "/deep "},
		"a large one": {"RUN" + mount("package") + mount("large") + " true\n",
			"local://context-large", "/large "},
		"a part of one": {"RUN --mount=from=buildsys.invalid/rpms,source=a,target=/one true\n",
			"/one=1:/rpms/a", "mkdir /a"},
		"in two RUNs": {"RUN" + mount("package") + " true\nRUN" + mount("rpms") + " true\n",
			"/host/rpms=1:/rpms from", "mkfile /a.spec"},
		"copied": {"COPY --from=buildsys.invalid/package / /x/\nRUN" + mount("rpms") +
			" true\n", "mkfile /a.spec", "mkdir /package"},
		"mounted writable": {"RUN" + mount("package") + ",rw true\n", "mkfile /a.spec", "mkdir /package"},
		"the root of all": {"RUN" + mount("rpms") +
			" true\nFROM buildsys.invalid/package\nCOPY --from=build / /\nFROM build\n", "", "placeholder"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := describe(t, definition(t, plan.Solve{
				Name: "a", Target: "package", Dockerfile: []byte("ARG SDK\nFROM ${SDK} AS build\n" + test.body +
					end), Contexts: contexts,
			}))
			for want := range strings.Lines(test.want) {
				if !strings.Contains(text, strings.TrimSuffix(want, "\n")) {
					t.Errorf("want %q in\n%s", want, text)
				}
			}
			if strings.Contains(text, test.wantNot) {
				t.Errorf("want no %q in\n%s", test.wantNot, text)
			}
			if strings.Contains(text, placeholderPrefix) {
				t.Errorf("a placeholder reaches the engine:\n%s", text)
			}
		})
	}
}
