// Package image is about the disk images of the OS: it computes the partition layout that rpm2img
// gets as plain numbers, derives every identifier in it, and reads finished images back to check or
// inspect them. It runs no program. Package plan puts the layout into the inputs of a step.
package image

// Disk names. A split layout has both disks, a unified one only the OS disk.
const (
	OSDisk   = "os"
	DataDisk = "data"
)

// Layout is the partition layout of one variant's image. All sizes and offsets are in MiB.
type Layout struct {
	Disks      []Disk      // the OS disk, then the data disk if the plan is split
	Partitions []Partition // by disk, then by number, which is also the order on disk
	Salt       string      // dm-verity salt, 64 hex digits; empty until AssignIDs
	VerityUUID string      // UUID in the dm-verity superblock; empty until AssignIDs
}

// Disk is one image file.
type Disk struct {
	Name    string // OSDisk or DataDisk
	GUID    string // GPT disk GUID; empty until AssignIDs
	SizeMiB int64
}

// Partition is one entry of a GPT. GUIDs are in lower case.
type Partition struct {
	Disk       string // name of its disk
	Number     int    // GPT entry, from 1
	Key        string // role: "BIOS", "EFI-A", "ROOT-A", "PRIVATE", "DATA-B"...
	Label      string // GPT name
	Type       string // partition type GUID
	GUID       string // unique partition GUID; empty until AssignIDs, unless the type prescribes one
	StartMiB   int64
	SizeMiB    int64
	Attributes []int  // GPT attribute bits that are set, ascending
	FSUUID     string // UUID for the file system in it; empty if it has none
}

// Partition returns the partition with the given key.
func (l Layout) Partition(key string) (Partition, bool) {
	for _, p := range l.Partitions {
		if p.Key == key {
			return p, true
		}
	}
	return Partition{}, false
}

// unified reports whether the firmware starts the kernel from the ESP: there is no BOOT.
func (l Layout) unified() bool {
	_, boot := l.Partition("BOOT-A")
	return !boot
}

// bootKey returns the key of the partition with the kernel.
func (l Layout) bootKey() string {
	if l.unified() {
		return "EFI-A"
	}
	return "BOOT-A"
}

// Disk returns the disk with the given name.
func (l Layout) Disk(name string) (Disk, bool) {
	for _, d := range l.Disks {
		if d.Name == name {
			return d, true
		}
	}
	return Disk{}, false
}

const mib = 1 << 20
