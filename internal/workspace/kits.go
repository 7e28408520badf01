// kits: the kits of a tree, their contents, and Twoliter.toml.

package workspace

import (
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/manifest"
)

const (
	kitsDir     = "kits"
	projectFile = "Twoliter.toml"
	// kitPrefix begins the names of kits among dependencies and in graphs; no package's name
	// contains a slash.
	kitPrefix = "kit/"
)

// Kit is one directory below kits/.
type Kit struct {
	manifest.Kit
	Dir           string   // slash path relative to the root: "kits/core-kit"
	BuildRequires []string // packages and kits, as for a Package
}

// KitNode returns the name of a kit among dependencies and in graphs.
func KitNode(name string) string { return kitPrefix + name }

// IsKit reports whether a name among dependencies or in a graph is that of a kit, and returns the
// kit's name.
func IsKit(node string) (name string, ok bool) { return strings.CutPrefix(node, kitPrefix) }

// Packages returns the names that are those of packages, not of kits.
func Packages(nodes []string) []string {
	return slices.DeleteFunc(slices.Clone(nodes),
		func(n string) bool { return strings.HasPrefix(n, kitPrefix) })
}

// KitNames returns the names of all kits, sorted.
func (w *Workspace) KitNames() []string { return slices.Sorted(maps.Keys(w.Kits)) }

// KitContents returns the packages whose RPMs are in a kit, sorted: all that its
// [build-dependencies] lead to by either kind of dependency without passing through another kit.
func (w *Workspace) KitContents(name string) []string {
	var out []string
	seen := map[string]bool{}
	for todo := slices.Clone(w.Kits[name].BuildRequires); len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		p := w.Packages[next]
		if seen[next] || p == nil {
			continue
		}
		seen[next] = true
		out = append(out, next)
		todo = append(append(todo, p.BuildRequires...), p.Requires...)
	}
	slices.Sort(out)
	return out
}

// KitsBelow returns the kits that a kit depends on, directly or not, sorted.
func (w *Workspace) KitsBelow(name string) []string {
	var out []string
	for _, node := range w.Graph().BuildClosure(KitNode(name)) {
		if kit, ok := IsKit(node); ok {
			out = append(out, kit)
		}
	}
	return out
}

// addKits adds the kits to a graph of packages. A step that depends on a kit waits for its packages
// and may see their RPMs, so a kit is a node like any other.
func (w *Workspace) addKits(g *graph.Graph) {
	for _, name := range w.KitNames() {
		g.AddNode(KitNode(name))
		for _, dep := range w.Kits[name].BuildRequires {
			g.AddBuild(KitNode(name), dep)
		}
	}
}

// loadKits reads the kits of the tree. Like packages they are kept by directory until resolved.
func (l *loader) loadKits() {
	l.kits = map[string]*Kit{}
	for _, dir := range l.list(kitsDir) {
		k := &Kit{Dir: path.Join(kitsDir, dir)}
		file := path.Join(k.Dir, manifestFile)
		if !l.exists(file) {
			continue
		}
		data, ok := l.read(file)
		if !ok {
			continue
		}
		parsed, problems := manifest.ParseKit(file, data, l.rules)
		k.Kit = *parsed
		l.problems = append(l.problems, problems...)
		l.kits[dir] = k
	}
}

// namedKits returns the kits by name.
func (l *loader) namedKits() map[string]*Kit {
	out := map[string]*Kit{}
	for _, dir := range slices.Sorted(maps.Keys(l.kits)) {
		k := l.kits[dir]
		if other := out[k.Name]; other != nil && k.Name != "" {
			l.problem(k.File, k.NameLine, "give one of them another kit-name",
				"the kit in %s is also named %q", other.Dir, k.Name)
		}
		out[k.Name] = k
	}
	return out
}

func (l *loader) kitNames() []string { return slices.Collect(maps.Keys(l.kits)) }

// kitTarget follows a dependency whose path leads to kits/.
func (l *loader) kitTarget(file, dir string, d manifest.Dependency) (string, bool) {
	at := path.Join(dir, d.Path)
	k := l.kits[path.Base(at)]
	switch {
	case at == dir:
		l.problem(file, d.Line, "remove the dependency", "kit %s depends on itself", path.Base(at))
		return "", false
	case k == nil:
		hint := ""
		if near := l.near(path.Base(at), l.kitNames); near != "" {
			hint = "did you mean " + path.Join(kitsDir, near) + "?"
		}
		l.problem(file, d.Line, hint, "dependency %q: there is no kit %s", d.Key, at)
		return "", false
	case k.Crate != "" && k.Crate != d.Key:
		l.problem(file, d.Line, "write "+k.Crate+" = { path = \""+d.Path+"\" }",
			"dependency %q leads to %s, whose crate is named %q", d.Key, at, k.Crate)
		return "", false
	}
	return KitNode(k.Name), true
}

// project reads Twoliter.toml. It returns nil if there is none, or one from before kits.
func (l *loader) project() *manifest.Project {
	if !l.exists(projectFile) {
		return nil
	}
	if l.rules.Generation == manifest.Twoliter {
		l.early()
		return nil
	}
	data, ok := l.read(projectFile)
	if !ok {
		return nil
	}
	p, problems := manifest.ParseProject(projectFile, data, l.rules)
	l.problems = append(l.problems, problems...)
	return p
}

// early reads Twoliter.toml from before kits.
func (l *loader) early() *manifest.EarlyProject {
	data, ok := l.read(projectFile)
	if !ok {
		return nil
	}
	p, problems := manifest.ParseEarlyProject(projectFile, data, l.rules)
	l.problems = append(l.problems, problems...)
	return p
}

// ReadEarlyProject reads only Twoliter.toml of a tree from before kits. It returns nil if there is
// none, or one with mistakes, which loading the tree reports.
func ReadEarlyProject(tree fs.FS) *manifest.EarlyProject {
	l := &loader{tree: tree}
	l.judge(ByTree)
	if l.rules.Generation != manifest.Twoliter {
		return nil
	}
	p := l.early()
	if errs, _ := l.problems.Split(); len(errs) > 0 {
		return nil
	}
	return p
}

// ReadProject reads only Twoliter.toml. It returns nil if there is none, or one with mistakes.
func ReadProject(tree fs.FS) *manifest.Project {
	l := &loader{tree: tree}
	l.judge(ByTree)
	p := l.project()
	if errs, _ := l.problems.Split(); len(errs) > 0 {
		return nil
	}
	return p
}

// version returns the version of the tree, from Twoliter.toml or Release.toml; if both have one,
// they must agree.
func (l *loader) version(p *manifest.Project) manifest.Release {
	if p == nil {
		return l.release()
	}
	if !l.exists(releaseFile) {
		return manifest.Release{Version: p.ReleaseVersion}
	}
	r := l.release()
	if r.Version != "" && p.ReleaseVersion != "" && r.Version != p.ReleaseVersion {
		l.problem(projectFile, 0, "write the same version into both, or remove "+releaseFile+
			", which is not needed beside "+projectFile,
			"release-version is %q, but version in %s is %q", p.ReleaseVersion, releaseFile, r.Version)
	}
	return r
}

// KitIn returns the kit whose directory is dir, a slash path relative to the root, or contains it;
// empty if there is none.
func (w *Workspace) KitIn(dir string) string {
	for name, k := range w.Kits {
		if dir == k.Dir || strings.HasPrefix(dir, k.Dir+"/") {
			return name
		}
	}
	return ""
}

// Below returns dir as a slash path relative to root; empty if dir is not below root.
func Below(root, dir string) string {
	rel, err := filepath.Rel(realPath(root), realPath(dir))
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}
