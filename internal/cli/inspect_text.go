// inspect_text: prints the report of inspect for people.

package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"buildsys/internal/bytesize"
	"buildsys/internal/image"
)

// writeInspected prints one report, with faults at the end, where people see them.
func writeInspected(w io.Writer, one inspected) error {
	var b strings.Builder
	printf(&b, "%s\n  disk of %s, %s as a file, GUID %s\n\n", one.Image,
		bytesize.Format(one.DiskBytes), bytesize.Format(one.FileBytes), orDash(one.DiskGUID))
	writePartitions(&b, one.Partitions)
	for _, r := range one.Roots {
		writeRoot(&b, r)
	}
	for _, boot := range one.Boot {
		printf(&b, "\nboot %s (%s)\n", boot.Partition, boot.File)
		for _, e := range boot.Entries {
			printf(&b, "  %s\n    linux %s %s\n", orDash(e.Title), e.Kernel, e.CommandLine)
		}
		if len(boot.KernelSignedBy) > 0 {
			printf(&b, "  kernel %s\n", signedBy(boot.KernelSignedBy))
		}
	}
	if len(one.Firmware) > 0 {
		printf(&b, "\nfirmware\n")
	}
	for _, f := range one.Firmware {
		printf(&b, "  %s %s %s%s\n", f.Partition, f.Path, bytesize.Format(f.Size),
			strings.TrimRight(" "+signedBy(f.SignedBy), " "))
		for _, s := range f.Sections {
			printf(&b, "    section %s %s\n", s.Name, bytesize.Format(s.Size))
		}
	}
	if len(one.OSRelease) > 0 {
		printf(&b, "\nos-release\n")
	}
	for _, name := range slices.Sorted(maps.Keys(one.OSRelease)) {
		printf(&b, "  %s=%s\n", name, one.OSRelease[name])
	}
	if len(one.Packages) > 0 {
		printf(&b, "\n%s\n", count(len(one.Packages), "RPM"))
	}
	table := newTable(&b)
	for _, p := range one.Packages {
		printf(table, "  %s\t%s-%s\t%s\t%s\n", p.Name, p.Version, p.Release, p.Architecture,
			p.License)
	}
	table.Flush() // a Builder never fails
	writeVerdict(&b, one.Report)
	_, err := io.WriteString(w, b.String())
	return err
}

// printf is fmt.Fprintf, except that texts stay in their line and column.
func printf(w io.Writer, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = printable(text)
		}
	}
	fmt.Fprintf(w, format, args...)
}

// signedBy returns who signed a program, or "" if nobody did.
func signedBy(subjects []string) string {
	if len(subjects) == 0 {
		return ""
	}
	return "signed by " + strings.Join(subjects, " and ")
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func writePartitions(w io.Writer, parts []image.PartitionReport) {
	table := newTable(w)
	fmt.Fprintln(table, "   #\tlabel\tfor\tstart MiB\tsize MiB\tholds\tused MiB\tfull\tUUID")
	for _, p := range parts {
		used, full := "-", "-"
		if p.Holds != "" && p.Size > 0 {
			used, full = mib(p.UsedBytes), fmt.Sprintf("%d%%", p.UsedBytes*100/p.Size)
		}
		printf(table, "  %2d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Number,
			orDash(p.Label), p.Role,
			mib(p.Start), mib(p.Size), orDash(p.Holds), used, full, orDash(p.UUID))
	}
	table.Flush() // a Builder never fails
}

func writeRoot(w io.Writer, r image.Root) {
	verdict := "DOES NOT VERIFY"
	if r.Verified {
		verdict = "verified, every block"
	}
	named := "NOT on the kernel command line"
	if r.CommandLine {
		named = "on the kernel command line"
	}
	printf(w, "\nroot %s\n  %s: %s under a hash tree of %s\n", r.Partition, verdict,
		bytesize.Format(r.DataBytes), bytesize.Format(r.TreeBytes))
	printf(w, "  root hash %s, %s\n  salt      %s\n", orDash(r.RootHash), named, orDash(r.Salt))
}

func writeVerdict(w io.Writer, r image.Report) {
	fmt.Fprintln(w)
	for _, n := range r.Notes {
		printf(w, "note: %s\n", n)
	}
	if len(r.Faults) == 0 {
		fmt.Fprintln(w, "no faults found")
	}
	for _, f := range r.Faults {
		printf(w, "FAULT: %s\n", f)
	}
}

// mib returns bytes in MiB, with as many decimals as needed, but at most two.
func mib(n int64) string {
	text := fmt.Sprintf("%.2f", float64(n)/(1<<20))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
