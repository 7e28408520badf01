// boot.go is the order of the boot, and what it says on the console. Whoever watches the console
// for the outcome looks for one line that begins with "SKIFF READY" or "SKIFF FAILED".

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"skiff/internal/osrelease"
)

// errNotVerified marks the one failure after which nothing more may run.
var errNotVerified = errors.New("root not verified")

func boot() error {
	ready, err := prepare()
	if err != nil {
		fmt.Printf("SKIFF FAILED %v\n", err)
		if errors.Is(err, errNotVerified) {
			return powerOff()
		}
		return err
	}
	fmt.Println(ready)
	return nil
}

// prepare brings the system up and returns its ready line.
func prepare() (string, error) {
	if err := mountSystem(); err != nil {
		return "", err
	}
	if err := startPower(); err != nil {
		return "", err
	}
	// From here on the console belongs to user space: only errors of the kernel may still break into
	// its lines.
	quietKernel()

	info, machine, err := identify()
	if err != nil {
		return "", err
	}
	fmt.Printf("\n%s\nvariant %s, %s\n", info, info.VariantID, machine)
	proof, err := verifyRoot()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotVerified, err)
	}
	fmt.Println(proof)

	for _, line := range mountData() {
		fmt.Println(line)
	}
	if err := setHostname(); err != nil {
		return "", err
	}
	return fmt.Sprintf("SKIFF READY %s %s %s root=verified", info, info.VariantID, machine), nil
}

// identify returns what the system and the machine say they are.
func identify() (osrelease.Info, string, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return osrelease.Info{}, "", fmt.Errorf("who am I: %w", err)
	}
	var uts syscall.Utsname
	if err := syscall.Uname(&uts); err != nil {
		return osrelease.Info{}, "", fmt.Errorf("uname: %w", err)
	}
	var machine strings.Builder
	for _, c := range uts.Machine {
		if c == 0 {
			break
		}
		machine.WriteByte(byte(c))
	}
	info := osrelease.Parse(string(text))
	if info.VariantID == "" {
		info.VariantID = "unknown"
	}
	return info, machine.String(), nil
}

// setHostname takes the name that somebody has set on this machine, else the image's. The kernel
// has a default too.
func setHostname() error {
	for _, file := range []string{privateDir + "/settings/hostname", "/etc/hostname"} {
		name, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = syscall.Sethostname([]byte(strings.TrimSpace(string(name))))
		}
		if err != nil {
			return fmt.Errorf("host name from %s: %w", file, err)
		}
		return nil
	}
	return nil
}

// quietKernel leaves errors and worse on the console. A failure to do so costs only looks.
func quietKernel() {
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("4"), 0)
}

// powerOff stops the machine at once, without init: what init would run cannot be trusted any more.
func powerOff() error {
	syscall.Sync()
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		return fmt.Errorf("power off: %w", err)
	}
	return nil
}
