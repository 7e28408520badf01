// image sbom: what is in an image, by its bill of materials.

package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/sbom"
)

// billFormats are the names of --format, and the files that they print.
var billFormats = map[string]string{"spdx": sbom.SPDXName, "cyclonedx": sbom.CycloneDXName}

// billPackage is a package of the document of image sbom.
type billPackage struct {
	Name    string `json:"name"`
	Version string `json:"version"` // with epoch and release
	Arch    string `json:"architecture"`
	License string `json:"license"`
	From    string `json:"publisher"`
	Source  string `json:"source_rpm"`
	Files   int    `json:"files"`
	Modules int    `json:"modules"`
}

// billSource is a source package of that document.
type billSource struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Package  string   `json:"package"` // directory in packages/
	Archives []string `json:"archives"`
	Patches  []string `json:"patches"`
}

// bill is the document of image sbom.
type bill struct {
	Image    string        `json:"image"`
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	Packages []billPackage `json:"packages"`
	Sources  []billSource  `json:"sources"`
	Files    int           `json:"files"`
}

// billRequest holds the flags of image sbom.
type billRequest struct {
	format, diff string
	json         bool
}

func newImageSBOMCommand(a *app) *cobra.Command {
	var r billRequest
	cmd := &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "Say what an image is made of, by its bill of materials",
		Long: `Lists the packages of an image with their licences, by the bill of materials that
its build has made. --format spdx (SPDX 2.3) and --format cyclonedx (CycloneDX 1.6)
print that itself, with files, sources, patches, modules and texts of licences: the
files spdx-sbom.json and cyclonedx-sbom.json beside the image.

With --diff it says what is new, gone and changed since another image: packages,
licences, sources, Go modules and crates.

With --json it prints {"format": 1, "kind": "image-sbom", …}, or "image-sbom-diff";
see docs/images.md.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return orCause(cmd.Context(), a.imageSBOM(cmd.Context(), args[0], r))
		},
	}
	cmd.Flags().StringVar(&r.format, "format", "text", "text, json, spdx or cyclonedx")
	cmd.Flags().StringVar(&r.diff, "diff", "", "say what differs from this earlier image")
	cmd.Flags().BoolVar(&r.json, "json", false, "the same as --format json")
	return cmd
}

func (a *app) imageSBOM(ctx context.Context, name string, r billRequest) error {
	if r.json {
		r.format = "json"
	}
	if !slices.Contains([]string{"text", "json", "spdx", "cyclonedx"}, r.format) {
		return errkind.Usagef("--format must be text, json, spdx or cyclonedx, not %q", r.format)
	}
	if file := billFormats[r.format]; file != "" {
		if r.diff != "" {
			return errkind.Usagef("--diff prints text or JSON: --format %s is one document", r.format)
		}
		text, _, err := a.billText(ctx, name, file)
		if err == nil {
			_, err = a.sys.Stdout.Write(text)
		}
		return err
	}
	d, title, err := a.bill(ctx, name)
	if err != nil {
		return err
	}
	if r.diff != "" {
		before, from, err := a.bill(ctx, r.diff)
		if err != nil {
			return err
		}
		return a.writeBillDiff(from, title, sbom.Compare(before, d), r.format)
	}
	b := billOf(d, title)
	if r.format == "json" {
		return a.printJSON("image-sbom", b)
	}
	return a.writeBill(b)
}

// billText returns a file that lies beside an image, and the image's name.
func (a *app) billText(ctx context.Context, arg, file string) ([]byte, string, error) {
	o, err := a.locate(ctx, arg)
	switch {
	case err != nil:
		return nil, "", err
	case o.inside != "":
		return nil, "", errkind.Usagef("name an image without a path: the bill is of the whole")
	case o.session == nil:
		text, err := build.BillBeside(o.found, file)
		return text, o.found.Name, err
	}
	text, err := o.session.BillText(ctx, o.found, file)
	return text, o.found.Name, err
}

// bill returns the bill of materials of an image.
func (a *app) bill(ctx context.Context, arg string) (sbom.Document, string, error) {
	text, name, err := a.billText(ctx, arg, sbom.SPDXName)
	if err != nil {
		return sbom.Document{}, name, err
	}
	d, err := build.Bill(text, name)
	return d, name, err
}

// billOf returns the document about a bill.
func billOf(d sbom.Document, title string) bill {
	b := bill{Image: title, Name: d.Name, Version: d.Version, Packages: []billPackage{},
		Sources: []billSource{}}
	for _, p := range d.Packages {
		b.Packages = append(b.Packages, billPackage{Name: p.Name, Version: p.EVR(), Arch: p.Arch,
			License: p.License, From: p.Publisher, Source: p.SourceRPM, Files: len(p.Files),
			Modules: len(p.Modules)})
		b.Files += len(p.Files)
	}
	for _, s := range d.Sources {
		one := billSource{Name: s.Name, Version: s.Version + "-" + s.Release, Package: s.Package,
			Archives: []string{}, Patches: []string{}}
		for _, at := range s.Archives {
			one.Archives = append(one.Archives, at.Name)
		}
		for _, f := range s.Files {
			if f.IsPatch() {
				one.Patches = append(one.Patches, f.Path)
			}
		}
		b.Sources = append(b.Sources, one)
	}
	return b
}

func (a *app) writeBill(b bill) error {
	table := newTable(a.sys.Stdout)
	printf(table, "package\tversion\tfiles\tmodules\tlicence\n")
	for _, p := range b.Packages {
		printf(table, "%s\t%s\t%d\t%d\t%s\n", oneLine(p.Name), oneLine(p.Version), p.Files, p.Modules,
			orDash(oneLine(p.License)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printf(a.sys.Stdout, "%s: %s of %s, %s\n", oneLine(b.Name), count(len(b.Packages), "package"),
		count(len(b.Sources), "source package"), count(b.Files, "file"))
	return nil
}

func (a *app) writeBillDiff(before, after string, d sbom.Diff, format string) error {
	if format == "json" {
		return a.printJSON("image-sbom-diff", struct {
			Before string `json:"before"`
			After  string `json:"after"`
			sbom.Diff
		}{before, after, d})
	}
	if d.Same() {
		fmt.Fprintln(a.sys.Stdout, "no differences")
	}
	for _, line := range d.Lines() {
		printf(a.sys.Stdout, "%s\n", oneLine(line))
	}
	return nil
}
