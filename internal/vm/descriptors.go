// descriptors: the firmware that a distribution describes in qemu/firmware/*.json, QEMU's
// convention (docs/interop/firmware.json there), and what to install where there is none.

package vm

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
)

// descriptorDirs are the directories of descriptors. A file in an earlier one replaces that of the
// same name in a later one.
var descriptorDirs = []string{"/etc/qemu/firmware", "/usr/share/qemu/firmware"}

// maxDescriptor is far above the size of a descriptor.
const maxDescriptor = 1 << 20

// descriptor is what matters here of the description of a firmware.
type descriptor struct {
	Interfaces []string `json:"interface-types"`
	Mapping    struct {
		Device     string `json:"device"`
		Executable file   `json:"executable"`
		Template   file   `json:"nvram-template"`
	} `json:"mapping"`
	Targets []struct {
		Architecture string `json:"architecture"`
	} `json:"targets"`
	Features []string `json:"features"`
}

type file struct {
	Name   string `json:"filename"`
	Format string `json:"format"`
}

// described returns the firmware for an architecture that this machine describes, the preferred one
// first: without keys of others, and with Secure Boot only if that is wanted.
func described(arch string, secure bool) []Firmware {
	files := map[string]string{}
	for _, dir := range slices.Backward(descriptorDirs) {
		found, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, at := range found {
			files[filepath.Base(at)] = at
		}
	}
	var out []Firmware
	for _, name := range slices.Sorted(maps.Keys(files)) {
		d, ok := readDescriptor(files[name])
		if ok && d.fits(arch, secure) {
			out = append(out, Firmware{Code: d.Mapping.Executable.Name, Vars: d.Mapping.Template.Name})
		}
	}
	return out
}

// readDescriptor reads a descriptor. One that is empty only hides others.
func readDescriptor(at string) (d descriptor, ok bool) {
	data, err := confined.Path{Name: at}.Read(maxDescriptor)
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	return d, err == nil
}

func (d descriptor) fits(arch string, secure bool) bool {
	has := func(feature string) bool { return slices.Contains(d.Features, feature) }
	target := false
	for _, t := range d.Targets {
		target = target || t.Architecture == arch
	}
	raw := func(i file) bool { return i.Name != "" && (i.Format == "raw" || i.Format == "") }
	return target && slices.Contains(d.Interfaces, "uefi") && d.Mapping.Device == "flash" &&
		raw(d.Mapping.Executable) && raw(d.Mapping.Template) && !has("enrolled-keys") &&
		has("secure-boot") == secure && (secure || !has("requires-smm"))
}

// packages are the names that distributions give to QEMU and to its firmware.
type packages struct{ program, qemu, firmware string }

// managers are the programs that install packages, with the packages for an architecture.
func managers(arch string) []packages {
	if arch == "aarch64" {
		return []packages{
			{"apt-get install", "qemu-system-arm", "qemu-efi-aarch64"},
			{"dnf install", "qemu-system-aarch64-core", "edk2-aarch64"},
			{"pacman -S", "qemu-system-aarch64", "edk2-aarch64"},
			{"zypper install", "qemu-arm", "qemu-uefi-aarch64"},
			{"apk add", "qemu-system-aarch64", "aavmf"},
		}
	}
	return []packages{
		{"apt-get install", "qemu-system-x86", "ovmf"},
		{"dnf install", "qemu-system-x86-core", "edk2-ovmf"},
		{"pacman -S", "qemu-system-x86", "edk2-ovmf"},
		{"zypper install", "qemu-x86", "qemu-ovmf-x86_64"},
		{"apk add", "qemu-system-x86_64", "ovmf"},
	}
}

// install returns the command that installs packages on this machine, with its own package manager.
func install(arch string, which func(packages) string) string {
	all := managers(arch)
	for _, m := range all {
		program, _, _ := strings.Cut(m.program, " ")
		if _, err := exec.LookPath(program); err == nil {
			return m.program + " " + which(m)
		}
	}
	return "install " + which(all[0]) + " (its name in Debian)"
}
