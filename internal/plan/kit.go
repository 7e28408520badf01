// kit: the packages in the kits of a request, and the external kits that packages and images see.

package plan

import (
	"path"
	"slices"

	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// kitPackages returns the packages to build for the kits of the request: their contents and what
// those need.
func (m *maker) kitPackages() ([]string, error) {
	var names []string
	for _, kit := range m.r.Kits {
		if m.ws.Kits[kit] == nil {
			return nil, unknown("kit", kit, m.ws.KitNames())
		}
		contents := m.ws.KitContents(kit)
		if len(contents) == 0 {
			return nil, &RequestError{What: "kit " + kit, Why: "it has no packages",
				Hint: "list some in [build-dependencies] in " + m.ws.Kits[kit].File}
		}
		names = append(names, contents...)
		names = append(names, workspace.Packages(m.graph.BuildClosure(contents...))...)
	}
	return names, nil
}

// contents returns the steps of the packages in a kit. order lists the packages of the plan.
func (m *maker) contents(kit string, order []string) graph.Set {
	contents := m.ws.KitContents(kit)
	var steps []int
	for i, name := range order {
		if _, in := slices.BinarySearch(contents, name); in {
			steps = append(steps, m.first+i)
		}
	}
	return graph.SetOf(steps...)
}

// ExternalKit is a kit of another tree, unpacked on this machine.
type ExternalKit struct {
	Name    string
	Vendor  string
	Version string
	// Digest is that of the kit's image, and so determines all of its contents.
	Digest string
	Dirs   []KitPackage // sorted by Name
}

// KitPackage is the directory with the RPMs of one package of a kit.
type KitPackage struct {
	Name string
	Dir  string   // on this machine
	RPMs []string // file names, sorted
}

// externals is what steps see of external kits: for each kit a file that identifies it, and the
// directories of its RPMs. No package may be there twice: a package of the tree replaces that of a
// kit, and of two kits with the same RPM the one that is first in Twoliter.lock wins.
type externals struct {
	files []File
	dirs  []*Dir
	steps []int // for each of dirs: the step of the package with the same name, or -1
}

// newExternals returns the externals of the request. order lists the packages of the plan.
func (m *maker) newExternals(order []string) externals {
	var e externals
	if len(m.r.ExternalKits) == 0 {
		return e
	}
	own := make(map[string]int, len(order))
	for i, name := range order {
		own[name] = m.first + i
	}
	seen := map[string]bool{}
	for _, kit := range m.r.ExternalKits {
		at := path.Join("kits", kit.Vendor, kit.Name)
		text := []byte(kit.Version + " " + kit.Digest + "\n")
		e.files = append(e.files, File{Name: at + "/kit", Data: text, Mode: 0o644})
		for _, p := range kit.Dirs {
			again := slices.ContainsFunc(p.RPMs, func(rpm string) bool { return seen[rpm] })
			for _, rpm := range p.RPMs {
				seen[rpm] = true
			}
			if again {
				continue
			}
			step, both := own[p.Name]
			if !both {
				step = -1
			}
			e.dirs = append(e.dirs, &Dir{Name: at + "/" + p.Name, Host: p.Dir})
			e.steps = append(e.steps, step)
		}
	}
	sortFiles(e.files)
	return e
}

// beside returns the directories that a step sees if it uses the given packages of the tree. Steps
// share one list unless such a package replaces one in it.
func (e externals) beside(packages graph.Set) []*Dir {
	if !slices.ContainsFunc(e.steps, packages.Has) {
		return e.dirs
	}
	var dirs []*Dir
	for i, d := range e.dirs {
		if !packages.Has(e.steps[i]) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}

// rpmsContext returns the context with the RPMs of packages, given by their steps, and of the
// external kits.
func (m *maker) rpmsContext(packages graph.Set) Context {
	return Context{RPMs: packages, Files: m.externals.files, Derived: m.externals.beside(packages)}
}
