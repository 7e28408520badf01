// Package lint compares the spec files of a tree with its manifests. A build sees only what the manifests declare, so a
// spec that needs more fails; lint says so before anything is built, and names the line to add.
//
// Who provides what is followed the way dnf would: from what is asked for (BuildRequires of a package, included-packages
// of a variant) over the Requires of each RPM, inside the closure that the build or image sees.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Level says how bad a finding is.
type Level string

// The levels. An error breaks a build or an image; a warning is a manifest that says too much or too little.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// Finding is one disagreement.
type Finding struct {
	Level Level
	manifest.Problem
}

// String is the finding on one line, as a mistake in a manifest is shown.
func (f Finding) String() string {
	p := f.Problem
	if f.Level == Warning {
		p.Msg = "warning: " + p.Msg
	}
	return p.String()
}

// Tree looks at a whole tree. RPM macros are those of the tree's macros/, or of fallback when it has none. The error is
// that of a file which cannot be read.
func Tree(ws *workspace.Workspace, fallback fs.FS) ([]Finding, error) {
	base, err := readMacros(ws.FS, fallback)
	if err != nil {
		return nil, err
	}
	l := &linter{ws: ws, graph: ws.Graph(), specs: map[string]*Spec{}, providers: map[string][]owned{}}
	if prefix := known(base.expand("%{_cross_os}")); len(prefix) == 1 {
		l.prefix = prefix[0]
	}
	for _, name := range ws.PackageNames() {
		file := l.specFile(name)
		data, err := fs.ReadFile(ws.FS, file)
		if err != nil {
			return nil, fmt.Errorf("read a spec: %w", err)
		}
		l.add(name, ParseSpec(string(data), base))
	}
	for _, name := range ws.PackageNames() {
		l.checkSources(name)
		l.checkFiles(name)
		l.checkNames(name)
		l.checkBuild(name)
		l.checkUnused(name)
	}
	for _, name := range ws.VariantNames() {
		l.checkVariant(name)
	}
	l.checkRequires()
	return sorted(l.findings), nil
}

// readMacros reads macros/shared and the files of the architectures, whose values are alternatives to each other.
func readMacros(tree, fallback fs.FS) (macros, error) {
	base := macros{}
	entries, err := fs.ReadDir(tree, "macros")
	if errors.Is(err, fs.ErrNotExist) && fallback != nil {
		tree = fallback
		entries, err = fs.ReadDir(tree, "macros")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return base, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read RPM macros: %w", err)
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { // shared first: the others go on from it
		return cmp.Compare(b2i(a.Name() != "shared"), b2i(b.Name() != "shared"))
	})
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		data, err := fs.ReadFile(tree, path.Join("macros", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read RPM macros: %w", err)
		}
		base.read(string(data), e.Name() != "shared")
	}
	return base, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// linter holds a tree's specs and what was found.
type linter struct {
	ws        *workspace.Workspace
	graph     *graph.Graph
	prefix    string // of RPM names: "skiff-"; empty when no macro says
	specs     map[string]*Spec
	providers map[string][]owned // by RPM name and by everything provided
	broken    []breakage
	findings  []Finding
}

// owned is an RPM with the package that makes it.
type owned struct {
	pkg string
	rpm *RPM
}

func (l *linter) add(name string, spec *Spec) {
	l.specs[name] = spec
	for i := range spec.RPMs {
		rpm := &spec.RPMs[i]
		if !l.made(name, *rpm) {
			continue
		}
		for _, provided := range append([]string{rpm.Name}, rpm.Provides...) {
			if !slices.ContainsFunc(l.providers[provided], func(o owned) bool { return o.rpm == rpm }) {
				l.providers[provided] = append(l.providers[provided], owned{name, rpm})
			}
		}
	}
}

// made says whether rpmbuild makes an RPM that a package's spec declares.
func (l *linter) made(name string, rpm RPM) bool { return rpm.Files || l.specs[name].Uncertain }

func (l *linter) specFile(name string) string {
	return path.Join(l.ws.Packages[name].Dir, name+".spec")
}

func (l *linter) find(level Level, file string, line int, hint, format string, args ...any) {
	l.findings = append(l.findings, Finding{level, manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint}})
}

// sorted returns the findings by file, line and text, each once.
func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Msg, b.Msg), cmp.Compare(a.Level, b.Level))
	})
	return slices.Compact(findings)
}

// packagesOf returns the packages that provide a name, sorted.
func (l *linter) packagesOf(name string) []string {
	var packages []string
	for _, o := range l.providers[name] {
		packages = append(packages, o.pkg)
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// entry is the manifest line that makes a package a dependency of something in dir.
func (l *linter) entry(dir, pkg string) string {
	up := "../"
	if !strings.HasPrefix(dir, "packages/") {
		up = "../../packages/"
	}
	p := l.ws.Packages[pkg]
	return fmt.Sprintf("%s = { path = %q }", p.Crate, up+path.Base(p.Dir))
}

// entries is the lines for any of several packages: one is enough.
func (l *linter) entries(dir string, packages []string) string {
	var lines []string
	for _, p := range packages {
		lines = append(lines, l.entry(dir, p))
	}
	return strings.Join(lines, " or ")
}

// nearestRPM is the hint for a name that nobody provides.
func (l *linter) nearestRPM(name string) string {
	var names []string
	for provided := range l.providers {
		names = append(names, strings.TrimPrefix(provided, l.prefix))
	}
	if near := manifest.Nearest(strings.TrimPrefix(name, l.prefix), names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
