// dev: an image that is made to be booted at once, in the form that costs least: the disks as QEMU
// opens them, without compression and without anything that is published beside an image.

package plan

import "buildsys/internal/workspace"

// DevBuildID is the build ID of images for now, or the end of it: os-release in the image says what
// it is. It does not change with commits, so neither does the key.
const DevBuildID = "dev"

// devFormat is the format of the disks of such an image, whatever the variant's is. An engine sends
// a hole in a file as bytes, and a qcow2 has none.
const devFormat = "qcow2"

// makeDev turns the step of a variant's image into that of one for now. What the disks hold stays
// as it is. The names of the files begin with no name of an OS, so that nothing that looks for a
// real image finds one here.
func (m *maker) makeDev(s *Step, v *workspace.Variant) {
	s.ID, s.Kind = string(DevImage)+"/"+v.Name, DevImage
	s.Out, s.Link, s.Private = m.dir().DevImages(v.Name), "", true
	s.Solve.Args["DEV"] = "1"
	s.Solve.Args["IMAGE_NAME"] = "dev-" + v.Name + "-" + m.r.Arch
}

// refuseDev refuses an image for now where only the tree knows how its images are made.
func (m *maker) refuseDev(v *workspace.Variant) error {
	return &RequestError{What: "variant " + v.Name, Why: ownWhat + " alone knows how images are " +
		"made, and makes none for --dev", Hint: useInside}
}
