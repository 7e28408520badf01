// Package vm runs disk images in QEMU: on the terminal for people, or headless, watching the serial
// console for the line that says that the system is up. Images are never changed: the guest's
// writes are discarded.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/uefi"
)

// Reasons why a run fails; the returned errors wrap them.
var (
	ErrMissing = errors.New("not installed")                       // QEMU or the firmware
	ErrTimeout = errors.New("not ready in time")                   // Check's Timeout passed
	ErrReset   = errors.New("the guest reset before it was ready") // what dm-verity does on corruption
	ErrPanic   = errors.New("the guest's kernel panicked before it was ready")
	ErrStopped = errors.New("the guest powered off before it was ready")
)

// Config describes a machine. Only Arch and Image are required.
type Config struct {
	Arch      string // "x86_64" or "aarch64"
	Image     string // OS disk: raw, qcow2 or vmdk file, or a raw one compressed to .lz4
	DataImage string // second disk, likewise; empty for none
	Firmware  Firmware
	// SecureBoot makes the firmware start only what these certificates trust. The firmware's Vars
	// is then a template: its format counts, not its variables.
	SecureBoot *uefi.Certificates
	MemoryMiB  int    // default 1024
	CPUs       int    // default 1
	CPU        string // QEMU's name of the processor model; default: one that fits Arch and Accel
	Accel      string // default Emulation; see Accelerator
	Program    string // default qemu-system-<arch>
	Network    Network
	// TempDir is where compressed images are expanded (sparse, 1-3 GiB); default os.TempDir().
	TempDir string

	Stdin          io.Reader // Run only; a terminal should be given as *os.File
	Stdout, Stderr io.Writer // Run only
}

// Firmware is what the machine starts with. The zero value is the distribution's UEFI firmware.
type Firmware struct {
	Code, Vars string // flash images; Vars is copied for the run
	BIOS       bool   // x86_64: QEMU's own SeaBIOS instead
}

// stopGrace is how long QEMU may take to end after it was told to, before it is killed.
const stopGrace = 5 * time.Second

// Run runs the machine with its serial console on Stdin and Stdout until it powers off, the user
// leaves with Ctrl-A X, or ctx ends. QEMU itself puts a terminal into raw mode and back. What the
// guest prints is also in log, which may be nil.
func Run(ctx context.Context, c Config, log *os.File) error {
	return run(ctx, c, log, "off")
}

// RunInterruptible is Run with a terminal on which Ctrl-C is what it is to other programs, and no
// key for the guest.
func RunInterruptible(ctx context.Context, c Config, log *os.File) error {
	return run(ctx, c, log, "on")
}

func run(ctx context.Context, c Config, log *os.File, signals string) (err error) {
	m, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.remove()) }()
	// As "mon:stdio", with a log.
	console := "stdio,id=console,mux=on,signal=" + signals
	var files []*os.File
	if log != nil {
		console, files = console+",logfile=/dev/fd/3", []*os.File{log}
	}
	cmd := exec.CommandContext(ctx, m.program, append(m.args, "-chardev", console,
		"-serial", "chardev:console", "-mon", "chardev=console")...)
	cmd.Env, cmd.ExtraFiles = m.env, files
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	// SIGTERM, unlike SIGKILL, lets QEMU reset the terminal.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", m.program, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.program, err)
	}
	return nil
}

// find returns c with everything filled in that it leaves open. If QEMU or the firmware is missing,
// the error wraps ErrMissing and says what to install.
func find(c Config) (Config, arch, error) {
	a, err := archOf(c.Arch)
	if err != nil {
		return c, a, err
	}
	c = withDefaults(c, a)
	if c.Program, err = findProgram(c, a); err != nil {
		return c, a, err
	}
	c.Firmware, err = findFirmware(c, a)
	return c, a, err
}

// Installed returns an error that wraps ErrMissing if this machine lacks QEMU or the firmware.
func Installed(c Config) error {
	_, _, err := find(c)
	return err
}

func findProgram(c Config, a arch) (string, error) {
	program, err := exec.LookPath(c.Program)
	if err != nil {
		return "", fmt.Errorf("%s is %w: %s", c.Program, ErrMissing,
			install(c.Arch, func(p packages) string { return p.qemu }))
	}
	return program, nil
}

// machine is a Config with all programs found and all temporary files made.
type machine struct {
	program string
	args    []string
	env     []string
	dir     string // temporary
}

func prepare(ctx context.Context, c Config) (m *machine, err error) {
	c, a, err := find(c)
	if err != nil {
		return nil, err
	}
	m = &machine{program: c.Program}
	if m.dir, err = os.MkdirTemp(c.TempDir, "buildsys-vm-"); err != nil {
		return nil, fmt.Errorf("prepare virtual machine: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.remove())
			m = nil
		}
	}()
	// Whatever QEMU writes goes with the machine.
	m.env = append(os.Environ(), "TMPDIR="+m.dir)
	if c.Firmware.Vars != "" {
		vars := filepath.Join(m.dir, "vars.fd")
		if err := makeVars(vars, c); err != nil {
			return m, fmt.Errorf("firmware: %w", err)
		}
		c.Firmware.Vars = vars
	}
	var disks []disk
	for _, file := range []string{c.Image, c.DataImage} {
		if file == "" {
			continue
		}
		d, err := m.openDisk(ctx, file)
		if err != nil {
			return m, err
		}
		disks = append(disks, d)
	}
	m.args = arguments(c, a, disks)
	return m, nil
}

func withDefaults(c Config, a arch) Config {
	if c.Program == "" {
		c.Program = a.qemu
	}
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 1024
	}
	if c.CPUs == 0 {
		c.CPUs = 1
	}
	if c.Accel == "" {
		c.Accel = Emulation
	}
	if c.CPU == "" {
		c.CPU = a.cpu
		if c.Accel == "kvm" || c.Accel == "hvf" {
			c.CPU = "host"
		}
	}
	return c
}

func (m *machine) remove() error { return os.RemoveAll(m.dir) }

// maxFlash bounds a flash image. The largest, for ARM, have 64 MiB.
const maxFlash = 128 << 20

// makeVars writes the machine's own flash image with variables. It checks the code, too, as QEMU
// would wait for a pipe.
func makeVars(file string, c Config) error {
	if err := (confined.Path{Name: c.Firmware.Code}).Check(); err != nil {
		return err
	}
	flash, err := confined.Path{Name: c.Firmware.Vars}.Read(maxFlash)
	if err != nil {
		return err
	}
	if c.SecureBoot != nil {
		if flash, err = uefi.Enroll(flash, *c.SecureBoot); err != nil {
			return fmt.Errorf("%s: %w", c.Firmware.Vars, err)
		}
	}
	return os.WriteFile(file, flash, 0o600)
}
