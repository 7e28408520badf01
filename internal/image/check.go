// Checks a finished disk image against the layout it was made from.

package image

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Check reads one disk of a finished image back: size and partition table are those of the layout, every file system
// fits its partition and has the UUID it was given, and the data under dm-verity has the root hash that is written in
// BOOT-A. size is in bytes. All faults are reported together, each with the partition it is in.
func Check(ctx context.Context, img io.ReaderAt, size int64, l Layout, disk string) error {
	d, ok := l.Disk(disk)
	if !ok {
		return fmt.Errorf("the layout has no %s disk", disk)
	}
	if size != d.SizeMiB*mib {
		return fmt.Errorf("%s disk has %d bytes, the layout says %d (%d MiB)", disk, size, d.SizeMiB*mib, d.SizeMiB)
	}
	table, err := ReadGPT(img, size)
	if err != nil {
		return fmt.Errorf("%s disk: %w", disk, err)
	}
	if err := compareGPT(table, d, l); err != nil {
		return fmt.Errorf("%s disk: %w", disk, err)
	}
	var errs []error
	for _, p := range l.Partitions {
		if p.Disk != disk {
			continue
		}
		if err := checkContents(p, section(img, p)); err != nil {
			errs = append(errs, fmt.Errorf("partition %s: %w", p.Key, err))
		}
	}
	if err := errors.Join(errs...); err != nil || disk != OSDisk {
		return err
	}
	return checkVerity(ctx, img, l)
}

func section(img io.ReaderAt, p Partition) *io.SectionReader {
	return io.NewSectionReader(img, p.StartMiB*mib, p.SizeMiB*mib)
}

// compareGPT holds the table found against the one wanted.
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
		differ(where, "attributes", fmt.Sprintf("%#x", e.Attributes), fmt.Sprintf("%#x", attributeMask(p.Attributes)))
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

// checkContents checks what one partition holds, as far as its superblock tells.
func checkContents(p Partition, part *io.SectionReader) error {
	fs, err := ReadFileSystem(part)
	if err != nil {
		return err
	}
	if fs.Kind == "" {
		switch p.Key {
		case "EFI-A", "BOOT-A", "ROOT-A":
			return errors.New("holds no file system that is known: the image would not boot")
		}
		return nil
	}
	if fs.Size > part.Size() {
		return tooLarge("its "+fs.Kind+" file system", fs.Size, part.Size())
	}
	if p.FSUUID != "" && fs.UUID != "" && fs.UUID != p.FSUUID {
		return fmt.Errorf("its %s file system has UUID %s, the layout says %s", fs.Kind, fs.UUID, p.FSUUID)
	}
	return nil
}

func tooLarge(what string, needed, available int64) error {
	return fmt.Errorf("%s needs %s MiB, but %s MiB are available", what, inMiB(needed), inMiB(available))
}

// inMiB writes a size with as many decimals as show that it is not a whole number.
func inMiB(n int64) string {
	if n%mib == 0 {
		return fmt.Sprint(n / mib)
	}
	return fmt.Sprintf("%.2f", float64(n)/mib)
}

// checkVerity verifies bank A: the tree against the data, and its root hash against the boot loader's configuration.
func checkVerity(ctx context.Context, img io.ReaderAt, l Layout) error {
	root, ok1 := l.Partition("ROOT-A")
	hash, ok2 := l.Partition("HASH-A")
	boot, ok3 := l.Partition("BOOT-A")
	if !ok1 || !ok2 || !ok3 {
		return errors.New("the layout lacks ROOT-A, HASH-A or BOOT-A")
	}
	v, err := ReadVerity(section(img, hash))
	if err != nil {
		return fmt.Errorf("partition HASH-A: %w", err)
	}
	if n := v.DataSize(); n > root.SizeMiB*mib {
		return fmt.Errorf("partition ROOT-A: %w", tooLarge("the data under the hash tree", n, root.SizeMiB*mib))
	}
	if n := v.HashSize(); n > hash.SizeMiB*mib {
		return fmt.Errorf("partition HASH-A: %w", tooLarge("the hash tree", n, hash.SizeMiB*mib))
	}
	if fs, err := ReadFileSystem(section(img, root)); err == nil && fs.Size > v.DataSize() {
		return fmt.Errorf("partition ROOT-A: its %s file system has %d bytes, but only %d are under the hash tree", fs.Kind, fs.Size, v.DataSize())
	}
	if salt := hex.EncodeToString(v.Salt); l.Salt != "" && salt != l.Salt {
		return fmt.Errorf("partition HASH-A: the salt is %s, the layout says %s", salt, l.Salt)
	}
	if l.VerityUUID != "" && v.UUID != l.VerityUUID {
		return fmt.Errorf("partition HASH-A: the verity UUID is %s, the layout says %s", v.UUID, l.VerityUUID)
	}
	rootHash, err := v.Verify(ctx, section(img, root), section(img, hash))
	if err != nil {
		return fmt.Errorf("partition ROOT-A does not verify: %w", err)
	}
	named, err := contains(ctx, section(img, boot), []byte(rootHash))
	if err != nil {
		return fmt.Errorf("partition BOOT-A: %w", err)
	}
	if !named {
		return fmt.Errorf("partition BOOT-A does not name the root hash of ROOT-A, %s: the image would not boot", rootHash)
	}
	return nil
}

// contains searches raw bytes. That finds text in a file system without reading the file system: grub.cfg is smaller
// than a block, and a block is never torn.
func contains(ctx context.Context, r io.Reader, needle []byte) (bool, error) {
	buf := make([]byte, mib)
	kept := 0
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := io.ReadFull(r, buf[kept:])
		if bytes.Contains(buf[:kept+n], needle) {
			return true, nil
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("search: %w", err)
		}
		kept = copy(buf, buf[len(buf)-len(needle)+1:])
	}
}
