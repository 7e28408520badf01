// modules: the step that bundles the Go modules and crates of a package's source archives. It is of
// our own recipe, even in a tree with its own Dockerfile.

package plan

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// bundlesFile lists the archives for tools/modules/bundle-go: number, name, directory of the module
// or "-", output. cratesFile lists those for tools/modules/bundle-rust: number, output.
const (
	bundlesFile = "bundles.tsv"
	cratesFile  = "crates.tsv"
)

// addModules adds the steps that bundle modules for the given packages, before all other steps.
func (m *maker) addModules(packages []string) error {
	m.modules, m.vendors = map[string]int{}, map[string]int{}
	for _, name := range packages {
		pkg := m.ws.Packages[name]
		if step, ok := m.modulesStep(pkg); ok {
			m.modules[name] = len(m.plan.Steps)
			m.put(step)
		}
		step, ok, err := m.vendorStep(pkg)
		if err != nil {
			return err
		}
		if ok {
			m.vendors[name] = len(m.plan.Steps)
			m.put(step)
		}
	}
	return nil
}

// modulesStep returns the step that bundles the modules and crates of pkg's archives; ok is false
// if there are none. The archives determine them, so their hashes are all that the step's key
// needs.
func (m *maker) modulesStep(pkg *workspace.Package) (step Step, ok bool) {
	var (
		fetch           []manifest.ExternalFile
		archives        []File
		dirs            []*Dir
		bundles, crates strings.Builder
	)
	for _, f := range pkg.ExternalFiles {
		if !f.Bundles() {
			continue
		}
		number := strconv.Itoa(len(fetch))
		dir := &Dir{Name: number}
		if f.BundleRust {
			fmt.Fprintf(&crates, "%s\t%s\n", number, f.BundleName())
			dir.Host = m.r.Sources.Vendor(f)
		} else {
			fmt.Fprintf(&bundles, "%s\t%s\t%s\t%s\n", number, f.Name(), cmp.Or(f.BundleRoot, "-"),
				f.BundleName())
			dir.Host = m.r.Sources.Modules(f)
		}
		fetch, dirs = append(fetch, f), append(dirs, dir)
	}
	if len(fetch) == 0 {
		return Step{}, false
	}
	for _, f := range once(fetch) {
		archives = append(archives, externalFile(m.r, f))
	}
	for name, list := range map[string]string{bundlesFile: bundles.String(),
		cratesFile: crates.String()} {
		if list != "" {
			archives = append(archives, File{Name: name, Data: []byte(list), Mode: 0o644})
		}
	}
	sortFiles(archives)
	step = newStep(Modules, pkg.Name, m.dir().Modules(pkg.Name))
	step.Fetch = fetch
	step.Solve = m.bundleSolve(pkg.Name+" modules", archives, dirs)
	return step, true
}

func externalFile(r Request, f manifest.ExternalFile) File {
	return File{Name: f.Name(), Host: r.Sources.Path(f), Mode: 0o644, SHA512: f.SHA512}
}
