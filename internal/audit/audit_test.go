// audit_test: what names a fault has, what hides one, and what many of them cost.

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

func TestFaultsWithSeveralNames(t *testing.T) {
	var r Report
	part := Part{Kind: Package, Name: "app", Version: "1"}
	r.AddDatabases(osv.Result{Hits: []osv.Hit{
		{ID: "A", Aliases: []string{"CVE-1"}},
		{ID: "B", Aliases: []string{"CVE-1", "CVE-2"}, Severity: "high"},
		{ID: "C", Aliases: []string{"CVE-3"}},
		{ID: "B", Aliases: []string{"CVE-1"}, Subject: 1},
	}}, []Part{part, {Kind: Package, Name: "app", Version: "2"}})
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.Part.Version+" "+strings.Join(f.Names(), " ")+" "+f.Severity)
	}
	if want := "1 A CVE-1 B CVE-2 high, 1 C CVE-3 , 2 B CVE-1 "; strings.Join(got, ", ") != want {
		t.Errorf("got %q, not %q", got, want)
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
