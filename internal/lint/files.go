// files: compares Source and Patch tags with the files of a package, in both directions.

package lint

import (
	"path"
	"strings"
)

// checkSources reports each Source and Patch without a file in the package's directory or among its
// external files.
func (l *linter) checkSources(name string) {
	there := map[string]bool{}
	var names []string
	for _, f := range l.ws.Files(l.ws.Packages[name]) { // rpmbuild looks for names without directories
		there[f.Name] = true
		names = append(names, f.Name)
	}
	for _, e := range l.ws.Packages[name].ExternalFiles {
		for _, n := range e.Names() {
			there[n] = true
			names = append(names, n)
		}
	}
	for _, s := range l.specs[name].Sources {
		if there[s.Name] || l.full(name) {
			continue
		}
		level, hint := Error, "add the file, or an entry in external-files of "+l.ws.Packages[name].File
		if s.Conditional {
			level = Warning
		}
		if near := l.nearest(s.Name, names); near != "" {
			hint = "did you mean \"" + near + "\"?"
		}
		l.find(of(CheckSources, name), level, l.specFile(name), s.Line,
			hint, "%s %q is neither in %s nor an external file",
			s.Tag, s.Name, l.ws.Packages[name].Dir)
	}
}

// checkFiles reports files that no line of the spec names: changing one rebuilds the package for
// nothing.
func (l *linter) checkFiles(name string) {
	spec, p := l.specs[name], l.ws.Packages[name]
	if spec.Included || spec.mentions("_sourcedir") || spec.mentions("RPM_SOURCE_DIR") ||
		spec.mentions("{SOURCES}") {
		return // it may take files by pattern, or another file names them
	}
	named := map[string]bool{}
	for _, s := range spec.Sources {
		named[s.Name] = true
	}
	used := func(name string) bool { return !l.unusedIn(spec, named, name) }
	for _, f := range l.ws.Files(p) {
		if base := path.Base(f.Name); !used(base) && !strings.HasSuffix(base, ".spec") &&
			!strings.HasPrefix(base, "README") {
			l.useless(of(CheckUnusedFiles, name), path.Join(p.Dir, f.Name), 0,
				"add a Source for it, or remove it",
				"no line of %s.spec names this file", name)
		}
	}
	for _, e := range p.ExternalFiles {
		if !used(e.Name()) {
			l.useless(of(CheckUnusedFiles, name), p.File, e.Line, "add a Source for it, or remove it",
				"no line of %s.spec names the external file %q", name, e.Name())
		}
		if b := e.BundleName(); b != "" && !used(b) {
			l.useless(of(CheckUnusedFiles, name), p.File, e.Line,
				"add a Source for it, or remove bundle-modules",
				"no line of %s.spec names the bundled modules %q", name, b)
		}
	}
}

// checkNames reports RPMs whose names do not begin with the prefix of the OS: included-packages
// cannot name them.
func (l *linter) checkNames(name string) {
	for _, rpm := range l.specs[name].RPMs {
		if l.prefix != "" && !strings.HasPrefix(rpm.Name, l.prefix) {
			l.find(of(CheckNames, name), Warning, l.specFile(name), rpm.Line,
				"begin its name with %{_cross_os}",
				"RPM %s does not begin with %q, so no variant can include it", rpm.Name, l.prefix)
		}
	}
}
