// Which accelerator a machine can have: the host's hypervisor where it works, or else emulation.

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"buildsys/internal/safetext"
)

// Emulation is QEMU's accelerator that works everywhere.
const Emulation = "tcg"

var (
	// kvmDevice is where Linux offers its hypervisor.
	kvmDevice = "/dev/kvm"
	// probeTime is how long a machine may take to start and end. On an idle host that is a tenth of
	// a second; a hypervisor inside another may hang for ever.
	probeTime = 20 * time.Second
)

// Accelerator returns the best accelerator for a machine, and if that is emulation, why. That there
// is a hypervisor does not mean that it works, as a container or a cloud may offer half of one: so
// QEMU has to start a machine with it.
func Accelerator(ctx context.Context, c Config) (name, why string) {
	name = "kvm"
	switch {
	case goArch(c.Arch) != runtime.GOARCH:
		return Emulation, "this machine is not " + c.Arch
	case runtime.GOOS == "darwin":
		name = "hvf"
	default:
		f, err := os.OpenFile(kvmDevice, os.O_RDWR, 0)
		if err != nil {
			return Emulation, "no KVM: " + err.Error()
		}
		_ = f.Close() // nothing was written
	}
	c.Accel = name
	if err := probe(ctx, c); err != nil {
		return Emulation, fmt.Sprintf("%s does not work: %v", name, err)
	}
	return name, ""
}

func goArch(arch string) string {
	return map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]
}

// probe starts a machine without disks and ends it.
func probe(ctx context.Context, c Config) error {
	a, err := archOf(c.Arch)
	if err != nil {
		return err
	}
	c = withDefaults(c, a)
	if c.Program, err = findProgram(c, a); err != nil {
		return err
	}
	cmd := exec.Command(c.Program, "-no-user-config", "-nodefaults", "-display", "none",
		"-machine", a.machine, "-accel", c.Accel, "-cpu", c.CPU, "-m", "64",
		"-chardev", "stdio,id=qmp", "-mon", "chardev=qmp,mode=control")
	cmd.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"}{"execute":"quit"}`)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit, cancel := context.WithTimeoutCause(ctx, probeTime,
		errors.New("a machine does not end within "+probeTime.String()))
	defer cancel()
	select {
	case err = <-ended:
	case <-limit.Done():
		_ = cmd.Process.Kill()      // one that hangs in the kernel does not end:
		return context.Cause(limit) // nobody waits for it
	}
	first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	if err != nil && first != "" {
		return errors.New(safetext.Line(first))
	}
	return err
}
