// modules: the step that bundles the Go modules which a package's source archives need. It is of
// our recipe, whatever makes the packages.

package plan

import (
	"fmt"
	"strconv"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// bundlesFile lists the archives for tools/modules/bundle-go: number, name, directory of the module
// or "-", output.
const bundlesFile = "bundles.tsv"

// addModules adds the steps that bundle modules, for those of the packages that need one. They come
// before all others.
func (m *maker) addModules(packages []string) {
	m.modules = map[string]int{}
	for _, name := range packages {
		if step, ok := m.modulesStep(m.ws.Packages[name]); ok {
			m.modules[name] = len(m.plan.Steps)
			m.put(step)
		}
	}
}

// modulesStep is the step that bundles the modules of pkg's archives; ok is false when there is
// nothing to bundle. Which modules that are stands in the archives, so the step's key needs nothing
// but their hashes: the files of its module proxies follow from those.
func (m *maker) modulesStep(pkg *workspace.Package) (step Step, ok bool) {
	var (
		fetch    []manifest.ExternalFile
		archives []File
		proxies  []*Dir
		list     strings.Builder
	)
	for _, f := range pkg.ExternalFiles {
		if !f.BundleGo {
			continue
		}
		root := f.BundleRoot
		if root == "" {
			root = "-"
		}
		number := strconv.Itoa(len(fetch))
		fmt.Fprintf(&list, "%s\t%s\t%s\t%s\n", number, f.Name(), root, f.BundleName())
		fetch = append(fetch, f)
		proxies = append(proxies, &Dir{Name: number, Host: m.r.Sources.Modules(f)})
	}
	if len(fetch) == 0 {
		return Step{}, false
	}
	for _, f := range once(fetch) {
		archives = append(archives, externalFile(m.r, f))
	}
	archives = append(archives, File{Name: bundlesFile, Data: []byte(list.String()), Mode: 0o644})
	sortFiles(archives)
	step = newStep(Modules, pkg.Name, m.dir().Modules(pkg.Name))
	step.Fetch = fetch
	step.Solve = Solve{
		Name:       pkg.Name + " modules",
		Dockerfile: section(m.ours.Dockerfile, string(Modules)),
		Target:     string(Modules),
		Args:       map[string]string{"SDK": m.r.SDK},
		Contexts: map[string]Context{
			"recipe":   {Files: recipeFiles(m.ours, string(Modules), m.r.Arch)},
			"archives": {Files: archives},
			"modules":  {Derived: proxies},
		},
	}
	return step, true
}

func externalFile(r Request, f manifest.ExternalFile) File {
	return File{Name: f.Name(), Host: r.Sources.Path(f), Mode: 0o644, SHA512: f.SHA512}
}
