// advisories: what the advisories of a tree say of its packages.

package audit

import (
	"fmt"
	"strings"

	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/rpm"
	"buildsys/internal/safetext"
)

// Tree is a tree's packages, as its specs and advisories know them.
type Tree struct {
	Specs  map[string]*lint.Spec
	Prefix string              // of the names of RPMs
	File   func(string) string // of a package's spec
	Wanted func(string) bool   // whether a package is looked at
}

// AddAdvisories adds what a tree's advisories say: a package has a fault if its spec has an older
// version than the first with the fix. As rpm does, it compares the epoch first; the release does
// not count.
func (r *Report) AddAdvisories(t Tree, all []*manifest.Advisory) {
	r.Advisories = len(all)
	made := lint.Made(t.Specs, t.Prefix)
	for _, a := range all {
		for _, p := range a.Products {
			if made[p.Package] == nil {
				r.Note("an advisory is about a package that the tree does not have", p.Package)
			}
			for _, name := range made[p.Package] {
				if t.Wanted(name) {
					r.product(t, a, p, name)
				}
			}
		}
	}
}

// product compares what an advisory says of a package with the versions that its spec may have.
func (r *Report) product(t Tree, a *manifest.Advisory, p manifest.Product, name string) {
	versions, whole := t.Specs[name].Version.All()
	if !whole {
		r.Note("the version of a package cannot be read from its spec", name)
	}
	for _, v := range versions {
		f := Finding{Level: lint.Error, ID: a.ID, Severity: a.Severity, Summary: a.Title,
			Fixed: []string{p.Version}, Advisory: a.File, Part: Part{Kind: Package, Name: name,
				Version: v.Version, Of: name, File: t.File(name), Line: t.Specs[name].Version.Line}}
		for _, other := range []string{a.CVE, a.GHSA} {
			if other != "" {
				f.Aliases = append(f.Aliases, other)
			}
		}
		epochs, older := rpm.Compare(v.Epoch, p.Epoch), rpm.Compare(v.Version, p.Version) < 0
		switch {
		case epochs < 0:
			f.Summary += fmt.Sprintf(" (the epoch of the spec is %s, and that of the fix %s)", v.Epoch,
				p.Epoch)
			r.add(f)
		case epochs == 0 && older:
			r.add(f)
		case epochs > 0 && older:
			f.Level = lint.Warning
			f.Summary += fmt.Sprintf(" (the version is older; only the epoch, %s in the spec and %s in %s, "+
				"says that it is fixed)", v.Epoch, p.Epoch, safetext.Line(strings.TrimPrefix(a.File,
				lint.AdvisoryDir+"/")))
			r.add(f)
		}
	}
}
