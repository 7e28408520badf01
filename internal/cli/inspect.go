// inspect: shows what is in a disk image and verifies it, without root rights, mounts or an engine.

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/image"
)

// inspected is one image in the format of --json, which is part of the interface.
type inspected struct {
	Image     string `json:"image"`
	FileBytes int64  `json:"file_bytes"` // size of the file, compressed or not
	image.Report
}

func newInspectCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect [IMAGE|VARIANT]",
		Short: "Show what is in a disk image and verify it",
		Long: `Shows the partitions of an image, its file systems and how full they are, boot
configuration, os-release and RPMs. The image is a file (raw, lz4, qcow2, vmdk
or OVA) or one of a variant: the newest, or an earlier one, named as for
"buildsys image". Verifies both partition tables, file systems against their
partitions, the root against its hash tree, the hash tree against the kernel
command line, and an OVA against its manifest. Needs neither root rights nor an
engine.

With --json it prints {"format": 1, "kind": "images", "images": [IMAGE...]}; see
docs/images.md.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := a.imagesToInspect(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.inspect(cmd.Context(), files, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// imagesToInspect returns the named file, or all disks of the newest image of the named variant.
func (a *app) imagesToInspect(ctx context.Context, args []string) ([]string, error) {
	if len(args) > 0 && a.looksLikeFile(args[0]) {
		return a.imageFile(args[0])
	}
	if len(args) > 0 {
		if _, selector := splitSelector(args[0]); selector != "" {
			found, _, err := a.variantImage(ctx, args[0])
			return found.Files, err
		}
	}
	_, session, err := a.resolveVariant(args)
	if err != nil {
		return nil, err
	}
	system, data, err := session.NewestImage()
	if err != nil {
		return nil, err
	}
	if data == "" {
		return []string{system}, nil
	}
	return []string{system, data}, nil
}

// inspect reports on all files. Then it returns an *image.BadImageError for each of them that has
// faults.
func (a *app) inspect(ctx context.Context, files []string, asJSON bool) error {
	images := []inspected{}
	var bad []error
	for _, file := range files {
		disks, err := inspectFile(ctx, file)
		if err != nil {
			return err
		}
		for _, one := range disks {
			if n := len(one.Faults); n > 0 {
				fault := errors.New(count(n, "fault") + ", listed in the report")
				bad = append(bad, &image.BadImageError{Image: one.Image, Faults: []error{fault}})
			}
		}
		images = append(images, disks...)
	}
	if asJSON {
		if err := a.printJSON("images", map[string]any{"images": images}); err != nil {
			return err
		}
		return errors.Join(bad...)
	}
	for i, one := range images {
		if i > 0 {
			fmt.Fprintln(a.sys.Stdout)
		}
		if err := writeInspected(a.sys.Stdout, one); err != nil {
			return err
		}
	}
	return errors.Join(bad...)
}

// inspectFile reads the disks of one file. For a file that cannot be expanded it returns an
// *image.BadImageError and no report.
func inspectFile(ctx context.Context, file string) ([]inspected, error) {
	disks, err := image.OpenAll(ctx, file, "")
	switch {
	case err == nil:
	case errkind.Is[*image.UnsupportedError](err):
		return nil, errkind.BadUsage(err)
	case errkind.Is[*image.BadImageError](err):
		return nil, err
	default:
		return nil, orCause(ctx, errkind.BadEnvironment(err))
	}
	defer func() {
		for _, d := range disks {
			d.Close() // it was only read
		}
	}()
	var all []inspected
	for _, d := range disks {
		one := inspected{Image: file, FileBytes: d.PackedSize}
		if d.Member != "" {
			one.Image += ", " + d.Member
		}
		if one.Report, err = image.Inspect(ctx, d, d.Size); err != nil {
			return nil, orCause(ctx, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// orCause returns the cause of the end of ctx, or err if ctx has not ended.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printable replaces control characters, as labels and file names in an image can be anything and
// must not look like another line of the report. Standard output does the rest.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return '?'
		}
		return r
	}, text)
}
