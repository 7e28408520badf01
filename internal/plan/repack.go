// repack: the step that makes a variant's images from earlier ones instead of from RPMs.

package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// RepackSource says which images to start from.
type RepackSource struct {
	Dir   string   // with the outputs of the step that made them
	Names []string // of the files in it
	// Out is the directory for the new ones; empty means where the variant's images are, and then they
	// are its newest.
	Out string
}

// inventoryName is the file among an image step's outputs that lists the RPMs in the image.
const inventoryName = "application-inventory.json"

// addRepack adds the only step of its plan: nothing is built that the earlier image has.
func (m *maker) addRepack() error {
	if m.variant == nil {
		return &RequestError{What: "the image to repack", Why: "no variant is named"}
	}
	if m.foreign != nil {
		return &RequestError{What: "variant " + m.variant.Name, Why: "images of the tree's own recipe (" +
			foreignName + ") are not repacked: where their parts are is known only to that"}
	}
	step, err := m.imageStep(Repack)
	if err != nil {
		return err
	}
	if m.r.Repack.Out != "" {
		step.Out, step.Link = m.r.Repack.Out, ""
	}
	source, err := m.repackFiles()
	if err != nil {
		return err
	}
	step.Solve.Contexts["source"] = Context{Files: source}
	m.plan.Steps = append(m.plan.Steps, step)
	return nil
}

// repackFiles picks what the new image needs of the earlier build's outputs, by the names that
// tools/repack/img2img knows them by: version and build ID are not in them, and so are no inputs.
func (m *maker) repackFiles() ([]File, error) {
	from, suffix := m.r.Repack, DiskSuffix(m.variant.ImageFormat)
	disk, err := m.repackDisk()
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
			Hint: "repack from a directory with all that build-variant made"}
	}
	return files, nil
}

// repackDisk returns the name of the earlier image of the OS disk. A data disk has no content to be
// kept.
func (m *maker) repackDisk() (string, error) {
	v, from := m.variant, m.r.Repack
	suffix := DiskSuffix(v.ImageFormat)
	stem := strings.Join([]string{m.r.Name, v.Name, m.r.Arch, ""}, "-")
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
			", "), "repack from a directory with what one build-variant made"
	}
	return "", e
}
