// imagenames: the names of the outputs of the steps that make images.

package plan

import (
	"strings"

	"buildsys/internal/image"
	"buildsys/internal/manifest"
)

// ImageName returns the stem of the names of a variant's files: NAME-VARIANT-ARCH-VERSION-BUILD.
func ImageName(name, variant, arch, version, buildID string) string {
	return strings.Join([]string{name, variant, arch, version, buildID}, "-")
}

// DiskFile returns the file name of the image of one disk of an image step's Layout, as
// tools/disk/imgassemble names it.
func DiskFile(s Step, disk string) string {
	name := s.Solve.Args["IMAGE_NAME"]
	if disk == image.DataDisk {
		name += "-data"
	}
	return name + DiskSuffix(diskFormat(s))
}

// DiskSuffix returns the suffix of the names of disk images in an image-format.
func DiskSuffix(format string) string {
	if format == "raw" || format == manifest.FormatUKI { // which is about what is in the disk
		return ".img.lz4"
	}
	return "." + format
}

// diskFormat returns the image-format of the disks of an image step.
func diskFormat(s Step) string {
	if s.Kind == DevImage {
		return devFormat
	}
	return s.Solve.Args["IMAGE_FORMAT"]
}

// ApplianceFile returns the file name of an image step's appliance, or "" if it makes none.
func ApplianceFile(s Step) string {
	if diskFormat(s) != "vmdk" {
		return ""
	}
	return s.Solve.Args["IMAGE_NAME"] + ".ova"
}
