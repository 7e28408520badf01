// twoliter_image: the steps of images of trees written for Twoliter. They are as in our own recipe,
// but for what only these trees have.

package plan

import (
	"cmp"
	"slices"

	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

func (t *twoliter) imageStep(v *workspace.Variant, packages graph.Set) (Step, error) {
	s, err := t.native.imageStep(v, packages)
	if err != nil {
		return Step{}, err
	}
	if p := t.m.ws.Project; p != nil {
		s.Solve.Args["VENDOR_NAME"] = cmp.Or(p.Vendor, firstVendor)
	}
	if s.Bill != nil {
		s.Bill.Supplier = cmp.Or(s.Solve.Args["VENDOR_NAME"], firstVendor) // as in the inventory
	}
	err = t.addRootJSON(&s, v)
	return s, err
}

// firstVendor is the vendor of projects from before they named one.
const firstVendor = "Bottlerocket"

func (t *twoliter) repackStep(v *workspace.Variant, from RepackSource) (Step, error) {
	s, err := t.native.repackStep(v, from)
	if err != nil {
		return Step{}, err
	}
	err = t.addRootJSON(&s, v)
	return s, err
}

// addRootJSON gives the step the root metadata of the update repository that the tree has, unless a
// setting names another file. Without any, a package has to have it: that the build finds out.
func (t *twoliter) addRootJSON(s *Step, v *workspace.Variant) error {
	files := s.Solve.Contexts["image"].Files
	named := func(f File) bool { return f.Name == rootJSONFile }
	if slices.ContainsFunc(files, named) {
		return nil
	}
	data, err := t.treeRootJSON("variant " + v.Name)
	if err != nil || data == nil {
		return err
	}
	files = append(files, File{Name: rootJSONFile, Data: data, Mode: 0o644})
	sortFiles(files)
	s.Solve.Contexts["image"] = Context{Files: files}
	return nil
}
