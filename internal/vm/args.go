// Differences between architectures, the location of firmware, and QEMU's command line.

package vm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"buildsys/internal/image"
)

// arch is what QEMU needs to know about an architecture.
type arch struct {
	qemu       string
	machine    string
	cpu        string // for TCG
	firmware   []Firmware
	secure     []Firmware // for Secure Boot; Vars is a template for the keys
	secureArgs []string   // options that such firmware needs
}

func archOf(name string) (arch, error) {
	switch name {
	case "x86_64":
		return arch{
			qemu:    "qemu-system-x86_64",
			machine: "q35",
			// cpu has RDRAND, without which a guest waits for entropy; five-level page tables only
			// cost time.
			cpu: "max,la57=off",
			firmware: []Firmware{
				{Code: "/usr/share/OVMF/OVMF_CODE_4M.fd", Vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
				{Code: "/usr/share/OVMF/OVMF_CODE.fd", Vars: "/usr/share/OVMF/OVMF_VARS.fd"},
				{Code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", Vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
			},
			secure: []Firmware{
				{Code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", Vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
				{Code: "/usr/share/OVMF/OVMF_CODE.secboot.fd", Vars: "/usr/share/OVMF/OVMF_VARS.fd"},
				{Code: "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", Vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
			},
			// Only firmware in system management mode may write the variables; otherwise the guest
			// could enrol its own keys.
			secureArgs: []string{"-machine", "smm=on", "-global",
				"driver=cfi.pflash01,property=secure,value=on"},
		}, nil
	case "aarch64":
		return arch{
			qemu:    "qemu-system-aarch64",
			machine: "virt",
			cpu:     "cortex-a57",
			firmware: []Firmware{
				{Code: "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", Vars: "/usr/share/AAVMF/AAVMF_VARS.fd"},
				{Code: "/usr/share/AAVMF/AAVMF_CODE.fd", Vars: "/usr/share/AAVMF/AAVMF_VARS.fd"},
				{Code: "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
					Vars: "/usr/share/edk2/aarch64/vars-template-pflash.raw"},
			},
			// The plain AAVMF_VARS.fd of Debian is blank and has no store to enrol keys in.
			secure: []Firmware{{Code: "/usr/share/AAVMF/AAVMF_CODE.fd",
				Vars: "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd"}},
		}, nil
	}
	return arch{}, fmt.Errorf("architecture %q is not supported: use x86_64 or aarch64", name)
}

// findFirmware returns the requested firmware, or the first that the distribution has.
func findFirmware(c Config, a arch) (Firmware, error) {
	f := c.Firmware
	switch {
	case f.BIOS && c.SecureBoot != nil:
		return f, errors.New("BIOS firmware has no Secure Boot: use UEFI")
	case f.BIOS && c.Arch != "x86_64":
		return f, fmt.Errorf("%s has no BIOS firmware: use UEFI", c.Arch)
	case f.BIOS:
		return Firmware{BIOS: true}, nil
	case (f.Code == "") != (f.Vars == ""):
		return f, fmt.Errorf("firmware needs both its code and its variables: got %q and %q", f.Code,
			f.Vars)
	case f.Code != "":
		return f, nil
	}
	var tried []string
	known := a.firmware
	if c.SecureBoot != nil {
		known = a.secure
	}
	known = append(known, described(c.Arch, c.SecureBoot != nil)...)
	for _, f := range known {
		if exists(f.Code) && exists(f.Vars) {
			return f, nil
		}
		tried = append(tried, f.Code)
	}
	return f, fmt.Errorf("UEFI firmware for %s is %w (looked for %s, and in %s): %s, or name it with "+
		"--firmware and --firmware-vars", c.Arch, ErrMissing, strings.Join(tried, ", "),
		strings.Join(descriptorDirs, ", "),
		install(c.Arch, func(p packages) string { return p.firmware }))
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// arguments returns all arguments except for the serial console. There are no default devices: no
// network card that would try to boot from the network, and no display.
func arguments(c Config, a arch, disks []disk) []string {
	machine := a.machine
	if !c.Firmware.BIOS {
		machine += ",pflash0=code,pflash1=vars"
	}
	args := []string{
		"-nodefaults", "-display", "none",
		"-machine", machine, "-accel", c.Accel, "-cpu", c.CPU,
		"-smp", strconv.Itoa(c.CPUs), "-m", strconv.Itoa(c.MemoryMiB),
		"-device", "virtio-rng-pci",
	}
	if c.SecureBoot != nil {
		args = append(args, a.secureArgs...)
	}
	if !c.Firmware.BIOS {
		args = append(args,
			"-blockdev", node{Driver: image.Raw, Name: "code", ReadOnly: true}.argument(c.Firmware.Code),
			"-blockdev", node{Driver: image.Raw, Name: "vars"}.argument(c.Firmware.Vars))
	}
	for i, d := range disks {
		of := d.arguments(i)
		if i == 0 { // UEFI firmware that is told so looks at no other device, nor at the network
			of[len(of)-1] += ",bootindex=0"
		}
		args = append(args, of...)
	}
	return append(args, c.Network.arguments()...)
}
