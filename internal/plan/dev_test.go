// dev_test: the step of an image for now, held against that of the image it is in place of.

package plan

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMakeDev(t *testing.T) {
	r := request()
	r.Image = true
	p := mustMake(t, tree(), r)
	real := p.Steps[len(p.Steps)-1]
	r.Identity.Dev = true
	dev := mustMake(t, tree(), r)
	s := dev.Steps[len(dev.Steps)-1]
	if s.ID != "dev-image/qemu-dev" || s.Out != "/b/dev-images/x86_64-qemu-dev" || s.Link != "" ||
		!s.Private || s.Solve.Target != real.Solve.Target {
		t.Errorf("step %s in %s, link %q, private %v, target %s", s.ID, s.Out, s.Link, s.Private,
			s.Solve.Target)
	}
	want := maps.Clone(real.Solve.Args)
	want["DEV"], want["IMAGE_NAME"] = "1", "dev-qemu-dev-x86_64"
	if !maps.Equal(s.Solve.Args, want) {
		t.Errorf("arguments %v\nwant %v", s.Solve.Args, want)
	}
	if got := DiskFile(s, "os"); got != "dev-qemu-dev-x86_64.qcow2" {
		t.Errorf("the disk is %s", got)
	}
	// All other steps are the same, so nothing else is built for it.
	before, _, _ := strings.Cut(sorted(outline(dev)), "package/")
	if !strings.HasPrefix(before, "dev-image/") ||
		strings.TrimPrefix(sorted(outline(dev)), before) !=
			strings.Split(sorted(outline(p)), "\nvariant/")[0] {
		t.Errorf("plan:\n%swant as:\n%s", sorted(outline(dev)), sorted(outline(p)))
	}
}

func TestMakeDevOfAppliance(t *testing.T) {
	files := tree()
	manifest := string(files["variants/qemu-dev/Cargo.toml"].Data)
	files["variants/qemu-dev/Cargo.toml"].Data = []byte(strings.Replace(manifest,
		"included-packages", "image-format = \"vmdk\"\nincluded-packages", 1))
	// No appliance could be made of this template, but none is.
	files["variants/qemu-dev/template.ovf"] = &fstest.MapFile{Data: []byte("{{")}
	r := request()
	r.Image, r.Identity.Dev = true, true
	p := mustMake(t, files, r)
	s := p.Steps[len(p.Steps)-1]
	if got := ApplianceFile(s); got != "" || DiskFile(s, "os") != "dev-qemu-dev-x86_64.qcow2" {
		t.Errorf("appliance %q, disk %s", got, DiskFile(s, "os"))
	}
}
