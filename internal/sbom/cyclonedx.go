// cyclonedx: the document as CycloneDX 1.6.

package sbom

import (
	"bytes"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// CycloneDX returns the document as CycloneDX 1.6.
func (d Document) CycloneDX() ([]byte, error) {
	d = d.sorted()
	namespace, err := d.namespace()
	if err != nil {
		return nil, err
	}
	kind := map[string]cyclonedx.ComponentType{Image: cyclonedx.ComponentTypeOS,
		Kit: cyclonedx.ComponentTypeLibrary}[d.Kind]
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(namespace)).URN()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: d.Created.UTC().Format(time.RFC3339),
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
			{Type: cyclonedx.ComponentTypeApplication, Name: Creator}}},
		Component: &cyclonedx.Component{BOMRef: d.Kind, Type: kind, Name: d.Name, Version: d.Version,
			Supplier: organization(d.Supplier)},
	}
	w := cdxWriter{d: d, refs: map[string]bool{}}
	whole := w.packages()
	w.sources()
	w.modules()
	leaves := append([]cyclonedx.Dependency{{Ref: d.Kind, Dependencies: &whole}}, w.leaves...)
	bom.Components, bom.Dependencies = &w.parts, &leaves
	var out bytes.Buffer
	err = cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).
		SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	return out.Bytes(), err
}

// cdxWriter collects the components.
type cdxWriter struct {
	d      Document
	parts  []cyclonedx.Component
	leaves []cyclonedx.Dependency
	refs   map[string]bool
}

// ref returns a reference that no other component has.
func (w *cdxWriter) ref(text string) string {
	for w.refs[text] {
		text += "#"
	}
	w.refs[text] = true
	return text
}

func (w *cdxWriter) add(c cyclonedx.Component, needs []string) {
	w.parts = append(w.parts, c)
	leaf := cyclonedx.Dependency{Ref: c.BOMRef}
	if len(needs) > 0 {
		leaf.Dependencies = &needs
	}
	w.leaves = append(w.leaves, leaf)
}

// packages adds the RPMs and returns their references.
func (w *cdxWriter) packages() []string {
	refs := []string{}
	for _, p := range w.d.Packages {
		c := cyclonedx.Component{BOMRef: w.ref(w.d.purl(p)), Type: cyclonedx.ComponentTypeLibrary,
			Name: p.Name, Version: p.EVR(), Description: p.Summary, PackageURL: w.d.purl(p),
			CPE: w.d.cpeOf(p), Supplier: organization(p.Publisher), Licenses: licenses(p.License)}
		if p.SHA256 != "" {
			c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: p.SHA256}}
		}
		if at := address(p.URL); at != "" {
			c.ExternalReferences = &[]cyclonedx.ExternalReference{{Type: cyclonedx.ERTypeWebsite, URL: at}}
		}
		c.Components, c.Evidence = fileParts(p.Files), texts(p.Files)
		var needs []string
		if s, ok := w.d.sourceOf(p); ok {
			needs = append(needs, w.d.sourceURL(s))
			c.Properties = &[]cyclonedx.Property{{Name: "buildsys:source-rpm", Value: p.SourceRPM}}
		}
		for _, m := range p.Modules {
			needs = append(needs, m.purl())
		}
		refs = append(refs, c.BOMRef)
		w.add(c, unique(needs))
	}
	return refs
}

// sources adds the source packages. What upstream has is their ancestor, to which the patches are
// applied.
func (w *cdxWriter) sources() {
	for _, s := range w.d.Sources {
		c := cyclonedx.Component{BOMRef: w.ref(w.d.sourceURL(s)), Type: cyclonedx.ComponentTypeLibrary,
			Name: s.Name, Version: s.Version + "-" + s.Release, PackageURL: w.d.sourceURL(s),
			CPE: w.d.cpe(s.Name, s.Version), Components: fileParts(s.Files), Evidence: texts(s.Files)}
		if at := s.where(); at != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "buildsys:tree", Value: at}}
		}
		pedigree := cyclonedx.Pedigree{}
		var from []cyclonedx.Component
		var places []cyclonedx.ExternalReference
		for _, a := range s.Archives {
			hashes := &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA512, Value: a.SHA512}}
			from = append(from, cyclonedx.Component{Type: cyclonedx.ComponentTypeFile, Name: a.Name,
				Version: s.Version, Hashes: hashes})
			if at := address(a.URL); at != "" {
				places = append(places, cyclonedx.ExternalReference{URL: at, Hashes: hashes,
					Type: cyclonedx.ERTypeSourceDistribution})
			}
		}
		var patches []cyclonedx.Patch
		for _, f := range s.Files {
			if f.IsPatch() {
				patches = append(patches, cyclonedx.Patch{Type: cyclonedx.PatchTypeUnofficial,
					Diff: &cyclonedx.Diff{URL: s.file(f)}})
			}
		}
		if from != nil {
			pedigree.Ancestors, c.Pedigree = &from, &pedigree
		}
		if patches != nil {
			pedigree.Patches, c.Pedigree = &patches, &pedigree
		}
		if places != nil {
			c.ExternalReferences = &places
		}
		var needs []string
		for _, m := range s.Modules {
			needs = append(needs, m.purl())
		}
		w.add(c, unique(needs))
	}
}

// file returns the place of a file beside the spec, in the tree.
func (s Source) file(f File) string {
	if s.Package == "" {
		return f.Path
	}
	return "packages/" + s.Package + "/" + f.Path
}

func (w *cdxWriter) modules() {
	for _, m := range w.d.modules() {
		if w.refs[m.purl()] {
			continue // the same module with another sum
		}
		c := cyclonedx.Component{BOMRef: w.ref(m.purl()), Type: cyclonedx.ComponentTypeLibrary,
			Name: m.Name, Version: m.Version, PackageURL: m.purl()}
		if m.Type == Crate && len(m.Sum) == 64 {
			c.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: m.Sum}}
		} else if m.Sum != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "buildsys:go.sum", Value: m.Sum}}
		}
		w.add(c, nil)
	}
}

func fileParts(files []File) *[]cyclonedx.Component {
	var all []cyclonedx.Component
	for _, f := range files {
		all = append(all, cyclonedx.Component{Type: cyclonedx.ComponentTypeFile, Name: f.Path,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA1, Value: f.SHA1},
				{Algorithm: cyclonedx.HashAlgoSHA256, Value: f.SHA256}}})
	}
	if all == nil {
		return nil
	}
	return &all
}

// texts returns the texts of licences among files as evidence.
func texts(files []File) *cyclonedx.Evidence {
	var all cyclonedx.Licenses
	for _, f := range files {
		if f.License != "" {
			all = append(all, cyclonedx.LicenseChoice{License: &cyclonedx.License{Name: f.Path,
				Text: &cyclonedx.AttachedText{ContentType: "text/plain", Content: f.License}}})
		}
	}
	if all == nil {
		return nil
	}
	return &cyclonedx.Evidence{Licenses: &all}
}

func licenses(tag string) *cyclonedx.Licenses {
	text, own := expression(tag)
	switch {
	case text == noAssertion:
		return nil
	case own:
		return &cyclonedx.Licenses{{License: &cyclonedx.License{Name: strings.TrimSpace(tag)}}}
	}
	return &cyclonedx.Licenses{{Expression: text}}
}

func organization(name string) *cyclonedx.OrganizationalEntity {
	if name == "" {
		return nil
	}
	return &cyclonedx.OrganizationalEntity{Name: name}
}

// unique returns references without those that are there twice.
func unique(refs []string) (all []string) {
	seen := map[string]bool{}
	for _, r := range refs {
		if !seen[r] {
			all, seen[r] = append(all, r), true
		}
	}
	return all
}
