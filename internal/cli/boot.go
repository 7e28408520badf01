// boot: starts a variant's image in QEMU, with its console on the terminal or headless as a check.

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sbkeys"
	"buildsys/internal/uefi"
	"buildsys/internal/vm"
	"buildsys/internal/workspace"
)

// bootOptions are the flags of boot.
type bootOptions struct {
	check   bool
	bios    bool
	accel   string
	memory  int
	timeout time.Duration
}

func newBootCommand(sys *System, s *settings) *cobra.Command {
	var o bootOptions
	cmd := &cobra.Command{
		Use:   "boot [VARIANT]",
		Short: "Start a variant's newest image in QEMU",
		Long: `Starts the newest image of a variant in QEMU with UEFI firmware (a BIOS with --bios) and its serial console on
the terminal; leave with Ctrl-A X. For a variant with uefi-secure-boot the firmware has Secure Boot on and the
keys of the profile enrolled. The image is never changed: what the system writes is thrown away.

With --check it runs headless, waits for the system to say that it is ready, has it shut down, and saves the
console to build/logs/ARCH/boot-VARIANT.log.

` + exitStatusHelp,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			if err := c.pickVariant(sys, args); err != nil {
				return err
			}
			return boot(cmd.Context(), sys, c, o)
		},
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "run headless and only see whether it gets ready")
	cmd.Flags().BoolVar(&o.bios, "bios", false, "start it by a BIOS instead of UEFI (x86_64)")
	cmd.Flags().StringVar(&o.accel, "accel", "tcg", "QEMU accelerator; kvm is faster where it works")
	cmd.Flags().IntVar(&o.memory, "memory", 1024, "memory of the machine in MiB")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute, "with --check: how long to wait for the ready line")
	return cmd
}

func boot(ctx context.Context, sys *System, c config, o bootOptions) error {
	image, data, err := newestImage(c)
	if err != nil {
		return err
	}
	machine := vm.Config{
		Arch: c.arch, Image: image, DataImage: data, MemoryMiB: o.memory, Accel: o.accel,
		Firmware: vm.Firmware{BIOS: o.bios},
		Stdin:    sys.Stdin, Stdout: sys.Stdout, Stderr: sys.Stderr,
	}
	if !o.bios {
		if machine.SecureBoot, err = c.enrolled(); err != nil {
			return err
		}
	}
	if o.check {
		return bootCheck(ctx, sys, c, machine, o.timeout)
	}
	return vmError(vm.Run(ctx, machine))
}

// enrolled returns the certificates for the firmware when the variant has uefi-secure-boot, else nil.
func (c config) enrolled() (*uefi.Certificates, error) {
	ws, err := workspace.Load(c.root, c.strictness)
	if err != nil {
		return nil, err
	}
	v := ws.Variants[c.variant]
	if v == nil || !plan.HasSecureBoot(v) {
		return nil, nil
	}
	certificates, err := sbkeys.Certificates(c.keysDir)
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	return &certificates, nil
}

// newestImage finds the disks of the variant's newest image in whatever format it has; data is empty when everything is
// on one disk.
func newestImage(c config) (system, data string, err error) {
	dir := filepath.Join(c.buildDir(), "images", c.arch+"-"+c.variant, "latest")
	for _, format := range []string{"raw", "qcow2", "vmdk"} {
		suffix := plan.DiskSuffix(format)
		images, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if err != nil {
			return "", "", err
		}
		for _, image := range images {
			if info, err := os.Lstat(image); err != nil || !info.Mode().IsRegular() {
				continue // a link under one of its other names
			}
			if strings.HasSuffix(image, "-data"+suffix) {
				data = image
			} else {
				system = image
			}
		}
	}
	if system == "" {
		return "", "", errkind.Usagef("there is no image of %s for %s in %s: run buildsys build-variant %[1]s --arch %[2]s first",
			c.variant, c.arch, dir)
	}
	return system, data, nil
}

func bootCheck(ctx context.Context, sys *System, c config, machine vm.Config, timeout time.Duration) error {
	path := filepath.Join(c.buildDir(), "logs", c.arch, "boot-"+c.variant+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return errkind.BadEnvironment(err)
	}
	console, err := os.Create(path)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer console.Close()
	fmt.Fprintf(sys.Stderr, "booting %s; console in %s\n", machine.Image, path)
	name := regexp.QuoteMeta(strings.ToUpper(c.name))
	result, err := vm.Check(ctx, machine, vm.CheckOptions{
		Ready:   regexp.MustCompile(`^` + name + ` READY`),
		Fail:    regexp.MustCompile(`Kernel panic|^` + name + ` FAILED`),
		Timeout: timeout,
		Console: console,
	})
	if err != nil {
		return vmError(err)
	}
	fmt.Fprintf(sys.Stderr, "ready after %s\n", progress.Took(result.Took))
	fmt.Fprintln(sys.Stdout, result.ReadyLine)
	return console.Close()
}

// vmError marks what the machine lacks, as opposed to an image that does not boot.
func vmError(err error) error {
	if errors.Is(err, vm.ErrMissing) {
		return errkind.BadEnvironment(err)
	}
	return err
}
