// bill: what the bills of materials of images and kits say besides what RPMs say of themselves.
// They are outputs of the steps, made on this machine when a build has ended, so that they are
// stored and shared with the rest.

package plan

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"buildsys/internal/crates"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/sbom"
	"buildsys/internal/workspace"
)

// Bill is what the bill of materials of a step says besides what its RPMs say.
type Bill struct {
	Format        string // of the documents
	Name, Version string // of the image or kit
	Supplier      string
	Sources       []BillSource // by package, sorted
	// Copy are finished documents of an earlier image, which are taken as they are.
	Copy []File `json:"-"`
}

// BillSource is what a package of the tree is built from.
type BillSource struct {
	Package  string
	Groups   []string `json:",omitempty"` // source groups
	Archives []BillArchive
	Crates   []crates.Crate `json:",omitempty"` // of the Cargo.lock files that its build sees
	// Vendored are the archives that have a Cargo.lock of their own.
	Vendored []BillVendored `json:",omitempty"`
	// Files are patches and other files beside the spec, which is not among them, nor the manifest: an
	// edit there that changes no RPM changes no image. Keys have their contents.
	Files []File `json:"-"`
}

// BillArchive is an external file.
type BillArchive struct{ Name, URL, SHA512 string }

// BillVendored is an archive whose crates are bundled.
type BillVendored struct {
	Root, SHA512 string
	Host         string `json:"-"` // where it is once it is fetched
	file         manifest.ExternalFile
}

// Text returns all but the files, for keys.
func (b *Bill) Text() []byte {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // strings in structs
	}
	return text
}

// bill returns the bill of a step that sees the RPMs of packages, given by their steps.
func (m *maker) bill(name, version, supplier string, packages graph.Set) *Bill {
	b := &Bill{Format: sbom.Creator, Name: name, Version: version, Supplier: supplier}
	for i := range packages.All() {
		s := m.plan.Steps[i]
		pkg := m.ws.Packages[s.Name]
		if s.Kind == Package && pkg != nil {
			b.Sources = append(b.Sources, m.billSource(pkg, s))
		}
	}
	slices.SortFunc(b.Sources, func(a, b BillSource) int {
		return strings.Compare(a.Package, b.Package)
	})
	return b
}

func (m *maker) billSource(pkg *workspace.Package, s Step) BillSource {
	one := BillSource{Package: pkg.Name, Groups: pkg.SourceGroups}
	for _, f := range once(pkg.ExternalFiles) {
		one.Archives = append(one.Archives, BillArchive{f.Name(), f.URL, f.SHA512})
	}
	for _, f := range pkg.ExternalFiles {
		if f.BundleRust {
			host, root := m.r.Sources.Path(f), f.BundleRoot
			f.BundleRust = false // the archive alone is wanted
			one.Vendored = append(one.Vendored, BillVendored{root, f.SHA512, host, f})
		}
	}
	for _, c := range s.Crates {
		one.Crates = append(one.Crates, c.List...)
	}
	slices.SortFunc(one.Crates, func(a, b crates.Crate) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
	})
	one.Crates = slices.Compact(one.Crates)
	files := edited(m.secrets.visibleFar(m.ws.Files(pkg), pkg.Dir), m.r.Edited[pkg.Name])
	for _, f := range files {
		if f.Link == "" && !strings.HasSuffix(f.Name, ".spec") && f.Name != "Cargo.toml" {
			one.Files = append(one.Files, f)
		}
	}
	sortFiles(one.Files)
	return one
}

// addBill gives a step its bill. It fetches the archives whose crates are bundled, to read which.
func (m *maker) addBill(s *Step, name, version, supplier string, packages graph.Set) {
	s.Bill = m.bill(name, version, supplier, packages)
	for _, one := range s.Bill.Sources {
		for _, a := range one.Vendored {
			s.Fetch = append(s.Fetch, a.file)
		}
	}
}
