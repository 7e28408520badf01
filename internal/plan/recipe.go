// recipe: the interface of recipes, and what the steps of all recipes have in common.

package plan

import (
	"path/filepath"

	"buildsys/internal/builddir"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// recipe makes the steps of a tree: their build arguments and what they see. The maker decides
// which steps there are, and their order.
//
// The returned steps have all that they use. The error for what a recipe cannot make is a
// *RequestError.
type recipe interface {
	// packageStep makes the RPMs of a package. needs are the steps of the packages it waits for.
	packageStep(pkg *workspace.Package, needs graph.Set) (Step, error)
	// kmodKitStep packs the kmod kit of a variant whose image is made from the RPMs of packages. ok is
	// false if the image's step does that.
	kmodKitStep(v *workspace.Variant, packages graph.Set) (s Step, ok bool)
	// imageStep makes the images of a variant from the RPMs of packages, given by their steps.
	imageStep(v *workspace.Variant, packages graph.Set) (Step, error)
	// repackStep makes the images of a variant from earlier ones.
	repackStep(v *workspace.Variant, from RepackSource) (Step, error)
	// kitStep makes the repository of a kit from the RPMs of packages, given by their steps.
	kitStep(kit string, packages graph.Set) (Step, error)
}

// openRecipe returns the recipe of the tree.
func (m *maker) openRecipe() (recipe, error) {
	switch {
	case m.ours.Own != nil:
		return openOwn(m)
	case m.ours.Twoliter:
		return newTwoliter(m), nil
	}
	return newNative(m), nil
}

// newStep returns a step without its build.
func newStep(kind Kind, name, out string) Step {
	return Step{ID: string(kind) + "/" + name, Kind: kind, Name: name, Out: out}
}

// newPackageStep returns the step of a package without its build. It uses the Go modules that
// modulesDirs and vendorDirs return, besides what the package needs.
func (m *maker) newPackageStep(pkg *workspace.Package, needs graph.Set) Step {
	s := newStep(Package, pkg.Name, m.dir().RPMs(pkg.Name))
	s.Fetch, s.Uses = pkg.ExternalFiles, needs.Union(m.bundles(pkg))
	return s
}

// modulesDirs returns the directory with the Go modules bundled for a package, under a name in the
// package's context; nil if there are none.
func (m *maker) modulesDirs(pkg *workspace.Package, name string) []*Dir {
	step, ok := m.modules[pkg.Name]
	if !ok {
		return nil
	}
	return []*Dir{{Name: name, Host: m.plan.Steps[step].Out, Step: step}}
}

// newImageStep returns a step that makes images of a variant, without its build.
func (m *maker) newImageStep(kind Kind, v *workspace.Variant) Step {
	version := m.r.Identity.Version + "-" + m.r.Identity.BuildID
	s := newStep(kind, v.Name, filepath.Join(m.dir().Images(v.Name), version))
	s.Link = builddir.Latest
	return s
}
