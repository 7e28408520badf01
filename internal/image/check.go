// Checks a finished disk image against the partition layout it was made from.

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Check verifies one disk of a finished image: size and partition table match the layout, every
// file system fits its partition and has its assigned UUID, the root matches its hash tree, and the
// kernel command line names that tree. size is in bytes. A *BadImageError has all faults, each with
// its partition.
func Check(ctx context.Context, img io.ReaderAt, size int64, l Layout, disk string) error {
	d, ok := l.Disk(disk)
	if !ok {
		return fmt.Errorf("the layout has no %s disk", disk)
	}
	bad := func(faults ...error) error { return &BadImageError{Faults: faults} }
	if size != d.SizeMiB*mib {
		return bad(fmt.Errorf("%s disk has %d bytes, the layout says %d (%d MiB)", disk, size,
			d.SizeMiB*mib, d.SizeMiB))
	}
	table, err := ReadGPT(img, size)
	if err == nil {
		err = compareGPT(table, d, l)
	}
	if err != nil {
		return bad(fmt.Errorf("%s disk: %w", disk, err))
	}
	var faults []error
	for _, p := range l.Partitions {
		if p.Disk != disk {
			continue
		}
		if err := checkContents(p, within(img, p)); err != nil {
			faults = append(faults, fmt.Errorf("partition %s: %w", p.Key, err))
		}
	}
	if len(faults) == 0 && disk == OSDisk {
		if faults, err = checkBankA(ctx, img, table.Entries, l); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return bad(faults...)
	}
	return nil
}

func within(img io.ReaderAt, p Partition) section {
	return section{p.Key, io.NewSectionReader(img, p.StartMiB*mib, p.SizeMiB*mib)}
}

// compareGPT compares the table that was found with the expected one.
func compareGPT(got Table, d Disk, l Layout) error {
	var errs []error
	differ := func(where, what string, got, want any) {
		if got != want && want != "" { // an identifier that was never assigned may be anything
			errs = append(errs, fmt.Errorf("%s: %s is %v, the layout says %v", where, what, got, want))
		}
	}
	differ("partition table", "disk GUID", got.DiskGUID, d.GUID)
	entries := map[int]Entry{}
	for _, e := range got.Entries {
		entries[e.Number] = e
	}
	for _, p := range l.Partitions {
		if p.Disk != d.Name {
			continue
		}
		where := "partition " + p.Key
		e, ok := entries[p.Number]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: entry %d is empty", where, p.Number))
			continue
		}
		delete(entries, p.Number)
		differ(where, "start", e.Start, p.StartMiB*mib)
		differ(where, "size", e.Size, p.SizeMiB*mib)
		differ(where, "type", e.Type, p.Type)
		differ(where, "GUID", e.GUID, p.GUID)
		differ(where, "label", e.Label, p.Label)
		differ(where, "attributes", fmt.Sprintf("%#x", e.Attributes),
			fmt.Sprintf("%#x", attributeMask(p.Attributes)))
	}
	for _, e := range got.Entries {
		if _, left := entries[e.Number]; left {
			errs = append(errs, fmt.Errorf("entry %d (%q) is not in the layout", e.Number, e.Label))
		}
	}
	return errors.Join(errs...)
}

func attributeMask(bits []int) (mask uint64) {
	for _, b := range bits {
		mask |= 1 << b
	}
	return mask
}

// checkContents checks the contents of one partition, as far as its superblock shows them.
func checkContents(p Partition, part section) error {
	fs, err := ReadFileSystem(part)
	if err != nil {
		return err
	}
	if fs.Kind == "" {
		switch p.Key {
		case "EFI-A", "BOOT-A", "ROOT-A":
			return errors.New("holds no known file system: the image would not boot")
		}
		return nil
	}
	if fs.Size > part.Size() {
		return tooLarge("its "+fs.Kind+" file system", fs.Size, part.Size())
	}
	want := p.FSUUID
	if fs.Kind == "vfat" && want != "" { // vfat has room for the first eight digits only
		want = strings.ToUpper(want[:4] + "-" + want[4:8])
	}
	if want != "" && fs.UUID != "" && fs.UUID != want {
		return fmt.Errorf("its %s file system has UUID %s, the layout says %s", fs.Kind, fs.UUID, want)
	}
	return nil
}

func tooLarge(what string, needed, available int64) error {
	return fmt.Errorf("%s needs %s MiB, but %s MiB are available", what, inMiB(needed),
		inMiB(available))
}

// inMiB formats a size with as many decimals as it takes to show that it is not a whole number.
func inMiB(n int64) string {
	if n%mib == 0 {
		return fmt.Sprint(n / mib)
	}
	return fmt.Sprintf("%.2f", float64(n)/mib)
}

// checkBankA verifies the bank that is filled when an image is built. The only errors are ctx's.
func checkBankA(ctx context.Context, img io.ReaderAt, entries []Entry, l Layout) ([]error, error) {
	rootPart, ok1 := l.Partition("ROOT-A")
	hashPart, ok2 := l.Partition("HASH-A")
	bootPart, ok3 := l.Partition(l.bootKey())
	if !ok1 || !ok2 || !ok3 {
		return []error{errors.New("the layout lacks ROOT-A, HASH-A, or BOOT-A and EFI-A")}, nil
	}
	root, hash, boot := within(img, rootPart), within(img, hashPart), within(img, bootPart)
	r, v, faults, err := readRoot(ctx, root, hash)
	if err != nil {
		return nil, err
	}
	if r.Salt != "" && l.Salt != "" && r.Salt != l.Salt {
		faults = append(faults, hash.fault("the salt is %s, the layout says %s", r.Salt, l.Salt))
	}
	if r.UUID != "" && l.VerityUUID != "" && r.UUID != l.VerityUUID {
		faults = append(faults, hash.fault("the verity UUID is %s, the layout says %s", r.UUID,
			l.VerityUUID))
	}
	if l.unified() {
		b, bootFaults := readUKI(boot)
		faults = append(faults, bootFaults...)
		return append(faults, drop(checkCommandLines(boot, b, v, &r),
			checkDevices(boot, b, entries, rootPart.Number, hashPart.Number))...), nil
	}
	b, bootFaults := readBoot(boot)
	faults = append(faults, bootFaults...)
	return append(faults, drop(checkCommandLines(boot, b, v, &r))...), nil
}
