// Images whose kernel is one program with its command line: the sample boots on firmware with its
// keys enrolled and not when a byte of that program is changed, and what packages and manifests
// must not do is refused.

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/image"
	"buildsys/internal/uefi"
)

func unified() secureVariant {
	const changed = ".EFI: the program was changed after it was signed"
	return secureVariant{"qemu-uki", image.Form{UKI: true}, []tamper{
		{"kernel", "Access Denied", changed, changeSection(".linux")},
		{"command line", "Access Denied", changed, changeSection(".cmdline")},
		{"who the OS is", "Access Denied", changed, changeSection(".osrel")},
		{"stub", "Access Denied", changed, changeSection(".text")},
		{"unsigned", "Access Denied", "firmware would not start it: it is not signed", removeSignature},
	}}
}

func TestUnifiedKernel(t *testing.T)        { testSecureBoot(t, "x86_64", unified()) }
func TestUnifiedKernelAarch64(t *testing.T) { testSecureBoot(t, "aarch64", unified()) }

// changeSection flips one bit in the middle of a section of the program on the ESP.
func changeSection(name string) func(*testing.T, *secureDisk) []patch {
	return func(t *testing.T, d *secureDisk) []patch {
		program, err := uefi.ParseProgram(d.files["program"])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range program.Sections() {
			if s.Name == name {
				middle := s.Data[len(s.Data)/2:]
				middle = middle[:min(64, len(middle))]
				return []patch{{find(t, d.esp, d.at.esp, middle), middle[:1], []byte{middle[0] ^ 1}}}
			}
		}
		t.Fatalf("the program has no section %s", name)
		return nil
	}
}

// labels returns the labels of a disk's partitions.
func labels(r image.Report) []string {
	var all []string
	for _, p := range r.Partitions {
		all = append(all, p.Label)
	}
	return all
}

func inspectDisk(t *testing.T, file string) image.Report {
	t.Helper()
	r := buildsys(t, t.TempDir(), nil, "inspect", "--json", file)
	var report struct{ Images []image.Report }
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Images) != 1 {
		t.Fatalf("inspect: %v\n%s%s", err, r.stdout, r.stderr)
	}
	return report.Images[0]
}

// testUKI checks an image of the format uki that is standalone, and one that is standalone only.
func testUKI(t *testing.T, root, arch string) {
	dir := buildImage(t, root, arch, "try-uki")
	stem := filepath.Join(dir, "tiny-try-uki-"+arch+"-1.2.3-abc")
	want := []string{"-migrations.tar", "-root.ext4.lz4", "-root.verity.lz4", ".img.lz4"}
	if got := outputs(t, dir, filepath.Base(stem)); !slices.Equal(got, want) {
		t.Errorf("outputs %q\nwant %q", got, want)
	}
	disk := expand(t, stem+".img.lz4")
	parts := splitDisk(t, disk)
	tool(t, "fsck.fat", "-n", parts["EFI-SYSTEM"])
	checkESP(t, parts["EFI-SYSTEM"])
	verify(t, disk, parts)
	r := inspectDisk(t, disk)
	if got := labels(r); !slices.Equal(got, []string{"BIOS-BOOT", "EFI-SYSTEM", "TINY-ROOT-A",
		"TINY-HASH-A"}) {
		t.Errorf("partitions %q", got)
	}
	var sections, files []string
	for _, f := range r.Firmware {
		files = append(files, f.Path)
		for _, s := range f.Sections {
			sections = append(sections, s.Name)
		}
	}
	for _, name := range []string{".linux", ".cmdline", ".osrel", ".uname", ".sbat"} {
		if !slices.Contains(sections, name) {
			t.Errorf("the program has no %s: %q", name, sections)
		}
	}
	slices.Sort(files)
	program := map[string]string{"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI"}[arch]
	if !slices.Equal(files, []string{"EFI/Acme/setup.txt", "EFI/BOOT/." + program + ".hmac",
		"EFI/BOOT/" + program, "startup.nsh"}) {
		t.Errorf("the ESP has %q", files)
	}
	if line := r.Boot[0].Entries[0].CommandLine; !strings.HasPrefix(line,
		"console=ttyS0 root=/dev/dm-0 ") {
		t.Errorf("command line %q", line)
	}
	if arch == "x86_64" {
		reproducible(t, root, arch, "try-uki")
		testStandalone(t, root, arch)
	}
}

func testStandalone(t *testing.T, root, arch string) {
	dir := buildImage(t, root, arch, "try-alone")
	r := inspectDisk(t, filepath.Join(dir, "tiny-try-alone-"+arch+"-1.2.3-abc.img.lz4"))
	if got := labels(r); len(r.Faults) > 0 || !slices.Equal(got, []string{"BIOS-BOOT", "EFI-SYSTEM",
		"TINY-BOOT-A", "TINY-ROOT-A", "TINY-HASH-A"}) {
		t.Errorf("partitions %q, faults %q", got, r.Faults)
	}
}

// TestRefusedUKI: what packages must not do in an image of the format uki, or have to.
func TestRefusedUKI(t *testing.T) {
	root := imageTree(t)
	const manifest, spec = "variants/try-uki/Cargo.toml", "packages/unified/unified.spec"
	var long []string
	for i := range 10 {
		long = append(long, fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 200)))
	}
	for _, tt := range []struct{ name, file, old, new, want string }{
		{"boot loader", manifest, `["unified"]`, `["unified", "unified-loader"]`,
			"installs /boot/efi/EFI/BOOT/bootx64.efi, but in an image of the format uki the firmware " +
				"starts the kernel"},
		{"two stubs", manifest, `["unified"]`, `["unified", "unified-stubs"]`,
			"must install exactly one linuxx64.efi.stub"},
		{"long command line", manifest, `"console=ttyS0"`,
			strings.Join(long, ", "),
			"of which the kernel reads 2047: shorten kernel-parameters"},
		{"kernel without a stub of its own", spec, "cp %{efi}/%{stub} $r/boot/vmlinuz",
			"seq 900 >$r/boot/vmlinuz", "/boot/vmlinuz of variant try-uki is no program for the firmware"},
		{"modules of two kernels", spec, "6.12.1-tiny", "{6.12.1,6.12.2}-tiny",
			"has modules of several kernels: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(root, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			defer write(t, root, tt.file, string(data))
			write(t, root, tt.file, strings.ReplaceAll(string(data), tt.old, tt.new))
			buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-uki").must(t, 3, tt.want)
		})
	}
}
