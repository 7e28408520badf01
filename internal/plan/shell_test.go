package plan

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

// A shell's build is another one than the step's, and the step's stays as it was.
func TestShell(t *testing.T) {
	twoliter, err := os.ReadFile("../../twoliter/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, dockerfile := range map[string][]byte{"native": ours, "twoliter": twoliter} {
		s := Solve{Name: "less x86_64", Target: "package", Dockerfile: section(dockerfile, "package"),
			Contexts: map[string]Context{"package": {}}}
		before := bytes.Clone(s.Dockerfile)
		seen := map[string]bool{}
		for _, at := range Stages() {
			got, ok := Shell(s, at)
			run := "    --mount=from=buildsys.invalid/shell,target=/host/shell bash /host/shell/step\n"
			if !ok || got.Target != "rpmbuild" || bytes.Contains(got.Dockerfile, []byte(runScript)) ||
				!strings.Contains(string(got.Dockerfile), run) {
				t.Errorf("%s: %v, target %s:\n%s", name, ok, got.Target, got.Dockerfile)
			}
			files := got.Contexts["shell"].Files
			i := slices.IndexFunc(files, func(f File) bool { return f.Name == "stage" })
			seen[string(files[i].Data)] = true
			if !slices.IsSortedFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("%s: files are not sorted", name)
			}
		}
		if len(seen) != 4 || len(s.Contexts) != 1 || !bytes.Equal(s.Dockerfile, before) {
			t.Errorf("%s: stages %v, and of the step %d contexts", name, seen, len(s.Contexts))
		}
		if _, ok := Shell(s, "nowhere"); ok {
			t.Errorf("%s: a stage that there is not", name)
		}
	}
	own := Solve{Target: "package", Dockerfile: []byte("FROM sdk AS package\nRUN rpmbuild x.spec\n")}
	if _, ok := Shell(own, AfterPrep); ok {
		t.Error("a Dockerfile of its own is taken for ours")
	}
}
