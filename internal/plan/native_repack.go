// native_repack: the step of our recipe that makes images of a variant from earlier ones.

package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/workspace"
)

// inventoryName is the output of an image step that lists the RPMs in the image.
const inventoryName = "application-inventory.json"

func (n *native) repackStep(v *workspace.Variant, from RepackSource) (Step, error) {
	s, err := n.anyImageStep(Repack, v)
	if err != nil {
		return Step{}, err
	}
	if from.Out != "" {
		s.Out, s.Link = from.Out, ""
	}
	source, err := n.repackFiles(v, from)
	if err != nil {
		return Step{}, err
	}
	s.Solve.Contexts["source"] = Context{Files: source}
	for _, name := range billNames {
		if slices.Contains(from.Names, name) {
			if s.Bill == nil {
				s.Bill = &Bill{}
			}
			s.Bill.Copy = append(s.Bill.Copy, File{Name: name, Host: filepath.Join(from.Dir, name),
				Mode: 0o644})
		}
	}
	return s, nil
}

// billNames are the outputs of an image step that say what is in the image and from where; the RPMs
// of a repacked image are the same.
var billNames = []string{"cyclonedx-sbom.json", "spdx-sbom.json"}

// repackFiles returns the files that the new image needs of the earlier outputs, under the names
// that tools/repack/img2img uses. Those have no version or build ID, so neither is an input.
func (n *native) repackFiles(v *workspace.Variant, from RepackSource) ([]File, error) {
	suffix := DiskSuffix(v.ImageFormat)
	disk, err := n.repackDisk(v, from)
	if err != nil {
		return nil, err
	}
	stem := strings.TrimSuffix(disk, suffix)
	var files []File
	for _, f := range [][2]string{
		{inventoryName, inventoryName},
		{"kmod-kit.tar.xz", stem + "-kmod-kit.tar.xz"},
		{"migrations.tar", stem + "-migrations.tar"},
		{"os" + suffix, disk},
	} {
		if slices.Contains(from.Names, f[1]) {
			files = append(files, File{Name: f[0], Host: filepath.Join(from.Dir, f[1]), Mode: 0o644})
		}
	}
	if files[0].Name != inventoryName {
		return nil, &RequestError{What: "the image to repack, " + filepath.Join(from.Dir, disk),
			Why:  "there is no " + inventoryName + " beside it",
			Hint: "repack from a directory with all outputs of one build-variant"}
	}
	return files, nil
}

// repackDisk returns the name of the earlier image of the OS disk. The data disk has no content to
// keep.
func (n *native) repackDisk(v *workspace.Variant, from RepackSource) (string, error) {
	m := n.m
	suffix := DiskSuffix(v.ImageFormat)
	stem := strings.Join([]string{m.r.Identity.Name, v.Name, m.r.Arch, ""}, "-")
	var disks []string
	for _, name := range from.Names {
		core, ok := strings.CutSuffix(name, suffix)
		if !ok || !strings.HasPrefix(core, stem) {
			continue
		}
		if of, isData := strings.CutSuffix(core, "-data"); isData &&
			slices.Contains(from.Names, of+suffix) {
			continue
		}
		disks = append(disks, name)
	}
	if len(disks) == 1 {
		return disks[0], nil
	}
	e := &RequestError{What: "variant " + v.Name,
		Why:  fmt.Sprintf("%s has no image of it for %s (%s…%s)", from.Dir, m.r.Arch, stem, suffix),
		Hint: "build one with 'buildsys build-variant " + v.Name + "'"}
	if len(disks) > 1 {
		e.Why, e.Hint = from.Dir+" has several images: "+strings.Join(disks,
			", "), "repack from a directory with the outputs of one build-variant"
	}
	return "", e
}
