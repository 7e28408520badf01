// Unified kernel images are read, and mistakes in them have names.

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/manifest"
	"buildsys/internal/uefi"
)

// part is a section of a program that tests make.
type part struct {
	name string
	data []byte
}

// programOf returns an EFI program with these sections.
func programOf(machine uint16, parts ...part) []byte {
	le := binary.LittleEndian
	const optional, alignment = 88, 512
	head := make([]byte, (optional+240+40*len(parts)+alignment-1)/alignment*alignment)
	copy(head, "MZ")
	le.PutUint32(head[60:], 64)
	copy(head[64:], "PE\x00\x00")
	le.PutUint16(head[68:], machine)
	le.PutUint16(head[70:], uint16(len(parts)))
	le.PutUint16(head[84:], 240)
	le.PutUint16(head[optional:], 0x20b)
	le.PutUint32(head[optional+60:], uint32(len(head)))
	le.PutUint32(head[optional+108:], 16)
	body := []byte{}
	for i, p := range parts {
		h := head[optional+240+40*i:]
		copy(h[:8], p.name)
		padded := append(bytes.Clone(p.data), make([]byte, alignment-len(p.data)%alignment)...)
		le.PutUint32(h[8:], uint32(len(p.data)))
		le.PutUint32(h[16:], uint32(len(padded)))
		le.PutUint32(h[20:], uint32(len(head)+len(body)))
		body = append(body, padded...)
	}
	return append(head, body...)
}

// unifiedOf returns a unified kernel image for x86_64 with a command line.
func unifiedOf(line string) []byte {
	return programOf(uefi.MachineX64, part{".osrel", []byte("PRETTY_NAME=\"Skiff\"\n")},
		part{".cmdline", []byte(line)}, part{".linux", programOf(uefi.MachineX64)})
}

// fatWith returns a FAT of 4 MiB with files.
func fatWith(t *testing.T, files map[string][]byte) string {
	t.Helper()
	for _, program := range []string{"mkfs.vfat", "mmd", "mcopy"} {
		need.Program(t, program)
	}
	img := blank(t, "esp", 4*mib)
	run(t, "mkfs.vfat", "-i", "12345678", img)
	run(t, "mmd", "-i", img, "::/EFI", "::/EFI/BOOT")
	for name, data := range files {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, "mcopy", "-i", img, file, "::/"+name)
	}
	return img
}

func TestReadUKI(t *testing.T) {
	const x64 = "EFI/BOOT/BOOTX64.EFI"
	linux := part{".linux", programOf(uefi.MachineX64)}
	line := part{".cmdline", []byte("root=/dev/dm-0\x00")}
	for _, test := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"good", map[string][]byte{x64: unifiedOf("root=/dev/dm-0\n\x00")}, ""},
		{"no program", map[string][]byte{"EFI/x.efi": unifiedOf("x")},
			"has 0 programs that firmware starts"},
		{"two programs", map[string][]byte{x64: unifiedOf("x"), "EFI/BOOT/BOOTAA64.EFI": unifiedOf("x")},
			"has 2 programs that firmware starts"},
		{"no program at all", map[string][]byte{x64: []byte("text")}, "firmware would not start it"},
		{"another machine", map[string][]byte{x64: programOf(uefi.MachineARM64, line, linux)},
			"it is for the machine 0xaa64, its name is that of one for 0x8664"},
		{"no kernel", map[string][]byte{x64: programOf(uefi.MachineX64, line)},
			"it has no section .linux: it is no unified kernel image"},
		{"two command lines", map[string][]byte{x64: programOf(uefi.MachineX64, line, line, linux)},
			"it has two sections .cmdline"},
		{"no command line", map[string][]byte{x64: programOf(uefi.MachineX64, linux)},
			"the section .cmdline: is missing or empty"},
		{"kernel is text", map[string][]byte{x64: programOf(uefi.MachineX64, line,
			part{".linux", []byte("text")})}, "its kernel, the section .linux, cannot be started"},
		{"kernel for another machine", map[string][]byte{x64: programOf(uefi.MachineX64, line,
			part{".linux", programOf(uefi.MachineARM64)})},
			"its kernel is for the machine 0xaa64, the stub for 0x8664"},
		{"long command line", map[string][]byte{x64: unifiedOf(strings.Repeat("x", 2048))},
			"has 2048 bytes, of which the kernel reads 2047"},
		{"control characters", map[string][]byte{x64: unifiedOf("a\x1bb")}, "not printable ASCII"},
		{"quotation mark", map[string][]byte{x64: unifiedOf(`a="b`)}, "without a counterpart"},
	} {
		b, err := os.ReadFile(fatWith(t, test.files))
		if err != nil {
			t.Fatal(err)
		}
		boot, faults := readUKI(whole("EFI-A", b))
		err = errors.Join(faults...)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		if err == nil && (len(boot.Entries) != 1 || boot.Entries[0] != BootEntry{"Skiff", ".linux",
			"root=/dev/dm-0"} || boot.File != x64) {
			t.Errorf("%s: %+v", test.name, boot)
		}
	}
}

// ukiImage returns an OS disk whose kernel is on the ESP, with the given command line.
func ukiImage(t *testing.T, l Layout, line func(rootHash string) string) string {
	t.Helper()
	for _, program := range []string{"sgdisk", "veritysetup", "mke2fs"} {
		need.Program(t, program)
	}
	file := partitionWithSgdisk(t, l, OSDisk)
	at := func(key string) Partition { p, _ := l.Partition(key); return p }
	root := blank(t, "root", 8*mib)
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", at("ROOT-A").FSUUID, root)
	hash, rootHash := formatWithVeritysetup(t, root, l.Salt, l.VerityUUID)
	esp := fatWith(t, map[string][]byte{"EFI/BOOT/BOOTX64.EFI": unifiedOf(line(rootHash))})
	run(t, "mlabel", "-i", esp, "-N", at("EFI-A").FSUUID[:8])
	for key, contents := range map[string]string{"ROOT-A": root, "HASH-A": hash, "EFI-A": esp} {
		put(t, file, at(key).StartMiB*mib, contents)
	}
	return file
}

// TestCheckUKI: what a build checks and what inspect finds is the same.
func TestCheckUKI(t *testing.T) {
	need.Program(t, "mlabel")
	l, err := ForVariant(manifest.ImageLayout{OSImageSizeGiB: 1, DataImageSizeGiB: 1,
		PartitionPlan: Unified}, Form{UKI: true, Standalone: true}, sampleID())
	if err != nil {
		t.Fatal(err)
	}
	esp, _ := l.Partition("EFI-A")
	line := func(guid string, off1, off2 int, hash string) string {
		return fmt.Sprintf(`root=/dev/dm-0 dm-mod.create="root,,,ro,0 16384 verity 1 PARTUUID=%s/PARTNROFF=%d `+
			`PARTUUID=%[1]s/PARTNROFF=%[3]d 4096 4096 2048 1 sha256 %[4]s %[5]s 2"`, guid, off1, off2, hash, l.Salt)
	}
	other := strings.Repeat("0", 64)
	for _, test := range []struct {
		name string
		line func(hash string) string
		want string
	}{
		{"good", func(h string) string { return line(strings.ToUpper(esp.GUID), 1, 2, h) }, ""},
		{"hash", func(string) string { return line(esp.GUID, 1, 2, other) }, "names the root hash 0000"},
		{"distance", func(h string) string { return line(esp.GUID, 2, 1, h) },
			"takes PARTUUID=" + esp.GUID + "/PARTNROFF=2 for the root, which is partition 4, not 3"},
		{"partition", func(h string) string {
			return line("00000000-0000-0000-0000-000000000000", 1, 2, h)
		},
			"for the root, which is partition 0, not 3"},
		{"no table", func(string) string { return "root=/dev/vda3" }, "has no verity table"},
	} {
		img := ukiImage(t, l, test.line)
		err := CheckFile(t.Context(), img, "", l, OSDisk, nil)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		r := inspectFile(t, img)
		if faults := strings.Join(r.Faults, "\n"); (faults == "") != (test.want == "") ||
			!strings.Contains(faults, test.want) {
			t.Errorf("%s: faults %q, want %q", test.name, faults, test.want)
		}
		if len(r.Firmware) != 1 || len(r.Firmware[0].Sections) != 3 {
			t.Errorf("%s: firmware %+v", test.name, r.Firmware)
		}
	}
}

// FuzzUKI reads any program as if it was a unified kernel image.
func FuzzUKI(f *testing.F) {
	f.Add(unifiedOf("root=/dev/dm-0"))
	f.Add(programOf(uefi.MachineX64, part{".cmdline", []byte("a")}, part{".cmdline", []byte("b")}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := Boot{File: "EFI/BOOT/BOOTX64.EFI"}
		if err := b.readProgram(raw); err == nil && len(b.Entries) != 1 {
			t.Errorf("%+v", b)
		}
		if n := len(sectionsOf(raw)); n > maxPrograms {
			t.Errorf("%d sections", n)
		}
	})
}
