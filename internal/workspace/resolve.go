// resolve: turns dependency paths into names of packages, and finds cycles.

package workspace

import (
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"buildsys/internal/manifest"
)

func segments(p string) iter.Seq[string] { return strings.SplitSeq(p, "/") }

// resolve fills BuildRequires and Requires of everything that was loaded.
func (l *loader) resolve() {
	for _, p := range l.packages {
		p.BuildRequires = l.targets(p.File, p.Dir, p.BuildDeps)
		p.Requires = l.targets(p.File, p.Dir, p.Deps)
	}
	for _, k := range l.kits {
		k.BuildRequires = l.targets(k.File, k.Dir, k.BuildDeps)
	}
	for _, v := range l.variants {
		v.BuildRequires = l.targets(v.File, v.Dir, l.withoutGuests(v))
		v.Requires = l.targets(v.File, v.Dir, v.Deps)
	}
}

// withoutGuests returns the [build-dependencies] of a variant except those that lead to its guests.
// It reports guests that are no such dependency.
func (l *loader) withoutGuests(v *Variant) []manifest.Dependency {
	deps := slices.Clone(v.BuildDeps)
	for _, guest := range v.Guests {
		at := slices.IndexFunc(deps, func(d manifest.Dependency) bool { return d.Key == guest.Crate })
		if at < 0 {
			l.problem(v.File, guest.Line, "add "+guest.Crate+" = { path = \"../NAME\" }",
				"guest %q is none of the [build-dependencies]", guest.Crate)
			continue
		}
		d := deps[at]
		deps = slices.Delete(deps, at, at+1)
		parent, name := path.Split(path.Join(v.Dir, d.Path))
		other := l.variants[name]
		switch {
		case parent != variantsDir+"/" || other == nil:
			l.problem(v.File, d.Line, "", "guest %q: path %q does not lead to a variant", d.Key, d.Path)
		case other.Crate != "" && other.Crate != d.Key:
			l.problem(v.File, d.Line, "", "guest %q leads to %s, whose crate is named %q", d.Key,
				other.Dir, other.Crate)
		}
	}
	return deps
}

// targets returns the packages and kits that a dependency table of the manifest in dir leads to.
func (l *loader) targets(file, dir string, deps []manifest.Dependency) []string {
	var names []string
	for _, d := range deps {
		if name, ok := l.target(file, dir, d); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// target follows the path of one dependency. As for cargo, the key must be the name of the crate
// found there.
func (l *loader) target(file, dir string, d manifest.Dependency) (string, bool) {
	at := path.Join(dir, d.Path)
	parent, name := path.Split(at)
	if parent == kitsDir+"/" && !strings.HasPrefix(d.Path, "/") && !strings.Contains(d.Path, "\\") {
		return l.kitTarget(file, dir, d)
	}
	switch {
	case l.foreign && parent != packagesDir+"/" && l.exists(path.Join(at, manifestFile)):
		l.noPackage(file, d, at)
		return "", false
	case strings.HasPrefix(d.Path, "/") || strings.Contains(d.Path, "\\") || parent != packagesDir+"/":
		hint := "write path = " + fmt.Sprintf("%q", l.pathTo(dir, "<name>"))
		l.problem(file, d.Line, hint, "dependency %q: path %q does not lead to a package", d.Key, d.Path)
		return "", false
	case at == dir:
		l.problem(file, d.Line, "remove the dependency", "%s depends on itself", name)
		return "", false
	case l.packages[name] == nil:
		l.problem(file, d.Line, l.nearestPackage(dir, d, name), "dependency %q: there is no package %s",
			d.Key, at)
		return "", false
	}
	if crate := l.packages[name].Crate; crate != "" && crate != d.Key {
		hint := fmt.Sprintf("write %s = { path = %q }", crate, d.Path)
		l.problem(file, d.Line, hint, "dependency %q leads to %s, whose crate is named %q", d.Key, at,
			crate)
		return "", false
	}
	return name, true
}

// noPackage reports a dependency of a foreign tree on a crate that is not a package. Old trees have
// such a dependency on Bottlerocket's buildsys itself.
func (l *loader) noPackage(file string, d manifest.Dependency, at string) {
	if at != buildsysDir {
		l.tolerate(file, d.Line, "",
			"dependency %q leads to %s, which is not a package: nothing is built for it", d.Key, at)
	}
}

// pathTo returns the path by which a manifest in dir names a package.
func (l *loader) pathTo(dir, name string) string {
	if strings.HasPrefix(dir, packagesDir+"/") {
		return "../" + name
	}
	return "../../" + packagesDir + "/" + name
}

func (l *loader) nearestPackage(dir string, d manifest.Dependency, name string) string {
	if l.hints > maxHints {
		return ""
	}
	names := slices.Sorted(maps.Keys(l.packages))
	for _, other := range names { // the key may be right and the path wrong
		if l.packages[other].Crate == d.Key && path.Join(packagesDir, other) != dir {
			return fmt.Sprintf("did you mean path = %q?", l.pathTo(dir, other))
		}
	}
	near := l.near(name, func() []string { return names })
	if near != "" && path.Join(packagesDir, near) != dir {
		return fmt.Sprintf("did you mean path = %q?", l.pathTo(dir, near))
	}
	return ""
}

// cycles reports the cycles over both kinds of dependency: cargo allows none, and no build could
// begin. It visits every package and kit once, so of cycles that share nodes it may report only
// some.
func (l *loader) cycles() {
	const unseen, onPath, done = 0, 1, 2
	state := map[string]int{}
	nodes := l.nodes()
	var trail []string
	var walk func(name string)
	walk = func(name string) {
		state[name] = onPath
		trail = append(trail, name)
		for _, next := range slices.Sorted(slices.Values(nodes[name].needs)) {
			switch state[next] {
			case unseen:
				walk(next)
			case onPath:
				l.cycle(nodes, trail[slices.Index(trail, next):])
			}
		}
		trail = trail[:len(trail)-1]
		state[name] = done
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if state[name] == unseen {
			walk(name)
		}
	}
}

// node is a package or kit in the search for cycles.
type node struct {
	file, dir string
	needs     []string
	deps      []manifest.Dependency
}

func (l *loader) nodes() map[string]node {
	nodes := make(map[string]node, len(l.packages)+len(l.kits))
	for name, p := range l.packages {
		nodes[name] = node{p.File, p.Dir, slices.Concat(p.BuildRequires, p.Requires),
			slices.Concat(p.BuildDeps, p.Deps)}
	}
	for _, k := range l.kits {
		nodes[KitNode(k.Name)] = node{k.File, k.Dir, k.BuildRequires, k.BuildDeps}
	}
	return nodes
}

// cycle reports one cycle, beginning with its alphabetically first package or kit, at its line.
func (l *loader) cycle(nodes map[string]node, names []string) {
	first := slices.Index(names, slices.Min(names))
	names = slices.Concat(names[first:], names[:first])
	names = append(names, names[0])
	n, what := nodes[names[0]], "packages"
	line := 0
	for _, d := range n.deps {
		if path.Join(n.dir, d.Path) == nodes[names[1]].dir {
			line = d.Line
			break
		}
	}
	if slices.ContainsFunc(names,
		func(name string) bool { return strings.HasPrefix(name, kitPrefix) }) {
		what = "packages and kits"
	}
	l.problem(n.file, line, "remove one of these dependencies",
		"%s depend on each other in a cycle: %s", what, strings.Join(names, " → "))
}
