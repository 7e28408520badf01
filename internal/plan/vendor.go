// vendor: the step that makes the vendor/ directories of the Go modules in a package's source
// groups. The trees' own tasks ran "go mod vendor" in the checkout; here the directories are
// outputs of a step, and appear only in what a build sees.

package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/gomod"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// GoSums is the go.sum of a Go module in the tree.
type GoSums struct {
	Module string // its directory in the tree: "sources/host-ctr"
	Text   []byte
}

// goModule is a Go module in sources/ that needs others and has no vendor/.
type goModule struct {
	GoSums
	local []string // directories in the tree that stand for modules that it needs
}

// vendorSuffix follows the name of the package in that of a vendor step. No package has a colon in
// its name.
const vendorSuffix = ":" + sourcesTop

// maxGoModules bounds the Go modules of a package's source groups.
const maxGoModules = 100

// finder returns the regular files with a name at and below a directory of the tree.
type finder func(at, name string) ([]string, error)

// findIn returns a finder that reads the tree.
func findIn(tree fs.FS) finder {
	return func(at, name string) ([]string, error) { return named(tree, at, name) }
}

// find is a finder among the files of the tree that other steps see anyway.
func (o *own) find(at, name string) (found []string, err error) {
	files, err := o.treeFiles(sourcesTop)
	for _, f := range files {
		if path.Base(f.Name) != name || f.Link != "" || !within(f.Name, at) {
			continue
		}
		dir := path.Dir(f.Name)
		for dir != at && dir != "." && !skipGoDir(dir) {
			dir = path.Dir(dir)
		}
		if dir == at {
			found = append(found, f.Name)
		}
	}
	return found, err
}

// goModules returns the Go modules in the source groups of a package that have no vendor/ and need
// other modules.
func goModules(ws *workspace.Workspace, pkg *workspace.Package, find finder) ([]goModule, error) {
	var modules []goModule
	for _, group := range pkg.SourceGroups {
		files, err := find(path.Join(sourcesTop, group), "go.mod")
		if err != nil {
			return nil, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
		}
		for _, f := range files {
			dir := path.Dir(f)
			if slices.ContainsFunc(modules, func(m goModule) bool { return m.Module == dir }) {
				continue
			}
			if _, err := fs.Stat(ws.FS, dir+"/vendor"); err == nil {
				continue
			}
			if len(modules) == maxGoModules {
				return nil, &RequestError{What: "package " + pkg.Name, Why: fmt.Sprintf(
					"its source groups have more than %d Go modules without vendor/", maxGoModules)}
			}
			m, needs, err := readGoModule(ws.FS, dir)
			if err != nil {
				return nil, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
			}
			if needs {
				modules = append(modules, m)
			}
		}
	}
	return modules, nil
}

// named returns the regular files with a name at and below a directory of the tree, but for those
// where neither go nor cargo looks. It only reads directories, as every plan pays for it.
func named(tree fs.FS, at, name string) (found []string, err error) {
	err = fs.WalkDir(tree, at, func(at string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && skipGoDir(at):
			return fs.SkipDir
		case e.Name() == name && e.Type().IsRegular():
			found = append(found, at)
		}
		return nil
	})
	return found, err
}

// skipGoDir reports whether the go command sees no modules in a directory.
func skipGoDir(dir string) bool {
	base := path.Base(dir)
	return base == "vendor" || base == "testdata" || base == "target" ||
		strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")
}

// SkipsModules reports whether that is so of a directory above a file of the tree.
func SkipsModules(file string) bool {
	return slices.ContainsFunc(strings.Split(path.Dir(file), "/"), skipGoDir)
}

// readGoModule reads the module in a directory of the tree, and whether it needs others.
func readGoModule(tree fs.FS, dir string) (m goModule, needs bool, err error) {
	text, err := confined.ReadIn(tree, dir+"/go.mod", gomod.MaxText)
	if err != nil {
		return m, false, err
	}
	needed, err := gomod.Needs(dir+"/go.mod", text)
	if err != nil || !needed.Others {
		return m, false, err
	}
	m.Module = dir
	m.Text, err = confined.ReadIn(tree, dir+"/go.sum", gomod.MaxText)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, false, err
	}
	for _, local := range needed.Local {
		at := path.Join(dir, local)
		if path.IsAbs(local) || !within(at, sourcesTop) {
			return m, false, fmt.Errorf("%s/go.mod replaces a module by %s, which is not in %s/", dir,
				local, sourcesTop)
		}
		m.local = append(m.local, at)
	}
	return m, true, nil
}

// vendorStep returns the step that makes vendor/ for the Go modules in the source groups of a
// package; ok is false if none lacks it. Its outputs are DIRECTORY/vendor, below sources/.
//
// Like "go mod vendor", it sees what imports something. So a package whose other files change does
// not wait for it.
func (m *maker) vendorStep(pkg *workspace.Package) (step Step, ok bool, err error) {
	find := findIn(m.ws.FS)
	if o, ok := m.recipe.(*own); ok {
		find = o.find
	}
	modules, err := goModules(m.ws, pkg, find)
	if err != nil || len(modules) == 0 {
		return Step{}, false, err
	}
	step = newStep(Modules, pkg.Name+vendorSuffix, m.dir().Modules(pkg.Name+vendorSuffix))
	var (
		list    strings.Builder
		proxies []*Dir
		seen    = map[string]File{}
	)
	for i, module := range modules {
		number := strconv.Itoa(i)
		rel := strings.TrimPrefix(module.Module, sourcesTop+"/")
		fmt.Fprintf(&list, "%s\t%s\t.\t%s\n", number, rel, rel)
		step.Sums = append(step.Sums, module.GoSums)
		proxies = append(proxies, &Dir{Name: number, Host: m.r.Sources.Sums(module.GoSums)})
		if err := m.addGoFiles(seen, module); err != nil {
			return Step{}, false, err
		}
	}
	var files []File
	for _, f := range seen {
		files = append(files, f)
	}
	files = append(files, File{Name: bundlesFile, Data: []byte(list.String()), Mode: 0o644})
	sortFiles(files)
	step.Solve = m.bundleSolve(pkg.Name+" vendor", files, proxies)
	return step, true, nil
}

// addGoFiles adds what "go mod vendor" reads of a module, and the modules that the tree itself has,
// under names below sources/.
func (m *maker) addGoFiles(to map[string]File, module goModule) error {
	for _, dir := range append([]string{module.Module}, module.local...) {
		files, err := m.ws.TreeFiles(dir, func(at string) bool {
			return skipGoDir(at) || m.secrets.hidesDir(at)
		})
		if err != nil {
			return err
		}
		for _, f := range m.secrets.visible(files, ".") {
			base := path.Base(f.Name)
			if dir != module.Module || strings.HasSuffix(base, ".go") || base == "go.mod" ||
				base == "go.sum" {
				f.Name = strings.TrimPrefix(f.Name, sourcesTop+"/")
				to[f.Name] = f
			}
		}
	}
	return nil
}

// vendorDirs returns the outputs of the package's vendor step, in a directory of its context that
// stands for sources/; nil if there are none.
func (m *maker) vendorDirs(pkg *workspace.Package, name string) []*Dir {
	step, ok := m.vendors[pkg.Name]
	if !ok {
		return nil
	}
	return []*Dir{{Name: name, Host: m.plan.Steps[step].Out, Step: step}}
}

// bundles returns the steps that make Go modules for a package.
func (m *maker) bundles(pkg *workspace.Package) graph.Set {
	var steps []int
	for _, of := range []map[string]int{m.modules, m.vendors} {
		if step, ok := of[pkg.Name]; ok {
			steps = append(steps, step)
		}
	}
	return graph.SetOf(steps...)
}

// bundleSolve returns the build that runs tools/modules.
func (m *maker) bundleSolve(name string, archives []File, proxies []*Dir) Solve {
	return Solve{
		Name:       name,
		Dockerfile: section(m.ours.Dockerfile, string(Modules)),
		Target:     string(Modules),
		Args:       map[string]string{"SDK": m.r.SDK},
		Contexts: map[string]Context{
			"recipe":   {Files: recipeFiles(m.ours, string(Modules), m.r.Arch)},
			"archives": {Files: archives},
			"modules":  {Derived: proxies},
		},
	}
}

// isPartOf reports whether a step makes something for one other step alone, which has no crate of
// its own: Go modules for a package, the kmod kit for an image.
func (s Step) isPartOf(other Step) bool {
	switch s.Kind {
	case Modules:
		return s.Name == other.Name || s.Name == other.Name+vendorSuffix
	case KmodKit:
		return other.Kind == Variant
	}
	return false
}
