// boot: starts a variant's image in QEMU, with its console on the terminal, or headless as a check.

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sbkeys"
	"buildsys/internal/uefi"
	"buildsys/internal/vm"
	"buildsys/internal/workspace"
)

// bootOptions holds the flags of boot.
type bootOptions struct {
	check    bool
	dev      bool
	watch    bool
	bios     bool
	from     string // directory
	code     string // firmware
	vars     string
	accel    string
	forwards []string
	outbound bool
	memory   int
	timeout  time.Duration
}

const bootHelp = `Starts the newest image of a variant in QEMU, with UEFI firmware (with --bios a
BIOS), and puts its serial console on the terminal. Leave with Ctrl-A X; every
other key, Ctrl-C too, goes to the system. What it prints is also saved in
build/logs/ARCH/boot-VARIANT.log. For a variant with uefi-secure-boot, Secure
Boot is on and the keys of the profile are enrolled. The image never changes:
what the system writes is discarded. An image in build/ that you have not made,
as it came with the checkout, is not started: name its directory with --from.

With --dev it first builds what has changed, in an image for now: of the image
of build-variant only the disks, without compression, in build/dev-images/. It
runs the same system, with the build ID "dev". With --watch it does so again
whenever a file that takes part changes: once there is another image, the
machine is ended and that image booted, and when the system is ready a line says
how long each part took. What cannot be built leaves the machine alone. Ctrl-C
ends everything, and all other keys go to the system. Without a terminal the
system gets no input, and its console comes in lines.

The hypervisor of this machine is used where the image is for its architecture
and QEMU can start a machine with it, else slow emulation, with a line that says
why. --accel insists on one.

Without --forward and --outbound the system has no network. A port that
--forward names is forwarded to the system; only programs of this machine can
connect to it unless an address is before the port. The system itself reaches
nobody by that: neither servers of this machine, nor its network, nor a cloud's
metadata service. --outbound lets it reach all of these; this machine is
10.0.2.2. The system has to ask for an address by DHCP, as the package console
of Skiff and of new trees does.

With --check it runs without a terminal, waits until the system reports that it
is ready, and shuts it down.`

func newBootCommand(a *app) *cobra.Command {
	var o bootOptions
	cmd := &cobra.Command{
		Use:   "boot [VARIANT]",
		Short: "Start a variant's newest image in QEMU",
		Long:  bootHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.checkFlags(); err != nil {
				return err
			}
			a.dev = o.dev || o.watch
			c, s, err := a.resolveVariant(args)
			if err != nil {
				return err
			}
			return a.boot(cmd.Context(), c, s, o)
		},
	}
	cmd.Flags().BoolVar(&o.dev, "dev", false, "first build what has changed, in an image for now")
	cmd.Flags().BoolVar(&o.watch, "watch", false, "as --dev, and again whenever a file changes")
	cmd.Flags().BoolVar(&o.check, "check", false, "run headless and only see whether it gets ready")
	cmd.Flags().BoolVar(&o.bios, "bios", false, "start it by a BIOS instead of UEFI (x86_64)")
	cmd.Flags().StringVar(&o.from, "from", "",
		"directory with the outputs of the image's build (default: the newest of the variant)")
	cmd.Flags().StringVar(&o.code, "firmware", "", "UEFI firmware: the flash image with its code "+
		"(default: the distribution's, as in qemu/firmware/*.json)")
	cmd.Flags().StringVar(&o.vars, "firmware-vars", "",
		"the flash image with the variables of that firmware")
	cmd.Flags().StringVar(&o.accel, "accel", "auto",
		"QEMU's accelerator: auto, kvm, hvf, or tcg for emulation")
	cmd.Flags().StringArrayVar(&o.forwards, "forward", nil, "[ADDRESS:]HOSTPORT:GUESTPORT: forward a "+
		"TCP port of this machine to one of the system (can be repeated)")
	cmd.Flags().BoolVar(&o.outbound, "outbound", false,
		"let the system connect to this machine and to whatever that reaches")
	cmd.Flags().IntVar(&o.memory, "memory", 1024, "memory of the machine in MiB")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 5*time.Minute,
		"with --check: how long to wait for the ready line")
	return cmd
}

// checkedBoot are the defaults of boot --check.
func checkedBoot() bootOptions {
	return bootOptions{check: true, accel: "tcg", memory: 1024, timeout: 5 * time.Minute}
}

// checkFlags refuses flags that contradict each other.
func (o bootOptions) checkFlags() error {
	switch {
	case o.from != "" && (o.dev || o.watch):
		return errkind.Usagef("--from is for an image that exists: leave it out with --dev and --watch")
	case o.check && o.watch:
		return errkind.Usagef("--check ends when the system is ready: leave it out with --watch")
	}
	return nil
}

// boot starts an image of the session's variant.
func (a *app) boot(ctx context.Context, c build.Config, s *build.Session, o bootOptions) error {
	machine, err := a.machine(c, o)
	if err != nil {
		return err
	}
	if o.watch {
		return a.watchBoot(ctx, c, machine)
	}
	if machine.Image, machine.DataImage, err = a.bootImage(ctx, s, o); err != nil {
		return err
	}
	log, err := s.CreateBootLog()
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer log.Close()
	a.announce(ctx, &machine, c.Variant, s.BootLog())
	if o.check {
		return errors.Join(a.bootCheck(ctx, c, machine, o.timeout, log), log.Close())
	}
	if isTerminal(machine.Stdout) {
		machine.Stdout = vm.KeepScreen(machine.Stdout)
	}
	fmt.Fprintln(a.sys.Stderr, "leave with Ctrl-A X; Ctrl-C and all other keys go to the system")
	return errors.Join(vmError(vm.Run(ctx, machine, log)), log.Close())
}

// machine returns the machine that the flags ask for, without its disks. Where an image is built
// first, it must be known that there is a machine for it.
func (a *app) machine(c build.Config, o bootOptions) (m vm.Config, err error) {
	certificates, err := enrolled(c, o.bios)
	if err != nil {
		return m, err
	}
	m = vm.Config{
		Arch: c.Arch, MemoryMiB: o.memory, Accel: o.accel,
		Firmware: vm.Firmware{BIOS: o.bios}, SecureBoot: certificates,
		Stdin: a.sys.Stdin, Stdout: a.sys.terminal.stdout, Stderr: a.sys.terminal.stderr,
	}
	if o.code != "" {
		m.Firmware.Code = a.path(o.code)
	}
	if o.vars != "" {
		m.Firmware.Vars = a.path(o.vars)
	}
	if m.Network, err = o.network(); err != nil || !o.dev && !o.watch {
		return m, err
	}
	if o.watch && !isTerminal(m.Stdin) {
		m.Stdin = nil // machines follow each other, and a pipe has its bytes once
	}
	return m, vmError(vm.Installed(m))
}

// bootImage returns the disks to boot, which it builds with --dev.
func (a *app) bootImage(ctx context.Context, s *build.Session, o bootOptions) (system, data string,
	err error) {
	if o.dev {
		result, err := s.Build(ctx, build.Request{Image: true, Dev: true})
		if err != nil {
			return "", "", err
		}
		return result.DevImage()
	}
	if o.from != "" {
		o.from = a.path(o.from)
	}
	return s.BootImage(ctx, o.from)
}

// network returns the network that the flags ask for.
func (o bootOptions) network() (n vm.Network, err error) {
	for _, text := range o.forwards {
		f, err := vm.ParseForward(text)
		if err != nil {
			return n, errkind.Usagef("--forward: %w", err)
		}
		n.Forwards = append(n.Forwards, f)
	}
	n.Outbound = o.outbound
	return n, nil
}

// announce chooses the accelerator, and says what is booted and how.
func (a *app) announce(ctx context.Context, m *vm.Config, variant, log string) {
	why := ""
	if m.Accel == "auto" {
		m.Accel, why = vm.Accelerator(ctx, *m)
	}
	if why != "" {
		why = " (" + why + ")"
	}
	w := a.sys.Stderr
	fmt.Fprintf(w, "booting %s for %s with the accelerator %s%s\n", variant, m.Arch, m.Accel, why)
	fmt.Fprintf(w, "image %s\nconsole saved in %s\n", m.Image, log)
	for _, f := range m.Network.Forwards {
		fmt.Fprintf(w, "forwarding %s\n", f)
	}
	if m.Network.Outbound {
		fmt.Fprintln(w, "the system can connect to this machine, and to whatever that reaches")
	}
}

// enrolled returns the certificates for the firmware if the variant has uefi-secure-boot, and nil
// otherwise. A BIOS reads none, and does not start every image.
func enrolled(c build.Config, bios bool) (*uefi.Certificates, error) {
	ws, err := workspace.Load(c.Root, c.Strictness)
	if err != nil {
		return nil, err
	}
	v := ws.Variants[c.Variant]
	if bios && v != nil && v.ImageFormat == manifest.FormatUKI {
		return nil, errkind.Usagef("variant %s has image-format \"uki\" (%s), which only UEFI firmware "+
			"starts: leave --bios out", v.Name, v.File)
	}
	if bios || v == nil || !plan.HasSecureBoot(v) {
		return nil, nil
	}
	certificates, err := sbkeys.Certificates(c.Image.KeysDir)
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	return &certificates, nil
}

// readyLine matches the line with which a system says on its console that it is ready.
func readyLine(name string) *regexp.Regexp {
	return regexp.MustCompile(`^` + consoleName(name) + ` READY`)
}

// failedLine matches the line with which a system says that it will not get ready.
func failedLine(name string) *regexp.Regexp {
	return regexp.MustCompile(`Kernel panic|^` + consoleName(name) + ` FAILED`)
}

// consoleName matches the name of an OS as its console has it.
func consoleName(name string) string { return regexp.QuoteMeta(strings.ToUpper(name)) }

// bootCheck waits for the ready line.
func (a *app) bootCheck(ctx context.Context, c build.Config, machine vm.Config,
	timeout time.Duration, log io.Writer) error {
	result, err := vm.Check(ctx, machine, vm.CheckOptions{
		Ready:   readyLine(c.Image.Name),
		Fail:    failedLine(c.Image.Name),
		Timeout: timeout,
		Console: log,
	})
	if err != nil {
		return vmError(err)
	}
	fmt.Fprintf(a.sys.Stderr, "ready after %s\n", progress.Took(result.Took))
	fmt.Fprintln(a.sys.Stdout, result.ReadyLine)
	return nil
}

// vmError marks an error about a program that the machine lacks, as opposed to an image that does
// not boot.
func vmError(err error) error {
	if errors.Is(err, vm.ErrMissing) {
		return errkind.BadEnvironment(err)
	}
	return err
}
