// The arithmetic of partition sizes: from GiB to partitions with offsets.

package image

import (
	"errors"
	"fmt"
	"strings"

	"buildsys/internal/manifest"
)

// Partition plans.
const (
	Split   = "split"   // the OS and the data on two disks
	Unified = "unified" // everything on one disk
)

// Spec describes the layout to compute.
type Spec struct {
	Name           string // OS name, for the labels, where it is in upper case
	OSGiB, DataGiB int
	Plan           string // Split (also when empty) or Unified
	Form
}

// Form is what determines the partitions of an image besides sizes.
type Form struct {
	InPlaceUpdates bool // two banks, A and B; without it, bank A has the space of both
	// UKI means that the firmware starts the kernel from the ESP, which has the space of BOOT.
	UKI bool
	// Standalone means that the OS has the disk for itself and keeps nothing on it.
	Standalone bool
}

// FormOf returns the form of a variant's image.
func FormOf(v *manifest.Variant) Form {
	return Form{
		InPlaceUpdates: v.HasFeature(manifest.InPlaceUpdates),
		UKI:            v.ImageFormat == manifest.FormatUKI,
		Standalone:     v.HasFeature(manifest.StandaloneImage),
	}
}

// Sizes in MiB, as in Bottlerocket's partyplanner. Those in ...PerGiB are multiplied by the size of
// the OS image.
const (
	gptMiB        = 1 // before the first partition, and at the end of the disk
	biosMiB       = 4
	efiMiB        = 5
	placeholder   = 1 // DATA-A of a split layout: reserves the entry; the data is on the other disk
	bootPerGiB    = 20
	rootPerGiB    = 460
	hashPerGiB    = 5
	reservePerGiB = 15 // the EFI and RESERVED partitions of a bank together
	privatePerGiB = 24 // PRIVATE together with the GPTs, BIOS and the placeholder
	maxGiB        = 65535
	maxLabelLen   = 36 // UTF-16 units in a GPT entry
)

// Partition types. Those from BOOT to DATA are Bottlerocket's own.
const (
	typeBIOS = "21686148-6449-6e6f-744e-656564454649" // sgdisk's "ef02"
	typeEFI  = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	// typeEFI reversed: firmware must not boot the backup
	typeEFIB     = "b39ce39c-0a00-b4ab-2d11-f18f8237a21c"
	typeBoot     = "6b636168-7420-6568-2070-6c616e657421"
	typeRoot     = "5526016a-1a97-4ea4-b39a-b7c8c6ca4502"
	typeHash     = "598f10af-c955-4456-6a99-7720068a6cea"
	typeReserved = "0c5d99a5-d331-4147-baef-08e2b855bdc9"
	typePrivate  = "440408bb-eb0b-4328-a6e5-a29038fad706"
	typeData     = "626f7474-6c65-6474-6861-726d61726b73"
)

// GUIDs by which the OS finds its data partition: it uses the preferred one, or else the other.
const (
	dataPreferred = "5b94e8df-28b8-485c-9d19-362263b5944c"
	dataFallback  = "69040874-417d-4e26-a764-7885f22007ea"
)

// bootAttributes returns the GPT attribute bits that mark the bank to boot: 48 (priority 1) and 56
// (booted successfully).
func bootAttributes() []int { return []int{48, 56} }

// New computes a partition layout without identifiers; see AssignIDs. The error names the
// partition, its need and the available space.
func New(s Spec) (Layout, error) {
	if s.Plan == "" {
		s.Plan = Split
	}
	prefix, err := labelPrefix(s.Name)
	if err != nil {
		return Layout{}, err
	}
	if err := checkSpec(s); err != nil {
		return Layout{}, err
	}
	osMiB, dataMiB := int64(s.OSGiB)*1024, int64(s.DataGiB)*1024
	l := Layout{Disks: []Disk{{Name: OSDisk, SizeMiB: osMiB}}}
	l.Partitions = osPartitions(s, prefix)
	switch {
	case s.Standalone:
	case s.Plan == Unified:
		l.Disks[0].SizeMiB += dataMiB
	default:
		l.Disks = append(l.Disks, Disk{Name: DataDisk, SizeMiB: dataMiB})
	}
	if !s.Standalone {
		l.Partitions = append(l.Partitions, dataPartitions(s, prefix, dataMiB)...)
	}
	place(l.Partitions)
	return l, l.Validate()
}

func checkSpec(s Spec) error {
	if s.Plan != Split && s.Plan != Unified {
		return fmt.Errorf("partition-plan %q is unknown: use %q or %q", s.Plan, Split, Unified)
	}
	for _, size := range []struct {
		key string
		gib int
	}{{"os-image-size-gib", s.OSGiB}, {"data-image-size-gib", s.DataGiB}} {
		if size.gib < 1 || size.gib > maxGiB {
			return fmt.Errorf("%s is %d: it must be between 1 and %d", size.key, size.gib, maxGiB)
		}
	}
	switch {
	case (s.UKI || s.Standalone) && s.InPlaceUpdates:
		return errors.New("an image that is started as one program or standalone has one bank: switch " +
			"in-place-updates off")
	case s.Standalone && s.Plan != Unified:
		return errors.New("a standalone image has one disk: write partition-plan = \"unified\"")
	}
	return nil
}

// labelPrefix returns the OS name as used in partition labels.
func labelPrefix(name string) (string, error) {
	const longest = "-RESERVED-A"
	if name == "" || len(name) > maxLabelLen-len(longest) {
		return "", fmt.Errorf("OS name %q must have 1 to %d characters to be part of partition labels",
			name, maxLabelLen-len(longest))
	}
	for _, c := range name {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "", fmt.Errorf("OS name %q has %q, which is not allowed in partition labels: "+
				"use letters, digits, - and _", name, c)
		}
	}
	return strings.ToUpper(name), nil
}

// osPartitions returns all partitions except those for data, without numbers and offsets.
func osPartitions(s Spec, prefix string) []Partition {
	gib := int64(s.OSGiB)
	banks := []string{"A"}
	if s.InPlaceUpdates {
		banks = []string{"A", "B"}
	}
	parts := []Partition{{Key: "BIOS", Label: "BIOS-BOOT", Type: typeBIOS, SizeMiB: biosMiB}}
	for _, bank := range banks {
		parts = append(parts, bankPartitions(s, bank)...)
	}
	if !s.Standalone {
		private := privatePerGiB*gib - 2*gptMiB - biosMiB - placeholder
		parts = append(parts, Partition{Key: "PRIVATE", Type: typePrivate, SizeMiB: private})
	}
	for i := range parts {
		parts[i].Disk = OSDisk
		if parts[i].Label == "" {
			parts[i].Label = prefix + "-" + parts[i].Key
		}
	}
	return parts
}

// bankPartitions returns the partitions of one bank.
func bankPartitions(s Spec, bank string) []Partition {
	gib, times := int64(s.OSGiB), int64(2)
	if s.InPlaceUpdates {
		times = 1
	}
	efi := Partition{Key: "EFI-A", Label: "EFI-SYSTEM", Type: typeEFI, SizeMiB: times * efiMiB}
	boot := Partition{Key: "BOOT-" + bank, Type: typeBoot, SizeMiB: times * bootPerGiB * gib,
		Attributes: bootAttributes()}
	if bank == "B" {
		efi.Key, efi.Label, efi.Type = "EFI-B", "EFI-BACKUP", typeEFIB
		boot.Attributes = nil
	}
	root := Partition{Key: "ROOT-" + bank, Type: typeRoot, SizeMiB: times * rootPerGiB * gib}
	hash := Partition{Key: "HASH-" + bank, Type: typeHash, SizeMiB: times * hashPerGiB * gib}
	if s.Standalone { // the root has what is left of the disk
		root.SizeMiB = gib*1024 - 2*gptMiB - biosMiB - efi.SizeMiB - boot.SizeMiB - hash.SizeMiB
	}
	parts := []Partition{efi, boot, root, hash}
	if s.UKI { // the ESP has the place of BOOT
		efi.SizeMiB += boot.SizeMiB
		parts = []Partition{efi, root, hash}
	}
	if s.Standalone {
		return parts
	}
	return append(parts, Partition{Key: "RESERVED-" + bank, Type: typeReserved,
		SizeMiB: times * (reservePerGiB*gib - efiMiB)})
}

// dataPartitions returns DATA-A and, if the data has a disk of its own, DATA-B.
func dataPartitions(s Spec, prefix string, dataMiB int64) []Partition {
	data := func(disk, key, guid string, mib int64) Partition {
		return Partition{Disk: disk, Key: key, Label: prefix + "-" + key, Type: typeData, GUID: guid,
			SizeMiB: mib}
	}
	if s.Plan == Unified {
		return []Partition{data(OSDisk, "DATA-A", dataPreferred, dataMiB)}
	}
	// On its own disk the data leaves room for both GPTs; in a unified image that room is in
	// PRIVATE. Twoliter 0.5 plans this size too, but then gives DATA-B the size of DATA-A: 1 MiB.
	return []Partition{
		data(OSDisk, "DATA-A", dataFallback, placeholder),
		data(DataDisk, "DATA-B", dataPreferred, dataMiB-2*gptMiB),
	}
}

// place numbers the partitions and puts them one after the other on their disks.
func place(parts []Partition) {
	next, number := map[string]int64{}, map[string]int{}
	for i := range parts {
		p := &parts[i]
		number[p.Disk]++
		p.Number = number[p.Disk]
		p.StartMiB = gptMiB + next[p.Disk]
		next[p.Disk] += p.SizeMiB
	}
}

// Validate checks that every partition has room, lies between the two GPTs of its disk and overlaps
// no other.
func (l Layout) Validate() error {
	end := map[string]int64{}
	for _, d := range l.Disks {
		end[d.Name] = gptMiB
	}
	last := map[string]string{}
	for _, p := range l.Partitions {
		d, ok := l.Disk(p.Disk)
		if !ok {
			return fmt.Errorf("partition %s is on disk %q, which the layout does not have", p.Key, p.Disk)
		}
		if p.SizeMiB < 1 {
			return fmt.Errorf("partition %s needs at least 1 MiB, but %d MiB are available: make the "+
				"image larger", p.Key, p.SizeMiB)
		}
		if p.StartMiB < end[p.Disk] {
			return fmt.Errorf("partition %s starts at %d MiB of the %s disk, but %s ends at %d MiB",
				p.Key, p.StartMiB, p.Disk, orElse(last[p.Disk], "the partition table"), end[p.Disk])
		}
		if room := d.SizeMiB - gptMiB - p.StartMiB; p.SizeMiB > room {
			return fmt.Errorf("partition %s needs %d MiB, but %d MiB are available after %d MiB of the "+
				"%s disk of %d MiB: make the image larger",
				p.Key, p.SizeMiB, max(room, 0), p.StartMiB, p.Disk, d.SizeMiB)
		}
		end[p.Disk], last[p.Disk] = p.StartMiB+p.SizeMiB, p.Key
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// PublishSizes returns the sizes in GiB that the disks get when the image is published (registered
// with a cloud): the data grows so that both together reach the hint. data is -1 if the plan is
// unified, which has no data disk.
func PublishSizes(osGiB, dataGiB, hintGiB int, plan string) (os, data int) {
	total := max(hintGiB, osGiB+dataGiB)
	if plan == Unified {
		return total, -1
	}
	return osGiB, total - osGiB
}
