// Package lint compares the spec files of a tree with its manifests, as package workspace loaded
// them. A build sees only what the manifests declare, so a spec that needs more fails; lint reports
// that before anything is built, and names the line to add.
//
// It follows providers as dnf would: from BuildRequires or included-packages over the Requires of
// each RPM, inside the closure that the build or image sees.
package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Level is the severity of a finding.
type Level string

// The levels. An error breaks a build or an image; a warning is a manifest that declares too much
// or too little.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// Check is what found something. Its name is for programs and does not change.
type Check string

// The checks.
const (
	CheckReadable      Check = "readable"         // rpmbuild can read the spec
	CheckLineEnds      Check = "line-ends"        // of Unix
	CheckSources       Check = "sources"          // each Source and Patch is there
	CheckPatches       Check = "patches"          // that are applied have a number
	CheckBuildNeeds    Check = "build-needs"      // BuildRequires are met by build-dependencies
	CheckRunNeeds      Check = "run-needs"        // Requires are met where an RPM is installed
	CheckIncluded      Check = "included"         // RPMs that an image includes are made
	CheckOSRelease     Check = "os-release"       // an image has it
	CheckTwice         Check = "twice"            // an image has each RPM from one package
	CheckNames         Check = "names"            // of RPMs begin with the prefix
	CheckInstalled     Check = "installed"        // files are in the sysroot and have known owners
	CheckArchives      Check = "archives"         // the SDK can unpack the sources
	CheckUnusedFiles   Check = "unused-files"     // of a package are named by its spec
	CheckUnusedNeeds   Check = "unused-needs"     // dependencies are used
	CheckIgnoredInTree Check = "ignored"          // the tree's own program ignores nothing
	CheckInvalidInTree Check = "invalid-manifest" // manifests can be read
	CheckAdvisories    Check = "advisories"       // have their form, and name what is there
)

// certain are the checks whose errors no build can survive. Those of the others may show only in
// an image, or elsewhere.
var certain = map[Check]bool{CheckReadable: true, CheckSources: true, CheckPatches: true,
	CheckBuildNeeds: true,
	CheckIncluded:   true, CheckOSRelease: true}

// Finding is one disagreement between a spec and a manifest.
type Finding struct {
	Level Level
	Check Check
	// Of is the ID of the step that it is about: "package/bash", "variant/qemu-dev". It is
	// empty for mistakes in manifests.
	Of  string
	Fix Fix // zero if there is no exact one
	manifest.Problem
}

// Certain reports whether the build of what the finding is about must fail.
func (f Finding) Certain() bool { return f.Level == Error && certain[f.Check] }

// String returns the finding on one line, in the form of a mistake in a manifest.
func (f Finding) String() string {
	p := f.Problem
	if f.Level == Warning {
		p.Msg = "warning: " + p.Msg
	}
	return p.String()
}

// maxFile bounds a spec and a file of macros. The largest specs of distributions, of kernels and
// TeX, have less than a megabyte.
const maxFile = 16 << 20

func read(tree fs.FS, name string) ([]byte, error) {
	data, err := confined.ReadIn(tree, name, maxFile)
	if err == nil {
		return data, nil
	}
	if at := new(fs.PathError); errors.As(err, &at) {
		err = at.Err // the problem names the file
	}
	return nil, manifest.Problems{{File: name, Msg: "cannot be read: " + err.Error()}}
}

// Tree checks a whole tree, once for each of the architectures, because macros may differ; without
// any, for all. RPM macros come from the tree's macros/. A tree written for buildsys without a
// recipe of its own has those in fallback as well, and a foreign tree without any the few of the
// SDK's that matter here. Warnings from Load come first in a file. An
// error means that a file could not be read.
func Tree(ctx context.Context, ws *workspace.Workspace, fallback fs.FS, arches ...string) (
	[]Finding, error) {
	if len(arches) == 0 {
		arches = manifest.Architectures()
	}
	texts := map[string]string{}
	var odd []Finding
	for _, name := range ws.PackageNames() {
		file := specFile(ws.Packages[name])
		data, err := read(ws.FS, file)
		if err != nil {
			return nil, err
		}
		text, problem := readable(data)
		if problem != "" {
			odd = append(odd, Finding{Level: Error, Check: CheckReadable, Of: packageStep(name),
				Problem: manifest.Problem{File: file, Msg: problem, Hint: "save it as UTF-8"}})
		}
		if n := strings.Count(text, "\r\n"); n > 0 {
			odd = append(odd, Finding{Level: Error, Check: CheckLineEnds, Of: packageStep(name),
				Fix: Fix{File: file, LF: true},
				Problem: manifest.Problem{File: file, Line: crlfLine(text),
					Msg: fmt.Sprintf("has line ends of Windows (CR LF) on %d of its lines, and shells take "+
						"the CR for a part of the last word", n),
					Hint: "save it with line ends of Unix (LF)"}})
		}
		texts[name] = text
	}
	if ws.Foreign() {
		fallback = nil
	}
	var runs, unused [][]Finding
	var last *linter
	for _, arch := range arches {
		base, err := readMacros(ws.FS, fallback, arch)
		if err != nil {
			return nil, err
		}
		if len(base) == 0 && ws.Foreign() {
			base = macros{"_cross_os": {values: []string{bottlerocketPrefix}},
				"_cross_arch": {values: []string{arch}}}
		}
		l := newLinter(ctx, ws, base, arch)
		l.unzip, l.identified = hasUnzip(ws.FS, fallback), wantsOSRelease(ws)
		l.look(texts)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		runs, unused = append(runs, l.findings), append(unused, l.unused)
		last = l
	}
	advisories := last.checkAdvisories(time.Now())
	findings := slices.Concat(odd, advisories, merge(runs, arches), inAll(unused))
	for _, p := range ws.Warnings {
		p.Warning = false
		findings = append(findings, Finding{Level: Warning, Check: CheckIgnoredInTree, Problem: p,
			Of: stepOf(p.File)})
	}
	return sorted(findings), context.Cause(ctx)
}

// Specs returns the specs of a tree by package, as one architecture has them, and what begins the
// names of its RPMs. Specs that cannot be read are missing.
func Specs(ctx context.Context, ws *workspace.Workspace, fallback fs.FS, arch string) (
	specs map[string]*Spec, prefix string, err error) {
	if ws.Foreign() {
		fallback = nil
	}
	base, err := readMacros(ws.FS, fallback, arch)
	if err != nil {
		return nil, "", err
	}
	if len(base) == 0 && ws.Foreign() {
		base = macros{"_cross_os": {values: []string{bottlerocketPrefix}}}
	}
	specs = map[string]*Spec{}
	for _, name := range ws.PackageNames() {
		data, err := read(ws.FS, specFile(ws.Packages[name]))
		if err != nil {
			continue
		}
		if text, problem := readable(data); problem == "" {
			specs[name] = ParseSpec(ctx, text, base)
		}
	}
	return specs, newLinter(ctx, ws, base, arch).prefix, context.Cause(ctx)
}

// crlfLine returns the number of the first line that ends in CR LF.
func crlfLine(text string) int {
	before, _, _ := strings.Cut(text, "\r\n")
	return strings.Count(before, "\n") + 1
}

// readable returns the text of a spec file, with unknown in place of invalid UTF-8, and why it
// cannot be read at all, or "".
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

// bottlerocketPrefix begins the names of RPMs in trees whose macros are in the SDK: Twoliter has it
// built in.
const bottlerocketPrefix = "bottlerocket-"

func newLinter(ctx context.Context, ws *workspace.Workspace, base macros, arch string) *linter {
	l := &linter{ws: ws, base: base, arch: arch, graph: ws.Graph(), specs: map[string]*Spec{},
		providers: map[string][]owned{}, unmade: map[string]string{},
		work: &work{ctx, maxTreeWork},
		finds: finds{brought: map[string]bool{}, broken: map[brokenNeed][]string{},
			count: map[string]int{}}}
	if prefix := known(base.expand("%{_cross_os}")); len(prefix) == 1 {
		l.prefix = prefix[0]
	}
	l.others = ws.Project != nil && len(ws.Project.Kits) > 0
	return l
}

// look reads the specs and runs every check.
func (l *linter) look(texts map[string]string) {
	names := l.ws.PackageNames()
	for _, name := range names {
		l.add(name, ParseSpec(l.work.ctx, texts[name], l.base))
	}
	for _, name := range names {
		if l.work.ctx.Err() != nil {
			return
		}
		l.checkPatches(name)
		l.checkInstalled(name)
		l.checkArchives(name)
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

// merge joins the findings of all architectures. Findings that differ only in the architecture's
// name become one.
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

// inAll returns the findings of the first run that are also in all others.
func inAll(runs [][]Finding) []Finding {
	in := map[Finding]int{} // in how many runs
	for _, run := range runs {
		for _, f := range sorted(slices.Clone(run)) {
			in[f]++
		}
	}
	return slices.DeleteFunc(slices.Clone(runs[0]), func(f Finding) bool { return in[f] < len(runs) })
}

// readMacros reads the macros that a build has: those of the recipe in fallback, each file followed
// by that of the tree, or if the tree has a recipe of its own, only the tree's.
func readMacros(tree, fallback fs.FS, arch string) (macros, error) {
	dirs := []fs.FS{tree}
	if _, err := fs.Lstat(tree, "Dockerfile"); fallback != nil && errors.Is(err, fs.ErrNotExist) {
		dirs = []fs.FS{fallback, tree}
	}
	base := macros{}
	for _, shared := range []bool{true, false} { // the others build on macros/shared
		for _, dir := range dirs {
			if err := base.readDir(dir, func(name string) bool {
				return (name == "shared") == shared && (name == arch ||
					!slices.Contains(manifest.Architectures(), name))
			}); err != nil {
				return nil, err
			}
		}
	}
	return base, nil
}

// readDir reads the wanted files of macros/, by name.
func (m macros) readDir(tree fs.FS, wanted func(name string) bool) error {
	entries, err := confined.ReadDir(tree, "macros")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errkind.Usagef("read RPM macros: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !wanted(e.Name()) {
			continue
		}
		data, err := read(tree, path.Join("macros", e.Name()))
		if err != nil {
			return err
		}
		m.read(string(data))
	}
	return nil
}

// linter holds a tree's specs and the findings for one architecture.
type linter struct {
	ws        *workspace.Workspace
	base      macros
	arch      string
	graph     *graph.Graph
	prefix    string // of RPM names: "skiff-"; empty if no macro defines it
	specs     map[string]*Spec
	providers map[string][]owned // by RPM name and by everything provided
	others    bool               // external kits may provide RPMs beside those of the tree
	unmade    map[string]string  // RPMs without a %files section, and their packages
	users     *users             // nil until somebody asks
	unzip     bool               // the SDK may have unzip
	// identified says that every image must have /usr/lib/os-release.
	identified bool
	uncertain  []string // packages with such specs
	work       *work
	finds
}

// owned is an RPM with the package that makes it.
type owned struct {
	pkg string
	rpm *RPM
}

func (l *linter) add(name string, spec *Spec) {
	l.specs[name] = spec
	if spec.Uncertain {
		l.uncertain = append(l.uncertain, name)
	}
	if spec.TooLarge {
		l.find(of(CheckReadable, name), Warning, l.specFile(name), 0, "",
			"the spec has more than can be compared with manifests")
	}
	for i := range spec.RPMs {
		rpm := &spec.RPMs[i]
		if !rpm.Files && l.unmade[rpm.Name] == "" {
			l.unmade[rpm.Name] = name
		}
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

// made reports whether rpmbuild makes an RPM that a package's spec declares.
func (l *linter) made(name string, rpm RPM) bool { return rpm.Files || l.specs[name].Uncertain }

func (l *linter) specFile(name string) string { return specFile(l.ws.Packages[name]) }

func specFile(p *workspace.Package) string { return path.Join(p.Dir, p.Name+".spec") }

// subject is what a finding is about, and what found it.
type subject struct {
	check Check
	of    string // the ID of a step
}

func of(check Check, name string) subject { return subject{check, packageStep(name)} }

// stepOf returns the ID of the step that a file belongs to, or "".
func stepOf(file string) string {
	parts := strings.SplitN(file, "/", 3)
	if len(parts) < 3 {
		return ""
	}
	switch parts[0] {
	case "packages":
		return packageStep(parts[1])
	case "variants":
		return "variant/" + parts[1]
	}
	return ""
}

func packageStep(name string) string { return "package/" + name }

func (l *linter) find(s subject, level Level, file string, line int, hint, format string,
	args ...any) {
	l.kept = l.room(s.of)
	if !l.kept {
		return
	}
	l.findings = append(l.findings, Finding{Level: level, Check: s.check, Of: s.of,
		Problem: manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...),
			Hint: hint}})
}

// fix adds the exact fix of what was found last: to make packages, of which there must be one,
// dependencies of what a manifest is for.
func (l *linter) fix(file, table, dir string, packages []string) {
	if len(packages) == 1 && l.kept {
		l.findings[len(l.findings)-1].Fix = Fix{File: file, Table: table,
			Line: l.entry(dir, packages[0])}
	}
}

// useless reports something that is not used, at least on this architecture.
func (l *linter) useless(s subject, file string, line int, hint, format string, args ...any) {
	if !l.room(s.of) {
		return
	}
	l.unused = append(l.unused, Finding{Level: Warning, Check: s.check, Of: s.of,
		Problem: manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...),
			Hint: hint}})
}

// sorted returns the findings by file, line and text, without duplicates.
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

// entry returns the manifest line that makes a package a dependency of something in dir.
func (l *linter) entry(dir, pkg string) string {
	return l.ws.Entry(dir, l.ws.Packages[pkg])
}

// entries returns the lines for several packages, of which one suffices.
func (l *linter) entries(dir string, packages []string) string {
	var lines []string
	for _, p := range packages {
		lines = append(lines, l.entry(dir, p))
	}
	return strings.Join(lines, " or ")
}

// nearestRPM returns the hint for a name that no package provides.
func (l *linter) nearestRPM(name string) string {
	name = strings.TrimPrefix(name, l.prefix)
	if !l.work.take(len(l.providers)) {
		return ""
	}
	var names []string
	for provided := range l.providers {
		names = append(names, strings.TrimPrefix(provided, l.prefix))
	}
	if near := l.nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// nearest is that of manifest, as long as it is not too much work.
func (l *linter) nearest(name string, names []string) string {
	if !l.work.take(len(names) * perName) {
		return ""
	}
	return manifest.Nearest(name, names)
}
