// audit: which packages of the tree, and what they are made of, have faults that are known.

package cli

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/audit"
	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/osv"
	"buildsys/internal/safetext"
)

const auditHelp = `Says which packages of the tree, and which Go modules and crates that they are
made of, have faults that are known, without a build or an engine. With names it
looks at these packages, those of these kits, and those in these variants.

It knows faults by the tree's advisories, advisories/VERSION/ID.toml: a package
has one if its spec names an older version than the first with the fix. With
--osv it also asks databases in the format of OSV: a directory with .json files
or .zip files of them, one such archive, or the https URL of one. --osv may be
given several times. Go modules and crates are those of go.mod and Cargo.lock
files below sources/ and of archives with bundle-modules that were fetched.

A fault is left alone if audit.toml in the tree says so, with a reason and the
last day on which that holds:

  [[ignore]]
  id = "CVE-2024-45310"    # or any other name of the fault
  package = "runc"         # optional
  reason = "nobody may write there"
  until = 2027-01-31

Each finding is one line, FILE:LINE: WHAT HAS THE FAULT; WHAT FIXES IT. The exit
status is 2 if there is one, as that of lint is; warnings, which are of crates that
nobody maintains and of epochs that hide older versions, do not count. What could
not be compared is counted and named after the findings. docs/audit.md says how
things are compared.

With --json it prints {"format": 1, "kind": "audit", "findings": [...],
"warnings": [...], "not_compared": [...], ...}.`

// auditOptions is how an audit is asked for and told.
type auditOptions struct {
	build.Audit
	json, sarif bool
}

func newAuditCommand(a *app) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit [NAME...]",
		Short: "List what has faults that advisories know",
		Long:  auditHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			if o.json && o.sarif {
				return errkind.Usagef("--json and --sarif are mutually exclusive")
			}
			return a.audit(cmd.Context(), o, names)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.Databases, "osv", nil, "a database: directory, archive or https URL")
	flags.StringVar(&o.Ecosystem, "ecosystem", "", "the name that databases have for the packages of "+
		"this OS")
	flags.StringVar(&o.Go, "go", "", "the version of Go that compiles, for faults of its library")
	flags.BoolVar(&o.json, "json", false, "print what is found as JSON")
	flags.BoolVar(&o.sarif, "sarif", false, "write the findings in SARIF 2.1.0, for services that "+
		"show them beside the code")
	return cmd
}

func (a *app) audit(ctx context.Context, o auditOptions, names []string) error {
	a.keepsNothing = true
	c, s, err := a.resolve()
	if err != nil {
		return err
	}
	if len(names) > 0 {
		ws, err := s.Load()
		if err != nil {
			return err
		}
		if o.Packages, err = namedPackages(ws, names); err != nil {
			return err
		}
	}
	for i, at := range o.Databases {
		if !strings.Contains(at, "://") && !filepath.IsAbs(at) {
			o.Databases[i] = filepath.Join(a.sys.Dir, at)
		}
	}
	o.Now = time.Now()
	report, err := s.Audit(ctx, o.Audit)
	if err != nil {
		return err
	}
	errs, _, _ := report.Count()
	switch {
	case o.sarif:
		err = a.printAuditSARIF(c, report)
	case o.json:
		err = a.printJSON("audit", auditDocument(report))
	default:
		a.writeAudit(report)
	}
	if err == nil && errs > 0 {
		err = errAffected
	}
	return err
}

var errAffected = shownError{errkind.BadUsage(errors.New("the tree has faults that are known"))}

// writeAudit lists what was found, and on standard error what was not compared.
func (a *app) writeAudit(r audit.Report) {
	var notes manifest.Problems
	for _, f := range r.Findings {
		if f.Ignored != nil {
			continue
		}
		p := f.Problem()
		notes = append(notes, p)
		printf(a.sys.Stdout, "%s\n", p)
	}
	for _, p := range r.Warnings {
		printf(a.sys.Stdout, "%s\n", p)
	}
	a.annotate(append(notes, r.Warnings...))
	for _, f := range r.Findings {
		if f.Ignored != nil {
			printf(a.sys.Stderr, "ignored: %s %s: %s: %s (until %s)\n", f.Part.Name, f.Part.Version,
				f.ID, safetext.Line(f.Ignored.Reason), lastDay(f.Ignored))
		}
	}
	for _, n := range r.Notes {
		more := ""
		if n.Count > len(n.Examples) {
			more = ", …"
		}
		printf(a.sys.Stderr, "not compared: %s (%d): %s%s\n", n.Why, n.Count,
			strings.Join(n.Examples, ", "), more)
	}
	errs, warnings, ignored := r.Count()
	printf(a.sys.Stderr, "audit: %s, %s and %s; %s and %s of databases (%d withdrawn, %d for other "+
		"systems); %d affected, %s, %d ignored\n", count(r.Parts[audit.Package], "package"),
		count(r.Parts[audit.Module], "Go module"), count(r.Parts[audit.Crate], "crate"),
		countOf(r.Advisories, "advisory", "advisories"), countOf(r.Entries, "entry", "entries"),
		r.Withdrawn, r.Elsewhere, errs, count(warnings+len(r.Warnings), "warning"), ignored)
}

func lastDay(i *manifest.Ignore) string { return i.Until.AddDate(0, 0, -1).Format(time.DateOnly) }

func (a *app) printAuditSARIF(c build.Config, r audit.Report) error {
	var findings []lint.Finding
	help := map[lint.Check]string{}
	for _, f := range r.Findings {
		if f.Ignored == nil {
			help[lint.Check(f.ID)] = safetext.Line(f.ID + " " + f.Summary)
			findings = append(findings, lint.Finding{Level: f.Level, Check: lint.Check(f.ID),
				Problem: f.Problem()})
		}
	}
	for _, p := range r.Warnings {
		help[lint.CheckAdvisories] = "What is left alone is said with a reason and a day."
		findings = append(findings, lint.Finding{Level: lint.Warning, Check: lint.CheckAdvisories,
			Problem: p})
	}
	var text bytes.Buffer
	err := lint.WriteSARIFOf(&text, "buildsys audit", help, findings, inCheckout(c.Root),
		thisVersion().Version)
	if err == nil {
		_, err = a.sys.Stdout.Write(safetext.JSON(text.Bytes()))
	}
	return err
}

// affectedJSON is one finding of audit --json.
type affectedJSON struct {
	Level         lint.Level `json:"level"`
	File          string     `json:"file"`
	Line          int        `json:"line"`
	ID            string     `json:"id"`
	Aliases       []string   `json:"aliases"`
	Kind          string     `json:"kind"`
	Name          string     `json:"name"`
	Version       string     `json:"version"`
	Of            string     `json:"of"`
	Severity      string     `json:"severity"`
	Informational string     `json:"informational"`
	Summary       string     `json:"summary"`
	Fixed         []string   `json:"fixed"`
	Advisory      string     `json:"advisory"`
	Ignored       string     `json:"ignored"`
}

// auditJSON is audit --json.
type auditJSON struct {
	Findings []affectedJSON `json:"findings"`
	Warnings []findingJSON  `json:"warnings"`
	Missed   []osv.Note     `json:"not_compared"`
	Compared map[string]int `json:"compared"`
}

func auditDocument(r audit.Report) auditJSON {
	d := auditJSON{Findings: []affectedJSON{}, Warnings: []findingJSON{},
		Missed: append([]osv.Note{}, r.Notes...), Compared: map[string]int{
			"packages": r.Parts[audit.Package], "go_modules": r.Parts[audit.Module],
			"crates": r.Parts[audit.Crate], "advisories": r.Advisories, "entries": r.Entries,
			"withdrawn": r.Withdrawn, "other_systems": r.Elsewhere}}
	for _, f := range r.Findings {
		one := affectedJSON{Level: f.Level, File: f.Part.File, Line: f.Part.Line, ID: f.ID,
			Aliases: slices.Concat([]string{}, f.Aliases), Kind: f.Part.Kind, Name: f.Part.Name,
			Version: f.Part.Version, Of: f.Part.Of, Severity: f.Severity,
			Informational: f.Informational, Summary: f.Summary,
			Fixed: slices.Concat([]string{}, f.Fixed), Advisory: f.Advisory}
		if f.Ignored != nil {
			one.Ignored = f.Ignored.Reason
		}
		if one.Aliases == nil {
			one.Aliases = []string{}
		}
		if one.Fixed == nil {
			one.Fixed = []string{}
		}
		d.Findings = append(d.Findings, one)
	}
	for _, p := range r.Warnings {
		d.Warnings = append(d.Warnings, findingJSON{Level: lint.Warning, File: p.File, Line: p.Line,
			Message: p.Msg, Hint: p.Hint, Check: lint.CheckAdvisories})
	}
	return d
}
