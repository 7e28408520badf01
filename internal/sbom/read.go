// read: reads a document back that was written as SPDX. It may be of anybody.

package sbom

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"
)

// The limits of what is read. A distribution's image with a hundred thousand files has 100 MiB.
const (
	maxBytes  = 256 << 20
	maxDepth  = 16
	maxParts  = 200_000 // packages
	maxFiles  = 1_000_000
	maxRelate = 2_000_000
	// maxObjects and maxItems bound what takes memory beside these: lists in files and packages.
	maxObjects = 6_000_000
	maxItems   = 12_000_000
	maxName    = 8 << 10 // bytes of anything but the text of a licence
)

// The parts of SPDX that are read.
type (
	spdxDoc struct {
		Version   string `json:"spdxVersion"`
		Name      string `json:"name"`
		Namespace string `json:"documentNamespace"`
		Creation  struct {
			Created  string   `json:"created"`
			Creators []string `json:"creators"`
		} `json:"creationInfo"`
		Packages  []spdxPackage `json:"packages"`
		Files     []spdxFile    `json:"files"`
		Relations []spdxRelated `json:"relationships"`
		Licenses  []spdxText    `json:"hasExtractedLicensingInfos"`
	}
	spdxPackage struct {
		ID         string     `json:"SPDXID"`
		Name       string     `json:"name"`
		Version    string     `json:"versionInfo"`
		FileName   string     `json:"packageFileName"`
		Supplier   string     `json:"supplier"`
		Location   string     `json:"downloadLocation"`
		Checksums  []spdxSum  `json:"checksums"`
		Home       string     `json:"homepage"`
		Info       string     `json:"sourceInfo"`
		License    string     `json:"licenseDeclared"`
		Summary    string     `json:"summary"`
		Purpose    string     `json:"primaryPackagePurpose"`
		References []spdxName `json:"externalRefs"`
	}
	spdxFile struct {
		ID        string    `json:"SPDXID"`
		Name      string    `json:"fileName"`
		Checksums []spdxSum `json:"checksums"`
		Licenses  []string  `json:"licenseInfoInFiles"`
	}
	spdxRelated struct {
		From string `json:"spdxElementId"`
		To   string `json:"relatedSpdxElement"`
		How  string `json:"relationshipType"`
	}
	spdxSum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxName struct {
		Type    string `json:"referenceType"`
		Locator string `json:"referenceLocator"`
	}
	spdxText struct {
		ID   string `json:"licenseId"`
		Text string `json:"extractedText"`
	}
)

// ErrForeign is the error for a document in SPDX that this package has not written.
var ErrForeign = errors.New("buildsys has not written it")

// Read reads a document that SPDX has written. What it returns is well-formed: names have no
// control characters, hashes are hex digits.
func Read(in io.Reader) (Document, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxBytes+1))
	if err != nil {
		return Document{}, err
	}
	if len(data) > maxBytes {
		return Document{}, fmt.Errorf("it has more than %d MiB", maxBytes>>20)
	}
	if depth(data) > maxDepth {
		return Document{}, fmt.Errorf("it has more than %d levels", maxDepth)
	}
	if err := countParts(data); err != nil {
		return Document{}, err
	}
	var doc spdxDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return Document{}, err
	}
	switch {
	case doc.Version != "SPDX-2.3":
		return Document{}, fmt.Errorf("it is no SPDX 2.3: spdxVersion is %.40q", doc.Version)
	case len(doc.Creation.Creators) != 1 || doc.Creation.Creators[0] != "Tool: "+Creator:
		return Document{}, ErrForeign
	}
	r := reader{doc: doc, to: map[string][]spdxRelated{}, files: map[string]File{},
		texts: map[string]string{}, modules: map[string]Module{}, archives: map[string]Archive{}}
	return r.document()
}

// countParts refuses a document with more than is read, before it takes memory.
func countParts(data []byte) error {
	var count struct { // nothing of which takes any
		Packages, Files, Relationships []struct{}
	}
	if bytes.Count(data, []byte("{")) > maxObjects || bytes.Count(data, []byte(",")) > maxItems {
		return errTooMuch
	}
	err := json.Unmarshal(data, &count)
	if err == nil && (len(count.Packages) > maxParts || len(count.Files) > maxFiles ||
		len(count.Relationships) > maxRelate) {
		err = errTooMuch
	}
	return err
}

var errTooMuch = errors.New("it has more packages, files or relations than are read")

// depth returns how deep the lists and objects of JSON lie in one another.
func depth(data []byte) (deepest int) {
	level, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// reader has the parts of a document by their identifiers.
type reader struct {
	doc   spdxDoc
	to    map[string][]spdxRelated // by where they begin
	texts map[string]string
	// Each is looked at once, however many relations name it.
	files    map[string]File
	modules  map[string]Module
	archives map[string]Archive
}

func (r *reader) document() (Document, error) {
	for _, one := range r.doc.Relations {
		r.to[one.From] = append(r.to[one.From], one)
	}
	for _, l := range r.doc.Licenses {
		r.texts[l.ID] = l.Text
	}
	d := Document{Name: r.doc.Name}
	var err error
	for _, f := range r.doc.Files {
		if r.files[f.ID], err = r.file(f); err != nil {
			return d, fmt.Errorf("file %.200q: %w", f.Name, err)
		}
	}
	if d.Created, err = time.Parse(time.RFC3339, r.doc.Creation.Created); err != nil {
		return d, errors.New("it has no date")
	}
	seen := map[string]bool{}
	for _, p := range r.doc.Packages {
		if seen[p.ID] {
			return d, fmt.Errorf("%.200q is there twice", p.ID)
		}
		seen[p.ID] = true
		if err := r.leaf(p); err != nil {
			return d, fmt.Errorf("package %.200q: %w", p.Name, err)
		}
	}
	for _, p := range r.doc.Packages {
		if err := r.part(&d, p); err != nil {
			return d, fmt.Errorf("package %.200q: %w", p.Name, err)
		}
	}
	if d.Kind == "" {
		return d, errors.New("it does not say what it describes")
	}
	return d.sorted(), nil
}

// leaf reads one package that others are made of. A package URL that is none is of no module here.
func (r *reader) leaf(p spdxPackage) (err error) {
	for _, text := range []string{p.Name, p.Version, p.FileName, p.Supplier, p.Summary, p.License,
		p.Home, p.Info, p.Location} {
		if bad(text) {
			return errors.New("it has control characters, or is too long")
		}
	}
	switch id := strings.TrimPrefix(p.ID, "SPDXRef-"); {
	case strings.HasPrefix(id, moduleID):
		if m, ok := p.module(); ok {
			r.modules[p.ID] = m
		}
	case strings.HasPrefix(id, archiveID) && p.Name != "":
		a := Archive{Name: p.Name}
		if p.Location != noAssertion {
			a.URL = p.Location
		}
		a.SHA512, err = sum(p.Checksums, "SHA512", 64, true)
		r.archives[p.ID] = a
	}
	return err
}

// part reads one package into d.
func (r *reader) part(d *Document, p spdxPackage) error {
	id, ok := strings.CutPrefix(p.ID, "SPDXRef-")
	switch {
	case !ok || p.Name == "":
		return errors.New("it has no name")
	case strings.HasPrefix(id, "Whole-"):
		d.Kind = strings.TrimPrefix(id, "Whole-")
		if d.Kind != Image && d.Kind != Kit {
			return errors.New("it is neither an image nor a kit")
		}
		d.Version, d.Supplier = p.Version, organizationOf(p.Supplier)
	case strings.HasPrefix(id, rpmID):
		return r.rpm(d, p)
	case strings.HasPrefix(id, sourceID):
		return r.source(d, p)
	}
	return nil
}

// purl returns the package URL of a package.
func (p spdxPackage) purl() (packageurl.PackageURL, error) {
	for _, one := range p.References {
		if one.Type == "purl" && len(one.Locator) > maxName {
			return packageurl.PackageURL{}, errors.New("its package URL is too long")
		}
		if one.Type == "purl" {
			u, err := packageurl.FromString(one.Locator)
			if err == nil && (bad(u.Name) || bad(u.Version) || bad(u.Namespace)) {
				err = errors.New("its package URL has control characters")
			}
			return u, err
		}
	}
	return packageurl.PackageURL{}, errors.New("it has no package URL")
}

func (r *reader) rpm(d *Document, p spdxPackage) error {
	u, err := p.purl()
	if err != nil {
		return err
	}
	q := u.Qualifiers.Map()
	version, release, ok := cutLast(u.Version)
	if !ok || u.Type != packageurl.TypeRPM || u.Name != p.Name || q["arch"] == "" {
		return errors.New("its package URL is none of an RPM")
	}
	one := Package{Name: p.Name, Version: version, Release: release, Arch: q["arch"],
		Epoch: q["epoch"], Summary: p.Summary, License: r.license(p.License), URL: p.Home,
		Publisher: organizationOf(p.Supplier), SourceRPM: q["upstream"]}
	if bad(one.Arch + one.Epoch + one.SourceRPM + one.License) {
		return errors.New("its package URL or its licence has control characters")
	}
	d.OS = u.Namespace
	if one.SHA256, err = sum(p.Checksums, "SHA256", 32, false); err != nil {
		return err
	}
	for _, rel := range r.to[p.ID] {
		if file, ok := r.files[rel.To]; ok && rel.How == "CONTAINS" {
			one.Files = append(one.Files, file)
		} else if m, ok := r.modules[rel.To]; ok {
			one.Modules = append(one.Modules, m)
		}
	}
	d.Packages = append(d.Packages, one)
	return nil
}

func (r *reader) source(d *Document, p spdxPackage) error {
	version, release, ok := cutLast(p.Version)
	if !ok {
		return errors.New("its version has no release")
	}
	s := Source{Name: p.Name, Version: version, Release: release}
	for word := range strings.SplitSeq(p.Info, ", ") {
		if name, ok := strings.CutPrefix(word, "packages/"); ok {
			s.Package = name
		} else if name, ok := strings.CutPrefix(word, "sources/"); ok {
			s.Groups = append(s.Groups, name)
		}
	}
	for _, rel := range r.to[p.ID] {
		if file, ok := r.files[rel.To]; ok && rel.How == "CONTAINS" {
			file.Path = strings.TrimPrefix(file.Path, "/")
			s.Files = append(s.Files, file)
		} else if m, ok := r.modules[rel.To]; ok {
			s.Modules = append(s.Modules, m)
		} else if a, ok := r.archives[rel.To]; ok {
			s.Archives = append(s.Archives, a)
		}
	}
	d.Sources = append(d.Sources, s)
	return nil
}

// module returns a package as a module.
func (p spdxPackage) module() (Module, bool) {
	u, err := p.purl()
	if err != nil || u.Type != GoModule && u.Type != Crate {
		return Module{}, false
	}
	m := Module{Type: u.Type, Name: p.Name, Version: p.Version}
	if m.Sum, err = sum(p.Checksums, "SHA256", 32, false); err == nil && m.Sum == "" {
		m.Sum = strings.TrimPrefix(p.Info, "go.sum: ")
	}
	return m, err == nil
}

func (r *reader) file(f spdxFile) (File, error) {
	path, ok := strings.CutPrefix(f.Name, ".")
	if !ok || !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) ||
		len(path) > maxName {
		return File{}, errors.New("it has no name")
	}
	one := File{Path: path}
	var err error
	if one.SHA1, err = sum(f.Checksums, "SHA1", 20, true); err != nil {
		return one, err
	}
	if one.SHA256, err = sum(f.Checksums, "SHA256", 32, true); err != nil {
		return one, err
	}
	for _, id := range f.Licenses { // there is one; many would be joined to terabytes
		if one.License == "" {
			one.License = r.texts[id]
		}
	}
	return one, nil
}

// license returns what the tag of an RPM said.
func (r *reader) license(text string) string {
	if tag, own := r.texts[text]; own {
		return tag
	}
	if text == noAssertion {
		return ""
	}
	return text
}

// sum returns one of several hashes, which has a size in bytes; "" if it may be missing and is.
func sum(all []spdxSum, algorithm string, size int, must bool) (string, error) {
	for _, one := range all {
		if one.Algorithm != algorithm {
			continue
		}
		if b, err := hex.DecodeString(one.Value); err != nil || len(b) != size {
			return "", fmt.Errorf("%.200q is no %s", one.Value, algorithm)
		}
		return strings.ToLower(one.Value), nil
	}
	if must {
		return "", fmt.Errorf("it has no %s", algorithm)
	}
	return "", nil
}

// cutLast splits VERSION-RELEASE, perhaps after an epoch.
func cutLast(text string) (version, release string, ok bool) {
	i := strings.LastIndexByte(text, '-')
	if i <= 0 || i == len(text)-1 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

func organizationOf(supplier string) string {
	name, ok := strings.CutPrefix(supplier, "Organization: ")
	if !ok {
		return ""
	}
	return name
}

func bad(text string) bool {
	return len(text) > maxName ||
		strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f })
}
