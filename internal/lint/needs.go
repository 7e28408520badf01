// needs: compares BuildRequires, Requires and included-packages with the closures that the
// manifests declare.

package lint

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// brokenNeed is a Requires that cannot be met where its RPM is installed: "building curl" or
// "variant qemu-dev".
type brokenNeed struct {
	pkg  string // the package whose spec has it
	need Need
}

// checkBuild follows what dnf would install to build a package.
func (l *linter) checkBuild(name string) {
	visible := set(l.graph.BuildClosure(name))
	var met []Need
	for _, need := range l.specs[name].BuildRequires {
		if l.full(name) {
			break
		}
		providers := l.packagesOf(need.Name)
		switch {
		case slices.ContainsFunc(providers, func(p string) bool { return visible[p] }):
			met = append(met, need)
		case len(providers) == 0:
			l.noProvider(name, need, "to build")
		default:
			level := l.level(need, visible)
			if l.ws.Foreign() && l.nobodys(name) { // nobody has ever built it
				level = Warning
			}
			file := l.ws.Packages[name].File
			if slices.Equal(providers, []string{name}) {
				l.find(of(CheckBuildNeeds, name), level, l.specFile(name), need.Line, "remove the line",
					"needs %s to build, which the package itself provides", need.Name)
				continue
			}
			hint := fmt.Sprintf("add %s to [build-dependencies] in %s",
				l.entries("packages/", others(providers, name)), file)
			l.find(of(CheckBuildNeeds, name), level, l.specFile(name), need.Line, hint,
				"needs %s to build, which %s provides, but its build-dependencies do not lead there",
				need.Name, packages(others(providers, name)))
			l.fix(file, "build-dependencies", "packages/", others(providers, name))
		}
	}
	l.install(met, visible, "building "+name)
}

// nobodys reports whether no kit and no variant has a package, though there are some.
func (l *linter) nobodys(name string) bool {
	var roots []string
	for _, kit := range l.ws.KitNames() {
		roots = append(roots, workspace.KitNode(kit))
	}
	for _, v := range l.ws.Variants {
		roots = append(append(roots, v.BuildRequires...), v.Requires...)
	}
	return len(roots) > 0 && !slices.Contains(l.graph.Closure(roots...), name) &&
		!slices.Contains(roots, name)
}

func others(names []string, but string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == but })
}

// level returns the level of a need that the visible packages do not meet: an error, unless its
// condition may be false or one of these packages may have RPMs that only rpm can determine. A nil
// visible means all packages of the tree.
func (l *linter) level(need Need, visible map[string]bool) Level {
	if slices.ContainsFunc(l.uncertain, func(name string) bool {
		return visible == nil || visible[name]
	}) {
		return Warning
	}
	if need.Conditional {
		return Warning
	}
	return Error
}

const atRunTime = "at run time"

// noProvider reports a name that no RPM of the tree provides. It judges only names of the OS:
// others may be the SDK's, or found by rpmbuild in a package's files, such as pkgconfig(zlib).
func (l *linter) noProvider(pkg string, need Need, when string) {
	if l.full(pkg) || l.others || l.prefix == "" || !strings.HasPrefix(need.Name, l.prefix) ||
		strings.ContainsAny(need.Name, "()/*") {
		return
	}
	what := of(CheckBuildNeeds, pkg)
	if when == atRunTime {
		what.check = CheckRunNeeds
	}
	if missing := l.notMade(need.Name); missing != "" {
		l.find(what, l.level(need, nil), l.specFile(pkg), need.Line, "add a %files section there",
			"needs %s %s, which is never made: %s has no %%files section for it", need.Name, when, missing)
		return
	}
	if when == atRunTime && l.handedOn(pkg) {
		l.find(what, Warning, l.specFile(pkg), need.Line,
			"an image made with its kit must get it from elsewhere",
			"needs %s %s, which no package of this tree provides", need.Name, when)
		return
	}
	l.find(what, l.level(need, nil), l.specFile(pkg), need.Line, l.nearestRPM(need.Name),
		"needs %s %s, which no package provides", need.Name, when)
}

// notMade returns the spec that declares an RPM but has no %files section for it, or "".
func (l *linter) notMade(rpm string) string {
	if name := l.unmade[rpm]; name != "" {
		return l.specFile(name)
	}
	return ""
}

// install follows Requires from the requested names, and records each that no visible package
// provides. A name that several visible RPMs provide is not followed, because dnf chooses.
func (l *linter) install(asked []Need, visible map[string]bool, where string) {
	seen := map[*RPM]bool{}
	todo := slices.Clone(asked)
	for len(todo) > 0 && l.work.ctx.Err() == nil {
		need := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		var found []owned
		for _, o := range l.providers[need.Name] {
			if visible[o.pkg] {
				found = append(found, o)
			}
		}
		if len(found) != 1 || seen[found[0].rpm] {
			continue
		}
		seen[found[0].rpm] = true
		for _, next := range found[0].rpm.Requires {
			providers := l.packagesOf(next.Name)
			if len(providers) == 0 || slices.ContainsFunc(providers,
				func(p string) bool { return visible[p] }) {
				todo = append(todo, next)
				continue
			}
			at := brokenNeed{found[0].pkg, next}
			l.broken[at] = append(l.broken[at], where)
		}
	}
}

// checkRequires reports each Requires that [dependencies] do not lead to: an error if a build or an
// image breaks, else a warning, because it works only as long as other packages happen to bring
// what is missing.
func (l *linter) checkRequires() {
	for _, name := range l.ws.PackageNames() {
		closure := l.together(name)
		for _, rpm := range l.specs[name].RPMs {
			if !l.made(name, rpm) {
				continue
			}
			for _, need := range rpm.Requires {
				providers := l.packagesOf(need.Name)
				switch {
				case len(providers) == 0:
					l.noProvider(name, need, atRunTime)
				case !slices.ContainsFunc(providers, func(p string) bool { return closure[p] }):
					l.undeclared(name, need, providers, closure)
				}
			}
		}
	}
}

// handedOn reports whether a package is in a kit, so that other trees may make images with it.
func (l *linter) handedOn(name string) bool {
	return slices.ContainsFunc(l.ws.KitNames(),
		func(kit string) bool { return slices.Contains(l.ws.KitContents(kit), name) })
}

// together returns the packages that are present wherever a package is installed: those that its
// manifest leads to, those of the kits that contain it, and in trees whose images are made of
// everything, all.
func (l *linter) together(name string) map[string]bool {
	if l.ws.WholeTree {
		return set(l.ws.PackageNames())
	}
	closure := set(l.graph.Closure(name))
	for _, kit := range l.ws.KitNames() {
		if contents := l.ws.KitContents(kit); slices.Contains(contents, name) {
			maps.Copy(closure, set(contents))
			maps.Copy(closure, set(l.graph.BuildClosure(workspace.KitNode(kit))))
		}
	}
	return closure
}

func (l *linter) undeclared(name string, need Need, providers []string, closure map[string]bool) {
	if l.full(name) {
		return
	}
	where := l.broken[brokenNeed{name, need}]
	p := l.ws.Packages[name]
	hint := fmt.Sprintf("add %s to [dependencies] in %s", l.entries(p.Dir, providers), p.File)
	exact := !slices.ContainsFunc(providers,
		func(p string) bool { return slices.Contains(l.graph.Closure(p), name) })
	if !exact {
		hint = fmt.Sprintf("%s leads to %s, so adding it there would make a cycle: name it where %[2]s "+
			"is needed", packages(providers), name)
	}
	text := fmt.Sprintf("needs %s at run time, which %s provides, but its dependencies do not lead "+
		"there", need.Name, packages(providers))
	for _, p := range providers {
		l.brought[p] = true
	}
	if len(where) == 0 {
		l.find(of(CheckRunNeeds, name), Warning, l.specFile(name), need.Line, hint,
			"%s; so far other packages bring it wherever it is needed", text)
		if exact {
			l.fix(p.File, "dependencies", p.Dir, providers)
		}
		return
	}
	l.find(of(CheckRunNeeds, name), l.level(need, closure), l.specFile(name), need.Line,
		hint, "%s; this breaks %s", text,
		some(where))
	if exact {
		l.fix(p.File, "dependencies", p.Dir, providers)
	}
}

// some lists the first few of many names.
func some(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:2], ", "), len(names)-2)
}

// packages returns "package a" or "each of the packages a, b".
func packages(names []string) string {
	if len(names) == 1 {
		return "package " + names[0]
	}
	return "each of the packages " + strings.Join(names, ", ")
}

// checkUnused reports dependencies that no line of the spec uses: builds wait and rebuild for them
// in vain. An entry of [dependencies] also counts as used if the spec of another package needs its
// RPMs without declaring them.
func (l *linter) checkUnused(name string) {
	spec, p := l.specs[name], l.ws.Packages[name]
	if spec.Uncertain {
		return
	}
	var requires []Need
	for _, rpm := range spec.RPMs {
		requires = append(requires, rpm.Requires...)
	}
	builds, runs := l.asked(spec.BuildRequires), l.asked(requires)
	maps.Copy(builds, l.asked(spec.BuildBoolean))
	maps.Copy(runs, l.asked(spec.Boolean))
	openBuild := spec.OpenBuild || l.anyOpen(spec.BuildRequires)
	openRun := spec.OpenRun || l.anyOpen(requires)
	for _, d := range p.BuildDeps {
		if openBuild {
			break
		}
		target := path.Base(path.Join(p.Dir, d.Path))
		if !l.isPackage(p.Dir, d) || builds[target] || l.specs[target].Uncertain {
			continue
		}
		if runs[target] {
			l.useless(of(CheckUnusedNeeds, name), p.File, d.Line, "move it to [dependencies]",
				"build-dependency %s is needed at run time only: no BuildRequires of %s.spec names one "+
					"of its RPMs", d.Key, name)
			continue
		}
		l.useless(of(CheckUnusedNeeds, name), p.File, d.Line, "remove it, or add the BuildRequires",
			"build-dependency %s is not needed: no BuildRequires of %s.spec names one of its RPMs",
			d.Key, name)
	}
	for _, d := range p.Deps {
		target := path.Base(path.Join(p.Dir, d.Path))
		if !openRun && l.isPackage(p.Dir, d) && !runs[target] && !l.brought[target] &&
			!l.specs[target].Uncertain {
			l.useless(of(CheckUnusedNeeds, name), p.File, d.Line, "remove it, or add the Requires",
				"dependency %s is not needed: no Requires of %s.spec names one of its RPMs", d.Key, name)
		}
	}
}

// anyOpen reports whether a need that no spec says it provides may be met by any package: a path,
// or a name that rpmbuild finds in the files of a package, as pkgconfig(zlib).
func (l *linter) anyOpen(needs []Need) bool {
	return slices.ContainsFunc(needs, func(n Need) bool {
		return strings.ContainsAny(n.Name, "/(*") && len(l.providers[n.Name]) == 0
	})
}

// isPackage reports whether a dependency of something in dir leads to a package, not to a kit.
func (l *linter) isPackage(dir string, d manifest.Dependency) bool {
	return path.Dir(path.Join(dir, d.Path)) == "packages"
}

// asked returns the packages that provide any of the names.
func (l *linter) asked(needs []Need) map[string]bool {
	found := map[string]bool{}
	for _, need := range needs {
		for _, o := range l.providers[need.Name] {
			found[o.pkg] = true
		}
	}
	return found
}

// checkVariant checks included-packages, and follows what dnf would install into the image.
func (l *linter) checkVariant(name string) {
	v := l.ws.Variants[name]
	closure := l.graph.Closure(slices.Concat(v.BuildRequires, v.Requires)...)
	visible := set(closure)
	included := subject{CheckIncluded, "variant/" + name}
	var asked []Need
	for i, rpm := range v.IncludedPackages {
		need := Need{Name: l.prefix + rpm, Line: v.IncludedLines[i]}
		asked = append(asked, need)
		providers := l.packagesOf(need.Name)
		switch {
		case slices.ContainsFunc(providers, func(p string) bool { return visible[p] }):
		case len(providers) > 0:
			hint := fmt.Sprintf("add %s to [build-dependencies]", l.entries(v.Dir, providers))
			l.find(included, l.level(need, visible), v.File, need.Line, hint,
				"includes RPM %s, which %s provides, but the variant's dependencies do not lead there",
				need.Name, packages(providers))
			l.fix(v.File, "build-dependencies", v.Dir, providers)
		case l.prefix != "" && !l.others:
			l.find(included, l.level(need, nil), v.File, need.Line, l.nearestRPM(need.Name),
				"includes RPM %s, but no package provides it", need.Name)
		}
	}
	l.install(asked, visible, "variant "+name)
	l.checkOSRelease(name, closure)
	l.checkTwice(name, closure)
}

// checkTwice reports RPMs of the same name from two packages of one image. Packages of different
// images are alternatives and may share names.
func (l *linter) checkTwice(variant string, closure []string) {
	by := map[string]string{}
	for _, pkg := range workspace.Packages(closure) {
		for _, rpm := range l.specs[pkg].RPMs {
			if !rpm.Files {
				continue
			}
			if other, twice := by[rpm.Name]; twice && other != pkg {
				l.find(subject{CheckTwice, "variant/" + variant}, Error, l.specFile(pkg), rpm.Line,
					"rename one of them",
					"RPM %s is also made by package %s, and variant %s has both", rpm.Name, other, variant)
			}
			by[rpm.Name] = pkg
		}
	}
}

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}
