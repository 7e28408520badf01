// Reads unified kernel images: programs on the ESP that are a kernel with its command line and the
// stub that starts it (UAPI group specification 5).

package image

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"buildsys/internal/uefi"
)

// The sections that a stub reads. Each may be there once.
const (
	kernelSection  = ".linux"
	commandSection = ".cmdline"
)

// maxCommandLine is what kernels for x86_64 and arm64 read of a command line (COMMAND_LINE_SIZE
// with a NUL).
const maxCommandLine = 2047

// bootPrograms are the programs that firmware starts if nobody has told it another, with the
// machines they are for.
var bootPrograms = map[string]uint16{
	"EFI/BOOT/BOOTX64.EFI":  uefi.MachineX64,
	"EFI/BOOT/BOOTAA64.EFI": uefi.MachineARM64,
}

// ProgramSection is a part of a unified kernel image.
type ProgramSection struct {
	Name string `json:"name"`
	Size int64  `json:"size_bytes"`
}

// sectionsOf returns the sections of a unified kernel image; none of any other file.
func sectionsOf(raw []byte) []ProgramSection {
	all, unified := []ProgramSection{}, false
	program, err := uefi.ParseProgram(raw)
	if err != nil {
		return all
	}
	for _, s := range program.Sections() {
		if len(all) == maxPrograms {
			break
		}
		unified = unified || s.Name == kernelSection
		all = append(all, ProgramSection{s.Name, int64(len(s.Data))})
	}
	if !unified {
		return []ProgramSection{}
	}
	return all
}

// UnifiedKernel returns the kernel in a unified kernel image.
func UnifiedKernel(raw []byte) ([]byte, error) {
	program, err := uefi.ParseProgram(raw)
	if err != nil {
		return nil, err
	}
	for _, s := range program.Sections() {
		if s.Name == kernelSection {
			return s.Data, nil
		}
	}
	return nil, fmt.Errorf("it has no section %s: it is no unified kernel image", kernelSection)
}

// readUKI reads the program that firmware starts, which must be a unified kernel image.
func readUKI(esp section) (Boot, []error) {
	b := Boot{Partition: esp.name, Entries: []BootEntry{}, KernelSignedBy: []string{}}
	fs, err := OpenFAT(esp, esp.Size())
	if err != nil {
		return b, []error{esp.fault("%w", err)}
	}
	files, err := fs.Files()
	if err != nil {
		return b, []error{esp.fault("%w", err)}
	}
	var found []DirEntry
	for _, f := range files {
		if _, ok := bootPrograms[strings.ToUpper(f.Name)]; ok {
			found = append(found, f)
		}
	}
	if len(found) != 1 {
		return b, []error{esp.fault("has %d programs that firmware starts (EFI/BOOT/BOOTX64.EFI or "+
			"BOOTAA64.EFI), where the kernel must be the only one", len(found))}
	}
	b.File = found[0].Name
	raw, err := fs.Read(found[0], maxProgram)
	if err != nil {
		return b, []error{esp.fault("%w", err)}
	}
	if err := b.readProgram(raw); err != nil {
		return b, []error{esp.fault("%s: %w", b.File, err)}
	}
	return b, nil
}

// readProgram reads what a unified kernel image starts.
func (b *Boot) readProgram(raw []byte) error {
	program, err := uefi.ParseProgram(raw)
	if err != nil {
		return fmt.Errorf("firmware would not start it: %w", err)
	}
	if want := bootPrograms[strings.ToUpper(b.File)]; program.Machine() != want {
		return fmt.Errorf("it is for the machine %#x, its name is that of one for %#x",
			program.Machine(), want)
	}
	parts := map[string][]byte{}
	for _, s := range program.Sections() {
		if _, twice := parts[s.Name]; twice {
			return fmt.Errorf("it has two sections %s: stubs take one or the other", s.Name)
		}
		parts[s.Name] = s.Data
	}
	kernel, err := uefi.ParseProgram(parts[kernelSection])
	switch {
	case len(parts[kernelSection]) == 0:
		return fmt.Errorf("it has no section %s: it is no unified kernel image", kernelSection)
	case err != nil:
		return fmt.Errorf("its kernel, the section %s, cannot be started: %w", kernelSection, err)
	case kernel.Machine() != program.Machine():
		return fmt.Errorf("its kernel is for the machine %#x, the stub for %#x", kernel.Machine(),
			program.Machine())
	}
	line, err := commandLine(parts[commandSection])
	if err != nil {
		return fmt.Errorf("the section %s: %w", commandSection, err)
	}
	b.Entries = append(b.Entries, BootEntry{CommandLine: line, Kernel: kernelSection,
		Title: ParseOSRelease(string(parts[".osrel"]))["PRETTY_NAME"]})
	b.KernelSignedBy, err = signers(raw)
	return err
}

// commandLine returns the command line in its section. It must be what the kernel will read.
func commandLine(data []byte) (string, error) {
	line := strings.TrimRight(string(data), "\x00\n ")
	switch {
	case line == "":
		return "", errors.New("is missing or empty: the kernel would not find its root")
	case len(line) > maxCommandLine:
		return "", fmt.Errorf("has %d bytes, of which the kernel reads %d", len(line), maxCommandLine)
	case strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }):
		return "", errors.New("has characters that are not printable ASCII")
	case strings.Count(line, `"`)%2 != 0:
		return "", errors.New("has a quotation mark without a counterpart")
	}
	return line, nil
}

// partUUID is how a kernel command line names a partition: by its GUID, or by that of another and
// the distance from it.
var partUUID = regexp.MustCompile(`^PARTUUID=([0-9A-Fa-f-]{36})(?:/PARTNROFF=(-?[0-9]{1,4}))?$`)

// checkDevices checks that a kernel command line maps the partitions with the given numbers.
func checkDevices(boot section, b Boot, entries []Entry, root, hash int) error {
	for _, e := range b.Entries {
		table, ok := e.Verity()
		if !ok { // reported by checkCommandLines
			continue
		}
		for _, one := range []struct {
			what, device string
			number       int
		}{{"root", table.DataDevice, root}, {"hash tree", table.HashDevice, hash}} {
			if got := partitionOf(one.device, entries); got != one.number {
				return boot.fault("the kernel command line in %s takes %s for the %s, which is partition %d, "+
					"not %d: the image would not boot", b.File, one.device, one.what, got, one.number)
			}
		}
	}
	return nil
}

// partitionOf returns the number of the partition that a kernel command line names, 0 if there is
// none.
func partitionOf(device string, entries []Entry) int {
	m := partUUID.FindStringSubmatch(device)
	if m == nil {
		return 0
	}
	offset, _ := strconv.Atoi(m[2]) // the pattern has digits only
	for _, e := range entries {
		if strings.EqualFold(e.GUID, m[1]) {
			return e.Number + offset
		}
	}
	return 0
}
