// imagenames: how the outputs of the steps that make images are called.

package plan

import (
	"strings"

	"buildsys/internal/image"
)

// ImageName is the stem of a variant's files: NAME-VARIANT-ARCH-VERSION-BUILD.
func ImageName(name, variant, arch, version, buildID string) string {
	return strings.Join([]string{name, variant, arch, version, buildID}, "-")
}

// DiskFile is the name among an image step's outputs of the image of one disk of its Layout, as
// tools/disk/imgassemble makes it.
func DiskFile(s Step, disk string) string {
	name := s.Solve.Args["IMAGE_NAME"]
	if disk == image.DataDisk {
		name += "-data"
	}
	return name + DiskSuffix(s.Solve.Args["IMAGE_FORMAT"])
}

// DiskSuffix is what the names of disk images of an image-format end in.
func DiskSuffix(format string) string {
	if format == "raw" {
		return ".img.lz4"
	}
	return "." + format
}

// ApplianceFile is the name among an image step's outputs of its appliance; empty when it makes
// none.
func ApplianceFile(s Step) string {
	if s.Solve.Args["IMAGE_FORMAT"] != "vmdk" {
		return ""
	}
	return s.Solve.Args["IMAGE_NAME"] + ".ova"
}
