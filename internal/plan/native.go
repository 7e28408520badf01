// native: the recipe written for buildsys, from the tree or from this program. Its builds see named
// contexts, one for each kind of input. The steps of images are in native_image and native_repack.

package plan

import (
	"cmp"

	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// native is the recipe written for buildsys.
type native struct {
	m *maker
	// packagePart and packageFiles are the parts of the Dockerfile and of the recipe that all package
	// steps see. The steps share them.
	packagePart  []byte
	packageFiles []File
	// labels is the OS name that partitions are labelled with, if not that of the request. Then the OS
	// labels the partitions of data itself.
	labels string
}

func newNative(m *maker) *native {
	return &native{m: m, packagePart: section(m.ours.Dockerfile, string(Package)),
		packageFiles: recipeFiles(m.ours, string(Package), m.r.Arch)}
}

func (n *native) packageStep(pkg *workspace.Package, needs graph.Set) (Step, error) {
	m := n.m
	args, err := m.packageArgs(pkg)
	if err != nil {
		return Step{}, err
	}
	sources, err := m.ws.SourceGroupFiles(pkg)
	if err != nil {
		return Step{}, err
	}
	files := m.secrets.visibleFar(m.ws.Files(pkg), pkg.Dir)
	files = edited(files, m.r.Edited[pkg.Name])
	for _, external := range once(pkg.ExternalFiles) {
		files = append(files, externalFile(m.r, external))
	}
	sortFiles(files)
	s := m.newPackageStep(pkg, needs)
	s.Solve = Solve{
		Name:       pkg.Name + " " + m.r.Arch,
		Dockerfile: n.packagePart,
		Target:     string(Package),
		Args:       args,
		Contexts: map[string]Context{
			"recipe":  {Files: n.packageFiles, Shared: true},
			"package": {Files: files, Top: m.modulesDirs(pkg, pkg.Name)},
			"sources": {Files: m.secrets.visibleFar(sources, sourcesTop),
				Top: m.vendorDirs(pkg, pkg.Name)},
			"rpms": m.rpmsContext(needs),
		},
	}
	return s, nil
}

func (n *native) kitStep(kit string, packages graph.Set) (Step, error) {
	m := n.m
	s := newStep(Kit, kit, m.dir().Kit(kit))
	s.Uses = packages
	s.Solve = Solve{
		Name:       kit + " " + m.r.Arch,
		Dockerfile: section(m.ours.Dockerfile, string(Kit)),
		Target:     string(Kit),
		Args:       map[string]string{"SDK": m.r.SDK, "ARCH": m.r.Arch, "KIT": kit},
		Contexts: map[string]Context{
			"recipe": {Files: recipeFiles(m.ours, string(Kit), m.r.Arch)},
			"rpms":   {RPMs: packages},
		},
	}
	version := cmp.Or(m.r.Identity.Version, m.ws.Release.Version)
	m.addBill(&s, kit, version, m.ws.Kits[kit].Vendor, packages)
	return s, nil
}
