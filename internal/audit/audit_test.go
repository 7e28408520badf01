// audit_test: faults under several names are one, what is left alone counts again after its last
// day, what hides a fault, and what many of them cost.

package audit

import (
	"fmt"
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

// TestManyFaults: an entry of audit.toml is looked up among the findings, and so is a finding among
// those before it. Each compared with each took minutes.
func TestManyFaults(t *testing.T) {
	const n = 50_000
	var hits []osv.Hit
	var ignores []manifest.Ignore
	for i := range n {
		id := fmt.Sprint("X-", i)
		hits = append(hits, osv.Hit{ID: id, Aliases: []string{"Y-" + id, "Z-" + id}})
		ignores = append(ignores, manifest.Ignore{ID: "Z-" + id, Until: time.Unix(10, 0)})
	}
	var r Report
	r.AddDatabases(osv.Result{Hits: hits}, []Part{{Kind: Package, Name: "app"}})
	r.Ignore("audit.toml", ignores, true, time.Unix(5, 0))
	if _, _, ignored := r.Count(); ignored != n || len(r.Warnings) > 0 {
		t.Errorf("%d of %d are ignored", ignored, n)
	}
}

// TestNamesOfOthers: a package that makes an RPM of another's name, or is called like one, does not
// take an advisory from it.
func TestNamesOfOthers(t *testing.T) {
	spec := func(text string) *lint.Spec {
		return lint.ParseSpec(t.Context(), text+"\nRelease: 1\n%description\n%files\n", nil)
	}
	all := []*manifest.Advisory{{ID: "A-1", Products: []manifest.Product{
		{Package: "libx", Version: "2", Epoch: "0"}}}}
	for range 20 { // maps have an order of their own
		var r Report
		r.AddAdvisories(Tree{Prefix: "os-", File: func(string) string { return "" },
			Wanted: func(string) bool { return true }, Specs: map[string]*lint.Spec{
				"x":    spec("Name: os-x\nVersion: 1\n%package -n os-libx"),
				"libx": spec("Name: os-other\nVersion: 9"),
				"zz":   spec("Name: os-libx\nVersion: 9"),
			}}, all)
		if len(r.Findings) != 1 || r.Findings[0].Part.Name != "x" {
			t.Fatalf("got %v", r.Findings)
		}
	}
}

// TestManyVersions: what versions a spec may have is bounded.
func TestManyVersions(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "%%if %%{x}\nVersion: 1.%d\nEpoch: %d\n%%endif\n", i, i)
	}
	spec := lint.ParseSpec(t.Context(), text.String(), nil)
	if all, whole := spec.Version.All(); whole || len(all) > 1000 {
		t.Errorf("%d versions, %v", len(all), whole)
	}
}
