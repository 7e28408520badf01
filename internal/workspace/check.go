// check: what a package must fulfil by itself, regardless of the others.

package workspace

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
)

// checkName reports a package that is not in the directory of its name.
func (l *loader) checkName(p *Package, dirName string) {
	if p.Name != dirName && manifest.ValidName(p.Name) {
		hint := fmt.Sprintf("rename the directory, or set package-name = %q", dirName)
		l.problem(p.File, p.NameLine, hint, "package %q is in the directory %q", p.Name, dirName)
	}
}

// checkSpec reports a package without <dir>/<name>.spec, a regular file, where name is that of the
// directory, and external files that would replace a file of the package.
func (l *loader) checkSpec(p *Package, name string, entries []fs.DirEntry) {
	spec := name + ".spec"
	at := find(entries, spec)
	switch {
	case at != nil && at.IsDir():
		l.problem(path.Join(p.Dir, spec), 0, "", "must be a regular file, not a directory")
	case at != nil: // packageFiles reports a symlink
	case slices.Contains(specs(entries), p.Name+".spec"): // checkName has reported the directory
	default:
		hint := ""
		if specs := specs(entries); len(specs) > 0 {
			hint = "rename " + specs[0]
		}
		l.problem(p.File, p.NameLine, hint, "package %q has no spec file %s/%s", name, p.Dir, spec)
	}
	for _, e := range p.ExternalFiles {
		if e.Name() == spec || e.Name() == manifestFile {
			l.problem(p.File, e.Line, "give it another name with \"path\"",
				"external file %q has the name of a file of the package", e.Name())
		}
	}
}

// checkGroups reports source groups that are not directories below sources/, which must be reached
// from the tree's root through directories only, and removes them from the package.
func (l *loader) checkGroups(p *Package) {
	groups, lines := p.SourceGroups, p.GroupLines
	p.SourceGroups, p.GroupLines = nil, nil
	for i, group := range groups {
		at, wrong := "", ""
		for part := range segments(path.Join(sourcesDir, group)) {
			at = path.Join(at, part)
			info, err := fs.Lstat(l.tree, at)
			if err != nil {
				wrong = fmt.Sprintf("source group %q: there is no directory %s", group, at)
			} else if !info.IsDir() {
				wrong = fmt.Sprintf("source group %q: %s is %s, not a directory",
					group, at, kindOf(info.Mode()))
			}
			if wrong != "" {
				break
			}
		}
		if wrong == "" {
			p.SourceGroups = append(p.SourceGroups, group)
			p.GroupLines = append(p.GroupLines, lines[i])
			continue
		}
		hint := ""
		if near := l.near(group, l.sourceDirs); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.tolerate(p.File, lines[i], hint, "%s", wrong)
	}
}

func (l *loader) sourceDirs() []string {
	entries, _ := confined.ReadDir(l.tree, sourcesDir) // only for hints
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// find returns the entry with a name, or nil.
func find(entries []fs.DirEntry, name string) fs.DirEntry {
	for _, e := range entries {
		if e.Name() == name {
			return e
		}
	}
	return nil
}

// specs returns the names of the spec files among the entries of a directory.
func specs(entries []fs.DirEntry) []string {
	var specs []string
	for _, e := range entries {
		if path.Ext(e.Name()) == ".spec" && !Ignored(e.Name()) {
			specs = append(specs, e.Name())
		}
	}
	return specs
}
