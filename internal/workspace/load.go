// load: finds and reads the manifests, and checks each package and variant by itself.

package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/manifest"
)

// loader collects what a tree holds and what is wrong with it. Its maps are keyed by directory name, because
// dependencies are paths and a package's name may be wrong.
type loader struct {
	tree     fs.FS
	packages map[string]*Package
	variants map[string]*Variant
	kits     map[string]*Kit
	problems manifest.Problems
	rules    manifest.Rules
	foreign  bool // written for another program: some things are allowed that our own trees do not need
}

// part returns a loader of its own for some of the manifests.
func (l *loader) part() *loader {
	return &loader{tree: l.tree, rules: l.rules, foreign: l.foreign}
}

func (l *loader) problem(file string, line int, hint, format string, args ...any) {
	l.problems = append(l.problems, manifest.Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// tolerate is problem for what the ancestor read over: with lenient rules it is a warning.
func (l *loader) tolerate(file string, line int, hint, format string, args ...any) {
	l.problem(file, line, hint, format, args...)
	l.problems[len(l.problems)-1].Warning = l.rules.Lenient
}

// why is an error without the path, which the message around it names already.
func why(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// read returns the contents of a regular file, at most one byte more than a manifest may have. Otherwise ok is false
// and there is a problem.
func (l *loader) read(name string) (data []byte, ok bool) {
	info, err := fs.Lstat(l.tree, name)
	if err != nil {
		l.problem(name, 0, "", "cannot be read: %v", why(err))
		return nil, false
	}
	return l.readKind(name, info.Mode())
}

// readKind is read for a file whose kind is known.
func (l *loader) readKind(name string, kind fs.FileMode) (data []byte, ok bool) {
	if !kind.IsRegular() {
		l.problem(name, 0, "", "must be a regular file, not %s", kindOf(kind))
		return nil, false
	}
	f, err := l.tree.Open(name)
	if err == nil {
		defer f.Close()
		data, err = io.ReadAll(io.LimitReader(f, manifest.MaxSize+1))
	}
	if err != nil {
		l.problem(name, 0, "", "cannot be read: %v", why(err))
		return nil, false
	}
	return data, true
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symlink"
	case mode.IsRegular():
		return "a regular file"
	}
	return "a special file"
}

func (l *loader) exists(name string) bool {
	_, err := fs.Lstat(l.tree, name)
	return err == nil
}

func (l *loader) release() manifest.Release {
	if !l.exists(releaseFile) {
		l.tolerate(releaseFile, 0, "write version = \"0.1.0\" into it", "is missing")
		return manifest.Release{}
	}
	data, ok := l.read(releaseFile)
	if !ok {
		return manifest.Release{}
	}
	release, problems := manifest.ParseRelease(releaseFile, data, l.rules)
	l.problems = append(l.problems, problems...)
	return release
}

// list returns the names of the directories of parent, sorted, but hidden ones.
func (l *loader) list(parent string) []string {
	info, err := fs.Lstat(l.tree, parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		l.problem(parent, 0, "", "must be a directory, not %s", kindOf(info.Mode()))
		return nil
	}
	entries, err := fs.ReadDir(l.tree, parent)
	if err != nil {
		l.problem(parent, 0, "", "cannot be read: %v", why(err))
	}
	var names []string
	for _, e := range entries {
		dir := path.Join(parent, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), e.Type().IsRegular():
		case !e.IsDir():
			l.problem(dir, 0, "put the directory itself there", "must be a directory, not %s", kindOf(e.Type()))
		default:
			names = append(names, e.Name())
		}
	}
	return names
}

// specs returns the names of the spec files among the entries of a directory.
func specs(entries []fs.DirEntry) []string {
	var specs []string
	for _, e := range entries {
		if path.Ext(e.Name()) == ".spec" && !ignored(e.Name()) {
			specs = append(specs, e.Name())
		}
	}
	return specs
}

// loadAll reads the packages and variants in the named directories, several at once: of the time that planning takes,
// most is the system calls and the TOML decoding here, and no manifest needs to know another yet.
func (l *loader) loadAll(root string, names, variants []string) {
	packages, problems := make([]*Package, len(names)), make([]manifest.Problems, len(names))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	more := l.part()
	more.variants = l.variants
	group.Go(func() error { // begun first: the manifest of a variant with everything is a large file
		for _, name := range variants {
			more.loadVariant(name)
		}
		return nil
	})
	for i, name := range names {
		group.Go(func() error {
			one := l.part()
			packages[i] = one.loadPackage(root, name)
			problems[i] = one.problems
			return nil
		})
	}
	_ = group.Wait() // what is wrong is in problems
	for i, name := range names {
		if packages[i] != nil {
			l.packages[name] = packages[i]
		}
		l.problems = append(l.problems, problems[i]...)
	}
	l.problems = append(l.problems, more.problems...)
}

// loadPackage reads one package; nil when the directory has no manifest. It lists the directory once: with thousands of
// packages the system calls are what takes time.
func (l *loader) loadPackage(root, name string) *Package {
	p := &Package{Dir: path.Join(packagesDir, name)}
	entries, err := fs.ReadDir(l.tree, p.Dir)
	if err != nil {
		l.problem(p.Dir, 0, "", "cannot be read: %v", why(err))
		return nil
	}
	at := find(entries, manifestFile)
	if at == nil {
		if specs := specs(entries); len(specs) > 0 {
			l.tolerate(p.Dir, 0, "", "has %s, but no %s", specs[0], manifestFile)
		}
		return nil
	}
	file := path.Join(p.Dir, manifestFile)
	data, ok := l.readKind(file, at.Type())
	if !ok {
		return p
	}
	parsed, problems := manifest.ParsePackage(file, data, l.rules)
	p.Package = *parsed
	l.problems = append(l.problems, problems...)
	if p.Name != name && manifest.ValidName(p.Name) {
		hint := fmt.Sprintf("rename the directory, or set package-name = %q", name)
		l.problem(file, p.NameLine, hint, "package %q is in the directory %q", p.Name, name)
	}
	l.checkSpec(p, name, entries)
	l.checkGroups(p)
	files, bad := packageFiles(root, l.tree, p, entries, l.foreign)
	for _, b := range bad {
		b.Warning = b.Warning && l.rules.Lenient
		l.problems = append(l.problems, b)
	}
	p.files = files
	return p
}

// find returns the entry of a name, or nil.
func find(entries []fs.DirEntry, name string) fs.DirEntry {
	for _, e := range entries {
		if e.Name() == name {
			return e
		}
	}
	return nil
}

// checkSpec wants <dir>/<name>.spec, a regular file.
func (l *loader) checkSpec(p *Package, dirName string, entries []fs.DirEntry) {
	name := p.Name
	if name == "" || name != dirName { // reported already; the spec follows whichever name is right
		name = dirName
	}
	spec := name + ".spec"
	at := find(entries, spec)
	switch {
	case at != nil && at.IsDir():
		l.problem(path.Join(p.Dir, spec), 0, "", "must be a regular file, not a directory")
	case at != nil: // if it is a symlink, the list of the package's files says so
	case slices.Contains(specs(entries), p.Name+".spec"): // goes with the name, which does not fit the directory
	default:
		hint := ""
		if specs := specs(entries); len(specs) > 0 {
			hint = "rename " + specs[0]
		}
		l.problem(p.File, p.NameLine, hint, "package %q has no spec file %s/%s", name, p.Dir, spec)
	}
	for _, e := range p.ExternalFiles {
		if e.Name() == spec || e.Name() == manifestFile {
			l.problem(p.File, e.Line, "give it another name with \"path\"", "external file %q has the name of a file of the package", e.Name())
		}
	}
}

// checkGroups wants a directory below sources/ for each source group, reached through directories only. Those that are no
// directories are no source groups.
func (l *loader) checkGroups(p *Package) {
	groups, lines := p.SourceGroups, p.GroupLines
	p.SourceGroups, p.GroupLines = nil, nil
	for i, group := range groups {
		at, wrong := sourcesDir, ""
		for part := range segments(group) {
			at = path.Join(at, part)
			info, err := fs.Lstat(l.tree, at)
			if err != nil {
				wrong = fmt.Sprintf("source group %q: there is no directory %s", group, at)
			} else if !info.IsDir() {
				wrong = fmt.Sprintf("source group %q: %s is %s, not a directory", group, at, kindOf(info.Mode()))
			}
			if wrong != "" {
				break
			}
		}
		if wrong == "" {
			p.SourceGroups, p.GroupLines = append(p.SourceGroups, group), append(p.GroupLines, lines[i])
			continue
		}
		hint := ""
		if near := manifest.Nearest(group, l.sourceDirs()); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.tolerate(p.File, lines[i], hint, "%s", wrong)
	}
}

func (l *loader) sourceDirs() []string {
	entries, _ := fs.ReadDir(l.tree, sourcesDir) // only for hints
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// loadVariant reads one variant, if the directory has a manifest.
func (l *loader) loadVariant(name string) {
	v := &Variant{Dir: path.Join(variantsDir, name)}
	file := path.Join(v.Dir, manifestFile)
	if !l.exists(file) {
		return
	}
	l.variants[name] = v
	data, ok := l.read(file)
	if !ok {
		return
	}
	parsed, problems := manifest.ParseVariant(file, data, l.rules)
	v.Variant = *parsed
	l.problems = append(l.problems, problems...)
	if v.ImageFormat == "vmdk" {
		l.loadTemplate(v)
	}
}

// loadTemplate reads what an appliance cannot be made without.
func (l *loader) loadTemplate(v *Variant) {
	name := path.Join(v.Dir, TemplateName)
	if !l.exists(name) {
		l.problem(v.File, 0, "write "+name+": the virtual machine that the image is for, in OVF",
			"image-format \"vmdk\" makes an appliance, and there is no %s", name)
		return
	}
	v.Template, _ = l.readTemplate(name)
}

// readTemplate reads a template, which in a foreign tree may be a link to one that several variants share.
func (l *loader) readTemplate(name string) (data []byte, ok bool) {
	if info, err := fs.Stat(l.tree, name); err == nil && l.foreign {
		return l.readKind(name, info.Mode())
	}
	return l.read(name)
}
