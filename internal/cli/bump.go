// bump: brings a package to another version of upstream's.

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
	"buildsys/internal/rpm"
)

const bumpHelp = `Brings a package to another version: fetches the sources of that version, sees who
vouches for them, and writes the version into the spec and URLs and sha512 into
the manifest. Everything else in the two files stays as it is. Prints what it
changes as a diff, and says of each source what it was verified with. Without
VERSION it takes the newest that "buildsys outdated" finds.

The version is changed where the spec defines it, which may be a macro. Where
that is not one place, nothing is changed, and the error names the lines. What
else has the old version, names a commit, or is a patch that does not look as if
it applied to the new source, is a warning.

Nothing is written unless all sources came and what should vouch for them does:

  --signature .sig     an OpenPGP signature beside each source, by a key of
                       --key or an armored key in packages/NAME; .sign of an
                       archive without its .xz signs what is packed
  --checksums SUMS     a list of sha256 or sha512 beside each source, or a URL;
                       if it is signed within, by one of these keys

A source that the manifest lists together with its signature (.asc, .sig, .sign
or .gpg) is verified with the keys of the package, without a flag.

With --check it builds the package and all that need it, before and after, and
with a variant (--variant) that has it the image. It says what changed in the
RPMs and in the image, and boots that. If that fails, the files stay changed.

While dev/NAME is there, the package is not changed.`

// bumpOptions holds the flags of bump.
type bumpOptions struct {
	build.Bump
	check bool
}

func newBumpCommand(a *app) *cobra.Command {
	var o bumpOptions
	cmd := &cobra.Command{
		Use:   "bump NAME [VERSION]",
		Short: "Bring a package to another version of its sources",
		Long:  bumpHelp,
		Args:  usage(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.check && o.DryRun {
				return errkind.Usagef("--check needs what --dry-run does not write")
			}
			return a.bump(cmd.Context(), args, o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.DryRun, "dry-run", false, "print the changes, and write nothing")
	flags.BoolVar(&o.check, "check", false, "build and boot what has it, and say what changed")
	flags.BoolVar(&o.Older, "force", false, "go back to an older version")
	flags.StringVar(&o.Macro, "macro", "", "the macro that has the version, where several could")
	flags.StringArrayVar(&o.Keys, "key", nil, "file with the OpenPGP keys of who signs the sources")
	flags.StringVar(&o.Signature, "signature", "",
		"where signatures are: what to add to the URL of each source, or a URL")
	flags.StringVar(&o.Checksums, "checksums", "",
		"where a list of sums is: its name beside each source, or a URL")
	return cmd
}

func (a *app) bump(ctx context.Context, args []string, o bumpOptions) error {
	c, s, err := a.resolve()
	if err != nil {
		return err
	}
	packages, err := a.pickPackages(c, args[:1])
	if err != nil {
		return err
	}
	if o.Package = packages[0]; len(args) > 1 {
		o.Version = args[1]
	}
	for i, file := range o.Keys {
		o.Keys[i] = a.path(file)
	}
	var check *build.Check
	if o.check {
		try := o.Bump // what cannot be is known before anything is built
		try.DryRun = true
		if _, err := s.Bump(ctx, try); err != nil {
			return err
		}
		if check, err = a.measure(ctx, s, o.Package, c.Variant); err != nil {
			return err
		}
	}
	result, err := s.Bump(ctx, o.Bump)
	if err != nil {
		return err
	}
	a.printBumped(result, o)
	if check == nil || result.Old == result.New {
		return nil
	}
	if err := check.Build(ctx); err != nil {
		fmt.Fprintf(a.sys.Stderr, "the spec and the manifest of %s stay at %s\n", o.Package, result.New)
		return err
	}
	return a.reportCheck(ctx, c, check)
}

// measure builds what is there before the change. If that fails, there is nothing to compare with.
func (a *app) measure(ctx context.Context, s *build.Session, name, variant string) (*build.Check,
	error) {
	check, err := s.NewCheck(name, variant)
	if err != nil {
		return nil, err
	}
	if err := check.Build(ctx); err != nil {
		if ctx.Err() != nil || errkind.Of(err) == errkind.Environment {
			return nil, err
		}
		a.warn("nothing is compared: what was there before does not build")
	}
	check.Measure()
	return check, nil
}

func (a *app) printBumped(r build.Bumped, o bumpOptions) {
	for _, text := range r.Warnings {
		a.warn(text)
	}
	for _, text := range r.Diffs {
		fmt.Fprint(a.sys.Stdout, text)
	}
	err := a.sys.Stderr
	for _, one := range r.Sources {
		fmt.Fprintf(err, "%s: %s, sha512 %s\n", one.Name, bytesize.Format(one.Size), one.SHA512)
		if one.Proof != "" {
			fmt.Fprintf(err, "  verified by %s\n", one.Proof)
		}
	}
	switch {
	case r.Old == r.New:
		fmt.Fprintf(err, "%s is at %s: nothing to do\n", o.Package, r.New)
	case o.DryRun:
		fmt.Fprintf(err, "%s would go from %s to %s; nothing was written\n", o.Package, r.Old, r.New)
	default:
		fmt.Fprintf(err, "%s: from %s to %s\n", o.Package, r.Old, r.New)
	}
}

// reportCheck prints what changed, and boots the image.
func (a *app) reportCheck(ctx context.Context, c build.Config, check *build.Check) error {
	diffs := check.Diff()
	for _, d := range diffs {
		a.writeOfferDiff(d)
	}
	if len(diffs) == 0 {
		printf(a.sys.Stdout, "the RPMs have the same files\n")
	}
	if check.Variant == "" {
		return nil
	}
	v := check.Variant
	switch {
	case check.NewImage():
		if err := a.whyGrew(ctx, []string{v + "~1", v}); err != nil {
			return err
		}
	case check.Image != "":
		printf(a.sys.Stdout, "the image of %s is the same\n", v)
	}
	c = c.WithVariant(v)
	return a.boot(ctx, c, a.session(c), checkedBoot())
}

// mostOffered is how many files of an RPM are named.
const mostOffered = 12

func (a *app) writeOfferDiff(d rpm.OfferDiff) {
	out := a.sys.Stdout
	version := d.Before + " → " + d.After
	switch {
	case d.Before == d.After:
		version = d.After
	case d.Before == "":
		version = d.After + " (new)"
	case d.After == "":
		version = d.Before + " (gone)"
	}
	printf(out, "%s %s %s; files: %d added, %d removed, %d changed\n", signed(d.Bytes), d.Name,
		version, len(d.Added), len(d.Removed), len(d.Changed))
	for _, list := range []struct {
		mark  string
		names []string
	}{{"+", d.Added}, {"-", d.Removed}, {"+", d.Gained}, {"-", d.Lost}} {
		for i, name := range list.names {
			if i == mostOffered {
				printf(out, "    … %d more\n", len(list.names)-i)
				break
			}
			printf(out, "    %s %s\n", list.mark, oneLine(name))
		}
	}
}
