// audit_test: faults under several names are one, and what is left alone counts again after its
// last day.

package audit

import (
	"strings"
	"testing"
	"time"

	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/osv"
)

// TestAliases: what databases know under names of one another is one finding.
func TestAliases(t *testing.T) {
	known := func(version string) Part {
		return Part{Kind: Module, Name: "p", Version: version, File: "go.mod",
			Known: osv.Subject{Ecosystem: osv.Go, Name: "p", Version: version}}
	}
	parts := []Part{known("1.0.0"), known("1.1.0")}
	r := Report{Parts: map[string]int{}}
	r.AddDatabases(osv.Result{Entries: 5, Hits: []osv.Hit{
		{Subject: 0, ID: "CVE-1", Informational: "unmaintained"},
		{Subject: 0, ID: "GHSA-1", Aliases: []string{"CVE-1"}, Severity: "high", Summary: "s"},
		{Subject: 0, ID: "GO-1", Aliases: []string{"GHSA-1", "CVE-1"}, Severity: "low"},
		{Subject: 0, ID: "GO-2", Aliases: []string{"CVE-2"}},
		{Subject: 1, ID: "GO-1", Aliases: []string{"GHSA-1"}},
	}}, parts)
	r.Sort()
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Part.Version+" "+strings.Join(f.Names(), "=")+" "+f.Severity+f.Summary)
	}
	want := "1.0.0 CVE-1=GHSA-1=GO-1 highs; 1.0.0 GO-2=CVE-2 ; 1.1.0 GO-1=GHSA-1 "
	if strings.Join(got, "; ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "; "), want)
	}
	if errs, warnings, _ := r.Count(); errs != 3 || warnings != 0 {
		t.Errorf("%d errors, %d warnings", errs, warnings)
	}
}

func TestIgnore(t *testing.T) {
	day := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	ignore := func(id, pkg string) manifest.Ignore { // the last day is 31 May
		return manifest.Ignore{ID: id, Package: pkg, Reason: "no", Until: day, Line: 7}
	}
	for name, tt := range map[string]struct {
		one     manifest.Ignore
		now     time.Time
		partly  bool // only some packages were looked at
		ignored int
		warning string
	}{
		"by id":      {one: ignore("GO-1", ""), now: day.Add(-time.Second), ignored: 1},
		"by alias":   {one: ignore("CVE-1", ""), now: day.AddDate(-1, 0, 0), ignored: 1},
		"of package": {one: ignore("CVE-1", "runc"), now: day.Add(-time.Hour), ignored: 1},
		"of module":  {one: ignore("CVE-1", "p"), now: day.Add(-time.Hour), ignored: 1},
		"over": {one: ignore("CVE-1", ""), now: day,
			warning: "CVE-1 is ignored no longer: until was 2026-05-31"},
		"over, of none": {one: ignore("CVE-9", ""), now: day, warning: "CVE-9 is ignored no longer"},
		"of nothing": {one: ignore("CVE-9", ""), now: day.Add(-time.Hour),
			warning: "CVE-9 is ignored, but nothing has it"},
		"of another": {one: ignore("CVE-1", "q"), now: day.Add(-time.Hour),
			warning: "CVE-1 is ignored, but nothing"},
		"not looked for": {one: ignore("CVE-9", ""), now: day.Add(-time.Hour), partly: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := Report{Findings: []Finding{{Level: lint.Error, ID: "GO-1", Aliases: []string{"CVE-1"},
				Part: Part{Kind: Module, Name: "p", Of: "runc"}}}}
			r.Ignore("audit.toml", []manifest.Ignore{tt.one}, !tt.partly, tt.now)
			errs, _, ignored := r.Count()
			if ignored != tt.ignored || errs != 1-tt.ignored {
				t.Errorf("%d errors, %d ignored", errs, ignored)
			}
			got := ""
			for _, p := range r.Warnings {
				got += p.String()
			}
			if !strings.Contains(got, tt.warning) || (got == "") != (tt.warning == "") {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
		})
	}
}
