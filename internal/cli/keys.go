// keys: makes the keys that images with uefi-secure-boot are signed with, and enrols them in
// firmware.

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/sbkeys"
	"buildsys/internal/uefi"
)

const keysHelp = `The keys of a profile sign the images of variants with the image feature
uefi-secure-boot, and firmware with these keys enrolled starts nothing else. A
profile is a directory: sbkeys/local, or the one that BUILDSYS_SBKEYS_PROFILE or
BUILDSYS_SBKEYS_PROFILE_DIR names. docs/secure-boot.md explains each file.`

func newKeysCommand(a *app) *cobra.Command {
	return group("keys", "Make and enrol the keys for Secure Boot", keysHelp,
		newKeysGenerate(a), newKeysEnroll(a))
}

func newKeysGenerate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "generate",
		Short: "Make a new set of keys",
		Long: `Makes all keys of the profile. It never overwrites a key: machines that trust
the old one would start nothing that is signed with another.`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			err = sbkeys.Generate(c.Image.KeysDir, c.Image.PrettyName)
			if errors.Is(err, sbkeys.ErrExists) {
				return errkind.BadUsage(err)
			}
			if err != nil {
				return errkind.BadEnvironment(err)
			}
			fmt.Fprintln(a.sys.Stdout, c.Image.KeysDir)
			return nil
		},
	}
}

func newKeysEnroll(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "enroll TEMPLATE OUTPUT",
		Short: "Write a flash image of UEFI variables in which the keys are enrolled",
		Long: `Writes a flash image of UEFI variables, for QEMU or libvirt, with Secure Boot on
and the keys of the profile as the only ones. TEMPLATE is an empty one for the
same firmware, such as OVMF_VARS_4M.fd of OVMF.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			return a.enroll(c.Image.KeysDir, a.path(args[0]), a.path(args[1]))
		},
	}
}

// maxFlash bounds a flash image of variables. Those of OVMF have 528 KiB, others up to 64 MiB.
const maxFlash = 64 << 20

func (a *app) enroll(keysDir confined.Path, template, output string) error {
	flash, err := confined.Path{Name: template}.Read(maxFlash)
	if err != nil {
		return errkind.BadUsage(err)
	}
	certificates, err := sbkeys.Certificates(keysDir)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	enrolled, err := uefi.Enroll(flash, certificates)
	if err != nil {
		return errkind.Usagef("%s: %w", template, err)
	}
	if err := a.writeFile(output, enrolled, 0o644); err != nil {
		return errkind.BadEnvironment(err)
	}
	return nil
}
