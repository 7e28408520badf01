// Package lint compares the spec files of a tree with its manifests. A build sees only what the
// manifests declare, so a spec that needs more fails; lint says so before anything is built, and
// names the line to add.
//
// Who provides what is followed the way dnf would: from what is asked for (BuildRequires of a
// package, included-packages of a variant) over the Requires of each RPM, inside the closure that
// the build or image sees.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Level says how bad a finding is.
type Level string

// The levels. An error breaks a build or an image; a warning is a manifest that says too much or
// too little.
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

// Tree looks at a whole tree, once for each architecture: macros may differ. RPM macros are those
// of the tree's macros/; of fallback when a tree written for buildsys has none; and those of the
// SDK that matter here in any other. What Load warned of comes first in a file. The error is that
// of a file which cannot be read.
func Tree(ws *workspace.Workspace, fallback fs.FS) ([]Finding, error) {
	texts := map[string]string{}
	var odd []Finding
	for _, name := range ws.PackageNames() {
		file := specFile(ws.Packages[name])
		data, err := fs.ReadFile(ws.FS, file)
		if err != nil {
			return nil, fmt.Errorf("read a spec: %w", err)
		}
		text, problem := readable(data)
		if problem != "" {
			odd = append(odd, Finding{Error, manifest.Problem{File: file, Msg: problem,
				Hint: "save it as UTF-8"}})
		}
		texts[name] = text
	}
	if ws.Foreign() {
		fallback = nil
	}
	var runs, unused [][]Finding
	for _, arch := range manifest.Architectures() {
		base, err := readMacros(ws.FS, fallback, arch)
		if err != nil {
			return nil, err
		}
		if len(base) == 0 && ws.Foreign() {
			base = macros{"_cross_os": {values: []string{ancestorPrefix}},
				"_cross_arch": {values: []string{arch}}}
		}
		l := newLinter(ws, base, arch)
		l.look(texts)
		runs, unused = append(runs, l.findings), append(unused, l.unused)
	}
	findings := slices.Concat(odd, merge(runs, manifest.Architectures()), inAll(unused))
	for _, p := range ws.Warnings {
		p.Warning = false
		findings = append(findings, Finding{Warning, p})
	}
	return sorted(findings), nil
}

// readable returns the text of a spec file, in which what is no UTF-8 is unknown, and what is wrong
// when it cannot be read at all.
func readable(data []byte) (text, problem string) {
	head := string(data[:min(len(data), 4)])
	switch {
	case strings.HasPrefix(head, "\xff\xfe"), strings.HasPrefix(head, "\xfe\xff"),
		strings.IndexByte(head, 0) >= 0:
		return "", "the spec is UTF-16, which rpmbuild cannot read"
	case !utf8.Valid(data):
		return strings.ToValidUTF8(string(data), unknown), ""
	}
	return string(data), ""
}

// ancestorPrefix begins the names of RPMs where the macros are in the SDK: Twoliter itself has it
// built in.
const ancestorPrefix = "bottlerocket-"

func newLinter(ws *workspace.Workspace, base macros, arch string) *linter {
	l := &linter{ws: ws, base: base, arch: arch, graph: ws.Graph(), specs: map[string]*Spec{},
		providers: map[string][]owned{}, brought: map[string]bool{}}
	if prefix := known(base.expand("%{_cross_os}")); len(prefix) == 1 {
		l.prefix = prefix[0]
	}
	l.others = ws.Project != nil && len(ws.Project.Kits) > 0
	return l
}

// look reads the specs and makes every check.
func (l *linter) look(texts map[string]string) {
	names := l.ws.PackageNames()
	for _, name := range names {
		l.add(name, ParseSpec(texts[name], l.base))
	}
	for _, name := range names {
		l.checkSources(name)
		l.checkFiles(name)
		l.checkNames(name)
		l.checkBuild(name)
	}
	for _, name := range l.ws.VariantNames() {
		if l.ws.Variants[name].Supports(l.arch) {
			l.checkVariant(name)
		}
	}
	l.checkRequires()
	for _, name := range names {
		l.checkUnused(name)
	}
}

// merge joins what was found for each architecture. Findings that differ in nothing but its name
// become one.
func merge(runs [][]Finding, arches []string) []Finding {
	general := func(f Finding, arch string) Finding {
		f.Msg, f.Hint = strings.ReplaceAll(f.Msg, arch, "ARCH"), strings.ReplaceAll(f.Hint, arch, "ARCH")
		return f
	}
	found, alike := map[Finding]int{}, map[Finding]int{} // in how many runs
	for i, run := range runs {
		for _, f := range sorted(run) {
			found[f]++
			alike[general(f, arches[i])]++
		}
	}
	var out []Finding
	for i, run := range runs {
		for _, f := range run {
			if g := general(f, arches[i]); found[f] < len(runs) && alike[g] == len(runs) {
				f = g
			}
			out = append(out, f)
		}
	}
	return out
}

// inAll returns the findings of the first run that all others have as well.
func inAll(runs [][]Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(runs[0]), func(f Finding) bool {
		return slices.ContainsFunc(runs[1:], func(run []Finding) bool { return !slices.Contains(run, f) })
	})
}

// readMacros reads macros/shared and the other files, but of those of architectures only the one
// asked for.
func readMacros(tree, fallback fs.FS, arch string) (macros, error) {
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
	// shared first: the others go on from it
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int {
		return cmp.Compare(b2i(a.Name() != "shared"), b2i(b.Name() != "shared"))
	})
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() != arch && slices.Contains(manifest.Architectures(),
			e.Name()) {
			continue
		}
		data, err := fs.ReadFile(tree, path.Join("macros", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read RPM macros: %w", err)
		}
		base.read(string(data))
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
	base      macros
	arch      string
	graph     *graph.Graph
	prefix    string // of RPM names: "skiff-"; empty when no macro says
	specs     map[string]*Spec
	providers map[string][]owned // by RPM name and by everything provided
	others    bool               // there may be more RPMs than those of the tree: in kits of others
	brought   map[string]bool    // packages that some need without declaring it
	broken    []breakage
	findings  []Finding
	unused    []Finding // true only if no architecture has use for it
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

func (l *linter) specFile(name string) string { return specFile(l.ws.Packages[name]) }

func specFile(p *workspace.Package) string { return path.Join(p.Dir, p.Name+".spec") }

func (l *linter) find(level Level, file string, line int, hint, format string, args ...any) {
	l.findings = append(l.findings,
		Finding{level, manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...),
			Hint: hint}})
}

// useless reports what nothing has a use for, at least for this architecture.
func (l *linter) useless(file string, line int, hint, format string, args ...any) {
	l.unused = append(l.unused,
		Finding{Warning, manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...),
			Hint: hint}})
}

// sorted returns the findings by file, line and text, each once.
func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Msg, b.Msg),
			cmp.Compare(a.Level, b.Level))
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
