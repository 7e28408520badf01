// The report of Inspect, in the form that buildsys inspect --json prints.

package image

// Report is everything that reading a disk image shows. Its JSON form is an interface: fields are
// added, never renamed or removed. Lists may be empty but are never null. Sizes and offsets are in
// bytes.
type Report struct {
	DiskBytes  int64             `json:"disk_bytes"`
	DiskGUID   string            `json:"disk_guid"`
	Partitions []PartitionReport `json:"partitions"`
	Roots      []Root            `json:"roots"`      // one per filled bank
	Boot       []Boot            `json:"boot"`       // one per filled bank
	Firmware   []FirmwareFile    `json:"firmware"`   // files of the EFI system partitions
	OSRelease  map[string]string `json:"os_release"` // of the first root
	// Packages are those of the first root, from its application-inventory.json.
	Packages []Package `json:"packages"`
	Notes    []string  `json:"notes"`  // what could not be read, without being a fault
	Faults   []string  `json:"faults"` // what is wrong; empty for a good image
}

// PartitionReport is one partition and its contents, judged by its first blocks.
type PartitionReport struct {
	Number     int    `json:"number"`
	Label      string `json:"label"`
	Role       string `json:"role"` // for people: "root", "EFI system"...
	Type       string `json:"type_guid"`
	GUID       string `json:"guid"`
	Start      int64  `json:"start_bytes"`
	Size       int64  `json:"size_bytes"`
	Attributes uint64 `json:"attributes"`
	// Holds is "ext4", "vfat", "verity", "erofs", "xfs", "squashfs", or empty if not recognised.
	Holds     string `json:"holds"`
	UUID      string `json:"uuid"`       // of the contents
	HeldBytes int64  `json:"held_bytes"` // size of the contents
	UsedBytes int64  `json:"used_bytes"` // part of that in use; all of it if that is not known
}

// FirmwareFile is a file that firmware can start or read.
type FirmwareFile struct {
	Partition string `json:"partition"`
	Path      string `json:"path"`
	Size      int64  `json:"size_bytes"`
	// SignedBy lists who signed an EFI program, by the subjects of the certificates. It is empty
	// for an unsigned program and for any other file.
	SignedBy []string `json:"signed_by"`
	// Sections lists the parts of a unified kernel image. It is empty for any other file.
	Sections []ProgramSection `json:"sections"`
}

// Package is one RPM of the root file system.
type Package struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Release      string `json:"release"`
	Architecture string `json:"architecture"`
	License      string `json:"license"`
	Epoch        string `json:"epoch"` // empty if the inventory is of before it had them
}
