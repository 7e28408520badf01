// imports_test: enforces the direction of imports drawn in docs/architecture.md.

package buildsys

import (
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, for each internal package, the internal packages that its code (not its tests)
// may import.
var mayImport = map[string][]string{
	"atomicfile": {},
	"errkind":    {},
	"confined":   {},
	"ctxio":      {},
	"cache":      {"atomicfile", "confined", "ctxio", "errkind"},
	"objects":    {"atomicfile", "bytesize", "confined", "errkind", "safetext"},
	"bytesize":   {},
	"network":    {"bytesize"},
	"progress":   {"bytesize", "safetext"},
	"live":       {"bytesize", "progress"},
	"ciservice":  {"progress"},
	"provenance": {"builddir", "cache", "confined", "ctxio", "errkind", "safetext"},
	"builddir":   {"atomicfile", "cache", "confined", "errkind", "progress", "safetext"},
	"safetext":   {},
	"history":    {"atomicfile", "builddir", "confined", "errkind", "progress", "safetext"},
	"diagnosis":  {"progress"},
	"dockerfile": {},
	"git":        {"confined", "safetext"},
	"graph":      {},
	"safetoml":   {},
	"manifest":   {"errkind", "safetoml"},
	"pgp":        {},
	"uefi":       {},
	"image":      {"confined", "ctxio", "errkind", "manifest", "pgp", "uefi"},
	"workspace":  {"confined", "errkind", "graph", "manifest", "safetoml"},
	"plan": {
		"builddir", "confined", "crates", "dockerfile", "errkind", "gomod", "graph", "image",
		"manifest", "safetext", "sbom", "workspace",
	},
	"engine": {"bytesize", "confined", "errkind", "plan", "progress", "safetext"},
	"oci":    {"atomicfile", "cache", "confined", "ctxio"},
	"buildkit": {
		"bytesize", "cache", "confined", "ctxio", "engine", "errkind", "oci", "plan", "progress",
		"safetext",
	},
	"cachedir": {"errkind"},
	"cargo":    {"confined", "errkind", "git", "plan", "workspace"},
	"doctor":   {"atomicfile", "bytesize", "confined", "network", "safetext"},
	"remote": {
		"atomicfile", "bytesize", "cache", "confined", "ctxio", "errkind", "network", "oci",
		"safetext",
	},
	"scheduler": {},
	"executor": {
		"builddir", "cache", "engine", "errkind", "graph", "manifest", "objects", "oci", "plan",
		"progress", "remote", "scheduler",
	},
	"archive": {"confined", "ctxio", "errkind"},
	"gomod":   {"archive"},
	"crates":  {"archive", "ctxio", "errkind", "safetext", "safetoml"},
	"fetch": {
		"archive", "atomicfile", "bytesize", "confined", "crates", "ctxio", "errkind", "git", "gomod",
		"manifest", "network", "progress", "safetext",
	},
	"kit": {
		"atomicfile", "cache", "confined", "ctxio", "errkind", "manifest", "oci", "remote", "safetext",
	},
	"dev":      {"confined", "ctxio", "git", "safetext"},
	"rpm":      {"archive"},
	"debian":   {"archive", "confined", "ctxio", "safetext"},
	"upstream": {"archive", "ctxio", "errkind", "manifest", "rpm", "safetext"},
	"survey":   {"archive", "safetext"},
	"sbkeys":   {"confined", "pgp", "uefi"},
	"sdk": {
		"atomicfile", "bytesize", "cache", "confined", "ctxio", "debian", "errkind", "kit", "plan",
		"progress", "remote", "safetext", "workspace",
	},
	"build": {
		"archive", "atomicfile", "audit", "builddir", "bytesize", "cache",
		"cachedir", "cargo", "confined", "contents", "crates", "ctxio", "debian",
		"dev", "diagnosis", "doctor", "engine", "errkind", "executor", "fetch",
		"git", "gomod", "graph", "history", "image", "kit", "lint", "manifest",
		"network", "objects", "osv", "plan", "progress", "provenance", "remote",
		"rpm", "safetext", "safetoml", "sbkeys", "sbom", "scaffold", "sdk",
		"survey", "upstream", "watch", "workspace",
	},
	"sbom":      {},
	"contents":  {"bytesize", "confined", "errkind", "image", "safetext"},
	"codebuild": {"plan"},
	"telemetry": {"history", "progress", "report", "safetext"},
	"report":    {"bytesize", "graph", "history", "progress", "safetext"},
	"osv":       {"archive", "confined", "errkind", "rpm", "safetext"},
	"audit":     {"lint", "manifest", "osv", "rpm", "safetext"},
	"lint": {"atomicfile", "confined", "errkind", "graph", "manifest", "rpm", "safetoml",
		"workspace"},
	"scaffold": {"confined", "errkind", "lint", "manifest", "survey", "workspace"},
	"settings": {
		"build", "bytesize", "cachedir", "ciservice", "confined", "engine", "errkind", "manifest",
		"remote", "safetoml", "sdk", "workspace",
	},
	"watch": {"confined"},
	"vm":    {"confined", "image", "safetext", "uefi"},
	"cli": {
		"atomicfile", "audit", "build", "builddir", "bytesize", "cache", "cargo", "ciservice",
		"codebuild", "confined", "contents", "doctor", "engine", "errkind", "executor", "git", "graph",
		"history", "image", "lint", "live", "manifest", "objects", "osv", "plan",
		"progress", "provenance", "report", "rpm", "safetext", "sbkeys", "sbom",
		"scaffold", "scheduler", "sdk", "settings", "telemetry",
		"uefi", "vm", "watch", "workspace",
	},
	"treegen":     {},
	"picture":     {},
	"picture/cmd": {"picture"},
	"bench": {
		"buildkit", "buildtest", "buildtest/fakerpm", "cli", "engine", "figures", "oci", "plan",
		"progress", "treegen",
	},
	"bench/cmd":         {"bench", "figures"},
	"buildtest/need":    {},
	"buildtest":         {"buildtest/need", "confined", "engine", "errkind", "plan", "progress"},
	"buildtest/browser": {"buildtest/need"},
	"buildtest/fakerpm": {},
	"cibench":           {"buildtest", "bytesize", "manifest", "plan", "workspace"},
	"cibench/cmd":       {"cibench", "figures"},
	"figures":           {},
	"loopbench":         {"buildtest", "figures"},
	"loopbench/cmd":     {"figures", "loopbench"},
	"e2e":               {},
	"golden":            {},
	"buildtest/bound":   {},
}

func TestImportDirection(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		name, ours := strings.CutPrefix(path.Dir(f.path), "internal/")
		if !ours {
			continue
		}
		allowed, known := mayImport[name]
		if !known && !seen[name] {
			t.Errorf("internal/%s is not in mayImport: add the packages that it may import", name)
		}
		seen[name] = true
		for _, spec := range f.Imports {
			quoted, _ := strconv.Unquote(spec.Path.Value)
			imported, ours := strings.CutPrefix(quoted, "buildsys/internal/")
			if ours && known && !f.isTest() && !slices.Contains(allowed, imported) {
				t.Errorf("%s imports internal/%s; internal/%s may import only %q", f.path, imported, name,
					allowed)
			}
		}
	}
	for name := range mayImport {
		if !seen[name] {
			t.Errorf("internal/%s is in mayImport but does not exist: remove it", name)
		}
	}
}

// TestStoreys holds mayImport against the table of docs/architecture.md: no import leads upwards.
func TestStoreys(t *testing.T) {
	storeys := storeys(t)
	for name, allowed := range mayImport {
		top, _, _ := strings.Cut(name, "/")
		if _, ok := storeys[top]; !ok {
			t.Errorf("docs/architecture.md does not have %s in its table", top)
		}
		for _, imported := range allowed {
			below, _, _ := strings.Cut(imported, "/")
			if storeys[below] < storeys[top] {
				t.Errorf("%s may import %s, which docs/architecture.md has above it", name, imported)
			}
		}
	}
}

// storeys reads the table of docs/architecture.md: the number of each package's storey, from the
// top. What is beside the house looks at all of it and has 0.
func storeys(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "| package | job |")
	table, _, _ = strings.Cut(table, "\n\n")
	storey, found := 0, map[string]int{}
	for line := range strings.Lines(table) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		switch {
		case strings.HasPrefix(cell, "**beside"):
			storey = 0
		case strings.HasPrefix(cell, "**"):
			storey++
		case strings.HasPrefix(cell, "`"):
			for name := range strings.SplitSeq(cell, ", ") {
				found[strings.Trim(name, "`")] = storey
			}
		}
	}
	for name := range found {
		if _, ok := mayImport[name]; !ok {
			t.Errorf("docs/architecture.md has %s in its table, but there is no such package", name)
		}
	}
	return found
}

// readers are the libraries of Docker and BuildKit that only parse text. Packages other than
// buildkit may use them, because not only engines read Dockerfiles.
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

// TestOnlyBuildkitKnowsDocker checks all that each package imports, directly or not.
func TestOnlyBuildkitKnowsDocker(t *testing.T) {
	entries, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "buildkit", "bench": // bench measures buildkit
			continue
		}
		out, err := exec.Command("go", "list", "-deps", "./internal/"+entry.Name()).CombinedOutput()
		if err != nil {
			t.Errorf("go list -deps internal/%s: %v\n%s", entry.Name(), err, out)
			continue
		}
		for line := range strings.Lines(string(out)) {
			if (strings.Contains(line, "docker/") || strings.Contains(line, "moby/")) &&
				!slices.Contains(readers, strings.TrimSpace(line)) {
				t.Errorf("internal/%s imports %s; only internal/buildkit may", entry.Name(),
					strings.TrimSpace(line))
			}
		}
	}
}
