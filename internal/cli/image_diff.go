// image diff: how two images differ.

package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/bytesize"
	"buildsys/internal/contents"
	"buildsys/internal/errkind"
)

// differentImages is the error of diff --exit-code. Its status is that of git diff.
const differentStatus = 1

func newImageDiffCommand(a *app) *cobra.Command {
	var asJSON, status bool
	var most int
	cmd := &cobra.Command{
		Use:   "diff IMAGE IMAGE",
		Short: "Say how two images differ: packages, files, partitions, boot configuration",
		Long: `Compares two images: partitions, what they boot, os-release, and all files by
package, the largest change first. Contents, sizes, modes, owners, links and
extended attributes are compared, dates are not. The exit status is 0 whether they
differ or not; with --exit-code it is 1 if they do.

With --json it prints {"format": 1, "kind": "image-diff", …} with all files; see
docs/images.md.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			pair, err := a.openPair(cmd.Context(), args)
			if err != nil {
				return err
			}
			defer pair.close()
			d, err := pair.compare(cmd.Context(), a)
			if err != nil {
				return orCause(cmd.Context(), err)
			}
			if asJSON {
				err = a.printJSON("image-diff", struct {
					Before string `json:"before"`
					After  string `json:"after"`
					contents.Diff
				}{pair.old.Name, pair.new.Name, d})
			} else {
				a.writeDiff(d, most)
			}
			if err == nil && status && !d.Same() {
				err = commandError{differentStatus}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&status, "exit-code", false, "exit with 1 if the images differ")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the differences as JSON")
	cmd.Flags().IntVarP(&most, "number", "n", 20, "how many files to list of a package; 0 for all")
	return cmd
}

// imagePair is two images to compare.
type imagePair struct{ old, new *opened }

func (p imagePair) close() {
	p.old.Close()
	p.new.Close()
}

func (a *app) openPair(ctx context.Context, args []string) (imagePair, error) {
	old, err := a.openImage(ctx, args[0])
	if err != nil {
		return imagePair{}, err
	}
	after, err := a.openImage(ctx, args[1])
	if err != nil {
		old.Close()
		return imagePair{}, err
	}
	pair := imagePair{old, after}
	if old.inside != "" || after.inside != "" {
		pair.close()
		return pair, errkind.Usagef("name images without paths: whole images are compared")
	}
	return pair, nil
}

func (p imagePair) compare(ctx context.Context, a *app) (contents.Diff, error) {
	before, err := a.owners(ctx, p.old)
	if err != nil {
		return contents.Diff{}, err
	}
	after, err := a.owners(ctx, p.new)
	if err != nil {
		return contents.Diff{}, err
	}
	return contents.Compare(ctx, p.old.Image, p.new.Image, before, after)
}

func (a *app) writeDiff(d contents.Diff, most int) {
	out := a.sys.Stdout
	if d.Same() {
		fmt.Fprintln(out, "no differences")
	}
	for _, p := range d.Partitions {
		printf(out, "partition %s: %s %s → %s\n", p.Partition, p.What, orDash(short(p.Before)),
			orDash(short(p.After)))
	}
	for _, v := range d.Boot {
		printf(out, "%s\n  - %s\n  + %s\n", v.Name, v.Before, v.After)
	}
	for _, v := range d.OSRelease {
		printf(out, "os-release %s: %s → %s\n", v.Name, orDash(v.Before), orDash(v.After))
	}
	for _, p := range d.Packages {
		printf(out, "%s %s%s\n", signed(p.Bytes), p.Name, versions(p))
		a.writeFileDiffs(d, p.Name, most)
	}
	for _, note := range d.Notes {
		printf(out, "note: %s\n", note)
	}
}

func (a *app) writeFileDiffs(d contents.Diff, name string, most int) {
	shown, left := 0, 0
	root := ""
	for _, f := range d.Files {
		if f.Package != name {
			continue
		}
		if shown++; most > 0 && shown > most {
			left++
			continue
		}
		if f.Partition != root && !strings.HasSuffix(f.Partition, "ROOT-A") {
			root = f.Partition
			printf(a.sys.Stdout, "    in %s:\n", f.Partition)
		}
		mark := map[string]string{contents.Added: "+", contents.Removed: "-", contents.Changed: "~"}
		what := ""
		if len(f.What) > 0 {
			what = ": " + strings.Join(f.What, ", ")
		}
		printf(a.sys.Stdout, "    %s %s %s%s\n", mark[f.Change], signed(f.Bytes), oneLine(f.Path), what)
	}
	if left > 0 {
		printf(a.sys.Stdout, "    … %d more: --number 0 lists all\n", left)
	}
}

// signed formats a difference of sizes.
func signed(n int64) string {
	if n < 0 {
		return "-" + bytesize.Format(-n)
	}
	return "+" + bytesize.Format(n)
}

func versions(p contents.PackageDiff) string {
	switch {
	case p.Before == p.After:
		return strings.TrimRight(" "+p.After, " ")
	case p.Before == "":
		return " " + p.After + " (new)"
	case p.After == "":
		return " " + p.Before + " (gone)"
	}
	return " " + p.Before + " → " + p.After
}

// short returns the beginning of a hash.
func short(text string) string {
	if len(text) == 64 {
		return text[:16] + "…"
	}
	return text
}
