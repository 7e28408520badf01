// imports_test: holds the direction of imports that docs/architecture.md draws.

package buildsys

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, for each internal package, the other internal packages its code (not its tests) may import.
var mayImport = map[string][]string{
	"graph":      {},
	"dockerfile": {},
	"cache":      {},
	"builddir":   {"cache"},
	"progress":   {},
	"rpm":        {},
	"manifest":   {},
	"uefi":       {},
	"pgp":        {},
	"sbkeys":     {"uefi", "pgp"},
	"workspace":  {"manifest", "graph"},
	"image":      {"manifest", "uefi", "pgp"},
	"plan":       {"builddir", "workspace", "manifest", "graph", "image", "dockerfile"},
	"gomod":      {},
	"codebuild":  {},
	"fetch":      {"manifest", "progress", "gomod"},
	"lint":       {"workspace", "manifest", "graph"},
	"remote":     {"cache"},
	"kit":        {"manifest", "cache", "remote"},
	"doctor":     {},
	"scheduler":  {},
	"executor":   {"scheduler", "builddir", "plan", "manifest", "progress", "cache", "remote"},
	"buildkit":   {"plan", "progress"},
	"vm":         {"image", "uefi"},
	"buildtest":  {"plan", "progress", "workspace"},
	"cli": {
		"plan", "workspace", "manifest", "graph", "image",
		"fetch", "gomod", "builddir", "executor", "scheduler", "buildkit", "doctor", "progress", "vm", "cache", "remote", "lint", "rpm", "sbkeys", "uefi", "codebuild", "kit",
	},
	"bench":   {"plan", "progress", "buildkit", "cli"},
	"cibench": {"plan", "workspace", "manifest"},
	"e2e":     {"image", "vm"},
}

func TestImportDirection(t *testing.T) {
	packages, err := filepath.Glob("internal/*")
	if err != nil || len(packages) == 0 {
		t.Fatalf("no internal packages found: %v", err)
	}
	for _, dir := range packages {
		name := filepath.Base(dir)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("internal/%s is not in the table: say which packages it may import", name)
			continue
		}
		for file, imports := range internalImports(t, dir) {
			for _, imported := range imports {
				if !slices.Contains(allowed, imported) {
					t.Errorf("%s imports internal/%s; internal/%s may import only %q", file, imported, name, allowed)
				}
			}
		}
	}
}

// internalImports returns the internal packages that each non-test file of dir imports.
func internalImports(t *testing.T, dir string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range syntax.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if name, ok := strings.CutPrefix(path, "buildsys/internal/"); ok {
				found[file] = append(found[file], name)
			}
		}
	}
	return found
}

// readers are the libraries of Docker and BuildKit that read text and speak to nobody: what a Dockerfile says is no engine's
// business alone.
var readers = []string{
	"github.com/moby/buildkit/frontend/dockerfile/command",
	"github.com/moby/buildkit/frontend/dockerfile/instructions",
	"github.com/moby/buildkit/frontend/dockerfile/linter",
	"github.com/moby/buildkit/frontend/dockerfile/parser",
	"github.com/moby/buildkit/frontend/dockerfile/shell",
	"github.com/moby/buildkit/util/stack",
	"github.com/moby/buildkit/util/suggest",
	"github.com/docker/go-units",
	"github.com/moby/docker-image-spec/specs-go/v1",
	"github.com/moby/patternmatcher",
	"github.com/moby/patternmatcher/ignorefile",
}

// TestOnlyBuildkitKnowsDocker looks at everything that each package pulls in, not only at what it names itself.
func TestOnlyBuildkitKnowsDocker(t *testing.T) {
	entries, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "buildkit", "cli", "bench": // cli wires buildkit in; bench times it
			continue
		}
		out, err := exec.Command("go", "list", "-deps", "./internal/"+entry.Name()).CombinedOutput()
		if err != nil {
			t.Errorf("go list -deps internal/%s: %v\n%s", entry.Name(), err, out)
			continue
		}
		for line := range strings.Lines(string(out)) {
			if (strings.Contains(line, "docker/") || strings.Contains(line, "moby/")) && !slices.Contains(readers, strings.TrimSpace(line)) {
				t.Errorf("internal/%s pulls in %s; only internal/buildkit may", entry.Name(), strings.TrimSpace(line))
			}
		}
	}
}
