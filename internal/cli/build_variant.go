// build-variant: builds the disk image of one variant and everything in it.

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

const buildVariantHelp = `Builds the disk images of variants, after every package that goes into them.
Without a name it builds the variant whose directory variants/NAME/ is the
working directory, else BUILDSYS_VARIANT; with --all, all that are for the
architecture.

Of several variants it first builds all packages that are the same for all of
them, in one schedule, then for each variant what depends on it and its image. A
variant that fails does not keep the next one from being built.

Images go to build/images/ARCH-NAME/, where the link "latest" leads to the
newest.

With --dev it makes of each image only what it takes to boot it, in
build/dev-images/ARCH-NAME/: see "buildsys boot --dev". Such an image is never
published, and cannot be had with --release.

The build script of variants/NAME/ that starts it without a name (cargo sets
CARGO_MANIFEST_DIR) gets that image alone, since cargo has built its packages.
Standard output is then for cargo: what the image depends on.

With --verify-reproducible the images are made a second time from the same RPMs:
past every cache, on another day, under another host name, with one CPU, and
with directories read in reverse order. The recipe itself sets locale, time zone
and umask, so these stay the same. If an output differs, the command shows how,
keeps both builds in build/reproducible/ARCH-NAME/, and exits with 5.`

func newBuildVariantCommand(a *app) *cobra.Command {
	want := build.Request{Image: true}
	var all bool
	cmd := &cobra.Command{
		Use:   "build-variant [NAME...]",
		Short: "Build the disk images of variants",
		Long:  buildVariantHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.dev = want.Dev
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			switch name, err := a.cargoUnit(c, plan.Variant, args); {
			case err != nil:
				return err
			case name != "" && want.Dev:
				return errkind.Usagef("--dev is not for builds that cargo starts")
			case name != "":
				s := a.session(c.WithVariant(name))
				return a.buildUnit(cmd.Context(), s, want, c.Variant)
			}
			if all || len(args) > 1 {
				return a.buildVariants(cmd.Context(), c, args, all, want)
			}
			if c, err = a.pickVariant(c, args); err != nil {
				return err
			}
			return a.build(cmd.Context(), a.session(c), want)
		},
	}
	a.addBuildFlags(cmd.Flags())
	addVerifyFlag(cmd.Flags(), &want)
	cmd.Flags().BoolVar(&want.Dev, "dev", false, "make only what it takes to boot the image")
	cmd.Flags().BoolVar(&all, "all", false, "build all variants that are for the architecture")
	return cmd
}

// buildVariants builds several variants. The first error that is not only about an architecture
// decides the exit status.
func (a *app) buildVariants(ctx context.Context, c build.Config, names []string, all bool,
	want build.Request) error {
	if all && len(names) > 0 {
		return errkind.Usagef("--all is for all variants: name none with it")
	}
	s := a.session(c)
	variants, err := s.Variants(names)
	if err != nil {
		return err
	}
	if err := s.BuildShared(ctx, variants); err != nil {
		return err
	}
	var failed, skipped error
	for _, name := range variants {
		err := a.build(ctx, a.session(c.WithVariant(name)), want)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return err
		case build.Skipped(err):
			skipped = err
		default:
			if failed == nil {
				failed = err
			}
		}
		if text := message(err); text != "" {
			fmt.Fprintf(a.sys.Stderr, "buildsys: %s\n", text)
		}
	}
	switch {
	case failed != nil:
		return shownError{failed}
	case skipped != nil:
		return shownError{skipped}
	}
	return nil
}
