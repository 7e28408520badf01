// Inspects an image without knowing what it should be: reads everything and collects
// contradictions.

package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Inspect reads a disk image of size bytes. Whatever is wrong with it is in the Report's Faults;
// the only errors are ctx's.
func Inspect(ctx context.Context, img io.ReaderAt, size int64) (Report, error) {
	in := inspector{ctx: ctx, img: newMeter(ctx, img, size), size: size, report: Report{
		DiskBytes: size, Partitions: []PartitionReport{}, Roots: []Root{}, Boot: []Boot{},
		Firmware:  []FirmwareFile{},
		OSRelease: map[string]string{}, Packages: []Package{}, Notes: []string{}, Faults: []string{},
	}}
	table, err := ReadGPT(in.img, size)
	if err != nil {
		in.fault(err)
		table, _ = salvageGPT(in.img, size)
	}
	in.report.DiskGUID, in.entries = table.DiskGUID, table.Entries
	for _, e := range table.Entries {
		in.partition(e)
	}
	err = in.banks()
	if ctx.Err() != nil { // it may look like a fault of the image
		err = context.Cause(ctx)
	}
	return in.report, err
}

type inspector struct {
	ctx    context.Context
	img    io.ReaderAt
	size   int64
	report Report

	entries []Entry // of the partition table

	// the partitions of the banks, A before B
	boot, root, hash []bankPart
	// unified are the ESPs with unified kernel images, which take the place of BOOT.
	unified []bankPart
}

// bankPart is a partition of a bank. It is empty if nothing known is in it.
type bankPart struct {
	section
	empty  bool
	number int
}

func (in *inspector) fault(err error) { in.report.Faults = append(in.report.Faults, err.Error()) }

// Role returns what a partition of a type is for.
func Role(typeGUID string) string {
	switch typeGUID {
	case typeBIOS:
		return "BIOS boot loader"
	case typeEFI:
		return "EFI system"
	case typeEFIB:
		return "EFI system backup"
	case typeBoot:
		return "boot"
	case typeRoot:
		return "root"
	case typeHash:
		return "hash tree of root"
	case typeReserved:
		return "reserved"
	case typePrivate:
		return "private settings"
	case typeData:
		return "data"
	}
	return "unknown"
}

// partition reports one entry of the table and assigns it to its bank.
func (in *inspector) partition(e Entry) {
	name := e.Label
	if name == "" {
		name = fmt.Sprint(e.Number)
	}
	part := section{name, io.NewSectionReader(in.img, e.Start, e.Size)}
	p := PartitionReport{Number: e.Number, Label: e.Label, Role: Role(e.Type), Type: e.Type,
		GUID: e.GUID, Start: e.Start, Size: e.Size, Attributes: e.Attributes}
	if e.Start+e.Size > in.size {
		in.fault(part.fault("ends at byte %d, but the image has %d", e.Start+e.Size, in.size))
	} else {
		in.holds(part, &p)
	}
	in.report.Partitions = append(in.report.Partitions, p)
	of := bankPart{part, p.Holds == "", e.Number}
	switch e.Type {
	case typeEFI:
		if in.hasUnified(part.name) {
			in.unified = append(in.unified, of)
		}
	case typeBoot:
		in.boot = append(in.boot, of)
	case typeRoot:
		in.root = append(in.root, of)
	case typeHash:
		in.hash = append(in.hash, of)
	}
}

// holds finds out what a partition holds and how full it is.
func (in *inspector) holds(part section, p *PartitionReport) {
	if p.Type == typeHash {
		if v, err := ReadVerity(part); err == nil {
			p.Holds, p.UUID, p.HeldBytes, p.UsedBytes = "verity", v.UUID, v.HashSize(), v.HashSize()
		}
		return
	}
	fs, err := ReadFileSystem(part)
	if err != nil {
		in.fault(part.fault("%w", err))
		return
	}
	p.Holds, p.UUID, p.HeldBytes, p.UsedBytes = fs.Kind, fs.UUID, fs.Size, fs.Size
	if fs.Size > p.Size && fs.Kind != "vfat" {
		in.fault(part.fault("%w", tooLarge("its "+fs.Kind+" file system", fs.Size, p.Size)))
		return
	}
	switch fs.Kind {
	case "ext4":
		if e, err := OpenExt4(part, p.Size); err != nil {
			in.fault(part.fault("%w", err))
		} else {
			p.UsedBytes = e.Used()
		}
	case "erofs":
		if _, err := OpenErofs(part, p.Size); err != nil {
			in.report.Notes = append(in.report.Notes, part.fault("%w", err).Error())
		}
	case "vfat":
		switch err := in.fat(part, p); {
		case err != nil:
			in.fault(part.fault("%w", err))
		case fs.Size > p.Size: // as in images of Bottlerocket before 1.12
			in.report.Notes = append(in.report.Notes, part.fault("its vfat file system is made for %s MiB, "+
				"and the partition has %s MiB: all files are within it", inMiB(fs.Size), inMiB(p.Size)).Error())
		}
	}
}

func (in *inspector) fat(part section, p *PartitionReport) error {
	f, err := OpenFAT(part, p.Size)
	if err != nil {
		return err
	}
	p.UsedBytes = f.Used()
	if p.Type != typeEFI && p.Type != typeEFIB {
		return nil
	}
	files, err := f.Files()
	programs := 0
	for _, file := range files {
		one := FirmwareFile{Partition: part.name, Path: file.Name, Size: file.Size, SignedBy: []string{},
			Sections: []ProgramSection{}}
		if isProgram(file.Name) {
			programs++
		}
		if programs > maxPrograms {
			return fmt.Errorf("it has more than %d programs: those after them are not read", maxPrograms)
		}
		if program, err := f.Read(file, maxProgram); err == nil && isProgram(file.Name) {
			if one.SignedBy, err = signers(program); err != nil {
				in.fault(part.fault("%s: %w", file.Name, err))
			}
			one.Sections = sectionsOf(program)
		}
		in.report.Firmware = append(in.report.Firmware, one)
	}
	return err
}

// hasUnified reports whether a program on an ESP is a unified kernel image.
func (in *inspector) hasUnified(partition string) bool {
	return slices.ContainsFunc(in.report.Firmware, func(f FirmwareFile) bool {
		return f.Partition == partition && len(f.Sections) > 0
	})
}

// banks reads every bank that is filled. A bank B that waits for its first update is empty in all
// its partitions.
func (in *inspector) banks() error {
	if len(in.boot) == 0 {
		in.boot = in.unified
	}
	n := max(len(in.boot), len(in.root), len(in.hash))
	if n > maxBanks {
		in.fault(fmt.Errorf("the disk has %d banks, more than %d: the others are not read", n, maxBanks))
		n = maxBanks
	}
	for i := range n {
		if i >= len(in.boot) || i >= len(in.root) || i >= len(in.hash) {
			in.fault(fmt.Errorf("bank %c lacks some of boot, root and hash tree", 'A'+rune(i%26)))
			return nil
		}
		boot, root, hash := in.boot[i], in.root[i], in.hash[i]
		if i > 0 && boot.empty && root.empty && hash.empty {
			continue
		}
		r, v, faults, err := readRoot(in.ctx, root.section, hash.section)
		if err != nil {
			return err
		}
		b, more := in.readBoot(boot, root, hash)
		faults = append(faults, more...)
		for _, f := range append(faults, drop(checkCommandLines(boot.section, b, v, &r))...) {
			in.fault(f)
		}
		in.report.Roots, in.report.Boot = append(in.report.Roots, r), append(in.report.Boot, b)
		if i == 0 {
			in.rootFiles(root.section)
		}
	}
	return nil
}

// readBoot reads what a bank boots, from BOOT or from the ESP.
func (in *inspector) readBoot(boot, root, hash bankPart) (Boot, []error) {
	if len(in.unified) == 0 || boot.number != in.unified[0].number {
		return readBoot(boot.section)
	}
	b, faults := readUKI(boot.section)
	return b, append(faults, drop(checkDevices(boot.section, b, in.entries, root.number,
		hash.number))...)
}

// rootFiles reads what the root file system says about itself.
func (in *inspector) rootFiles(root section) {
	note := func(err error) {
		in.report.Notes = append(in.report.Notes, root.fault("%w", err).Error())
	}
	fs, err := OpenFiles(root, root.Size())
	if errors.Is(err, ErrNoFiles) {
		note(err)
		return
	}
	if err != nil {
		return // already reported as a fault
	}
	if text, err := ReadFile(fs, "usr/lib/os-release", maxConfigSize); err != nil {
		note(err)
	} else {
		in.report.OSRelease = ParseOSRelease(string(text))
	}
	packages, _, err := ReadInventory(fs)
	if err != nil {
		note(err)
	}
	in.report.Packages = append(in.report.Packages, packages...)
}

// ParseOSRelease parses NAME=value lines, in which a value may be quoted (os-release(5)).
func ParseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		values[name] = value
	}
	return values
}

// ParseInventory reads the RPMs in an inventory, without the source packages that it may name
// besides them.
func ParseInventory(text []byte) ([]Package, error) {
	var inventory struct {
		Content []struct {
			Package
			Summary string
		}
	}
	err := json.Unmarshal(text, &inventory)
	var packages []Package
	for _, p := range inventory.Content {
		if !strings.HasSuffix(p.Summary, sourcePackage) {
			packages = append(packages, p.Package)
		}
	}
	return packages, err
}

// sourcePackage ends the summary of what is no RPM: advisories name source packages.
const sourcePackage = " (source package)"

// ReadInventory reads the list of RPMs, which is in a directory named after the OS. It returns that
// name as well: names of RPMs may begin with it, but those in the list do not.
func ReadInventory(fs Files) ([]Package, string, error) {
	const name, limit = "application-inventory.json", 16 << 20
	share, _, err := Find(fs, "usr/share", true)
	if err != nil {
		return nil, "", fmt.Errorf("usr/share: %w", err)
	}
	dirs, err := fs.List(share)
	if err != nil {
		return nil, "", fmt.Errorf("usr/share: %w", err)
	}
	for _, entry := range dirs {
		// Not by its path, which would search usr/share again for each of its names.
		dir, err := fs.Stat(entry)
		if err != nil || dir.Type() != ModeDir {
			continue
		}
		file, err := child(fs, dir, name)
		if err != nil || file.Type() != ModeRegular {
			continue
		}
		text, err := contents(fs, file, limit)
		if err != nil {
			continue
		}
		packages, err := ParseInventory(text)
		if err != nil {
			return nil, "", fmt.Errorf("usr/share/%s/%s: %w", entry.Name, name, err)
		}
		return packages, entry.Name, nil
	}
	return nil, "", fmt.Errorf("usr/share has no directory with %s", name)
}
