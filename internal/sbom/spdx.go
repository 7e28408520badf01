// spdx: the document as SPDX 2.3.

package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/utils"
)

const (
	noAssertion = "NOASSERTION"
	// Creator stands in documents for what wrote them, and in the keys of steps that have one. The
	// number is raised when the same document gives other bytes. It is no version of the program:
	// those that change nothing change no bytes.
	Creator = "buildsys-sbom-1"
)

// The beginnings of the identifiers of packages in SPDX, by which Read knows what they are.
const (
	rpmID     = "RPM-"
	sourceID  = "Source-"
	archiveID = "Archive-"
	moduleID  = "Module-"
)

// spdxWriter collects a document.
type spdxWriter struct {
	d    Document
	doc  v2_3.Document
	seen map[common.ElementID]int
	ids  map[string]common.ElementID // of what is related to
	// others are the licences that are not of SPDX's list.
	others map[string]*v2_3.OtherLicense
}

// SPDX returns the document as SPDX 2.3.
func (d Document) SPDX() ([]byte, error) {
	d = d.sorted()
	namespace, err := d.namespace()
	if err != nil {
		return nil, err
	}
	w := spdxWriter{d: d, seen: map[common.ElementID]int{}, ids: map[string]common.ElementID{},
		others: map[string]*v2_3.OtherLicense{}}
	w.doc = v2_3.Document{SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense,
		SPDXIdentifier: "DOCUMENT", DocumentName: d.Name, DocumentNamespace: namespace,
		CreationInfo: &v2_3.CreationInfo{Created: d.Created.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: Creator}}}}
	w.modules()
	if err := w.sources(); err != nil {
		return nil, err
	}
	if err := w.packages(); err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(w.others)) {
		w.doc.OtherLicenses = append(w.doc.OtherLicenses, w.others[id])
	}
	var out bytes.Buffer
	err = spdxjson.Write(&w.doc, &out, spdxjson.Indent(" "), spdxjson.EscapeHTML(false))
	return out.Bytes(), err
}

// id returns an identifier that no other element has.
func (w *spdxWriter) id(begin, name string) common.ElementID {
	id := common.ElementID(begin + notInID.ReplaceAllString(name, "-"))
	w.seen[id]++
	if n := w.seen[id]; n > 1 {
		id += common.ElementID("-again-" + strconv.Itoa(n)) // RPMs of the same name are as good as never
	}
	return id
}

func (w *spdxWriter) relate(from common.ElementID, how string, to common.ElementID) {
	w.doc.Relationships = append(w.doc.Relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)),
		Relationship: how})
}

// add adds a package of which nothing but the given is known.
func (w *spdxWriter) add(p v2_3.Package) *v2_3.Package {
	p.PackageDownloadLocation = cmp.Or(p.PackageDownloadLocation, noAssertion)
	p.PackageLicenseConcluded = noAssertion
	p.PackageLicenseDeclared = cmp.Or(p.PackageLicenseDeclared, noAssertion)
	p.PackageCopyrightText = noAssertion
	p.IsFilesAnalyzedTagPresent = true
	w.doc.Packages = append(w.doc.Packages, &p)
	return &p
}

func (w *spdxWriter) modules() {
	for _, m := range w.d.modules() {
		p := v2_3.Package{PackageName: m.Name, PackageVersion: m.Version,
			PackageSPDXIdentifier: w.id(moduleID, m.Type+"-"+m.Name+"-"+m.Version),
			PrimaryPackagePurpose: "LIBRARY", PackageExternalReferences: references(m.purl(), "")}
		if m.Type == Crate && len(m.Sum) == hex.EncodedLen(sha256.Size) {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: m.Sum}}
		} else if m.Sum != "" {
			p.PackageSourceInfo = "go.sum: " + m.Sum
		}
		w.ids[fmt.Sprint(m)] = w.add(p).PackageSPDXIdentifier
	}
}

// sources adds the source packages with their archives and files.
func (w *spdxWriter) sources() error {
	for _, s := range w.d.Sources {
		name := s.Name + "-" + s.Version + "-" + s.Release
		p := w.add(v2_3.Package{PackageName: s.Name, PackageVersion: s.Version + "-" + s.Release,
			PackageSPDXIdentifier: w.id(sourceID, name), PrimaryPackagePurpose: "SOURCE",
			PackageSourceInfo: s.where(),
			PackageExternalReferences: references(w.d.sourceURL(s),
				w.d.cpe(s.Name, s.Version))})
		id := p.PackageSPDXIdentifier
		w.ids[name] = id
		for _, a := range s.Archives {
			at := w.add(v2_3.Package{PackageName: a.Name, PackageFileName: a.Name,
				PackageSPDXIdentifier:   w.id(archiveID, s.Name+"-"+a.Name),
				PackageDownloadLocation: address(a.URL), PrimaryPackagePurpose: "ARCHIVE",
				PackageChecksums: []common.Checksum{{Algorithm: common.SHA512, Value: a.SHA512}}})
			w.relate(id, "CONTAINS", at.PackageSPDXIdentifier)
		}
		for _, m := range s.Modules {
			w.relate(id, "DEPENDS_ON", w.ids[fmt.Sprint(m)])
		}
		files, err := w.files(p, name, s.Files)
		if err != nil {
			return err
		}
		for i, f := range files {
			if s.Files[i].IsPatch() {
				w.relate(f.FileSPDXIdentifier, "PATCH_FOR", id)
			}
		}
	}
	return nil
}

// packages adds what is described, and the RPMs with their files.
func (w *spdxWriter) packages() error {
	d := w.d
	purpose := map[string]string{Image: "OPERATING_SYSTEM", Kit: "INSTALL"}[d.Kind]
	top := w.add(v2_3.Package{PackageName: d.Name, PackageVersion: d.Version,
		PackageSPDXIdentifier: w.id("Whole-", d.Kind), PrimaryPackagePurpose: purpose,
		PackageSupplier: supplier(d.Supplier)}).PackageSPDXIdentifier
	w.relate("DOCUMENT", "DESCRIBES", top)
	for _, r := range d.Packages {
		p := w.add(v2_3.Package{PackageName: r.Name, PackageVersion: r.EVR(),
			PackageSPDXIdentifier: w.id(rpmID, r.NEVRA()), PackageSummary: r.Summary,
			PackageHomePage: address(r.URL), PackageSupplier: supplier(r.Publisher),
			PackageLicenseDeclared:    w.license(r.License),
			PackageFileName:           r.Name + "-" + r.Version + "-" + r.Release + "." + r.Arch + ".rpm",
			PackageExternalReferences: references(d.purl(r), d.cpeOf(r))})
		if r.SHA256 != "" {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: r.SHA256}}
		}
		id := p.PackageSPDXIdentifier
		w.relate(top, "CONTAINS", id)
		if s, ok := d.sourceOf(r); ok {
			w.relate(id, "GENERATED_FROM", w.ids[s.Name+"-"+s.Version+"-"+s.Release])
		}
		for _, m := range r.Modules {
			w.relate(id, "CONTAINS", w.ids[fmt.Sprint(m)])
		}
		if _, err := w.files(p, r.NEVRA(), r.Files); err != nil {
			return err
		}
	}
	return nil
}

// files adds files to a package. They need SHA-1 by the specification.
func (w *spdxWriter) files(p *v2_3.Package, of string, files []File) ([]*v2_3.File, error) {
	var all []*v2_3.File
	for _, f := range files {
		sum := sha256.Sum256([]byte(of + "\x00" + f.Path))
		file := &v2_3.File{FileName: fileName(f.Path), LicenseConcluded: noAssertion,
			FileSPDXIdentifier: w.id("File-", hex.EncodeToString(sum[:10])),
			LicenseInfoInFiles: []string{noAssertion}, FileCopyrightText: noAssertion,
			Checksums: []common.Checksum{{Algorithm: common.SHA1, Value: f.SHA1},
				{Algorithm: common.SHA256, Value: f.SHA256}}}
		if f.License != "" {
			id := textID(f.License)
			file.FileTypes, file.LicenseInfoInFiles = []string{"TEXT"}, []string{id}
			w.others[id] = &v2_3.OtherLicense{LicenseIdentifier: id, ExtractedText: f.License,
				LicenseName: noAssertion}
		}
		all = append(all, file)
		w.relate(p.PackageSPDXIdentifier, "CONTAINS", file.FileSPDXIdentifier)
	}
	if len(all) == 0 {
		return nil, nil
	}
	w.doc.Files = append(w.doc.Files, all...)
	code, err := utils.GetVerificationCode(all, "")
	if err != nil {
		return nil, err
	}
	p.FilesAnalyzed, p.PackageVerificationCode = true, &code
	p.PackageLicenseInfoFromFiles = infoFromFiles(all)
	return all, nil
}

func infoFromFiles(files []*v2_3.File) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.LicenseInfoInFiles...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// license returns the expression for the licences of a tag.
func (w *spdxWriter) license(tag string) string {
	text, own := expression(tag)
	if own {
		w.others[text] = &v2_3.OtherLicense{LicenseIdentifier: text, ExtractedText: tag,
			LicenseName: noAssertion, LicenseComment: "The RPM says so, in no expression of SPDX."}
	}
	return text
}

func (d Document) cpeOf(p Package) string {
	if s, ok := d.sourceOf(p); ok {
		return d.cpe(s.Name, s.Version)
	}
	return d.cpe(p.Name, p.Version)
}

func (s Source) where() string {
	text := ""
	if s.Package != "" {
		text = "packages/" + s.Package
	}
	for _, g := range s.Groups {
		text += ", sources/" + g
	}
	return text
}

func fileName(path string) string {
	if path != "" && path[0] == '/' {
		return "." + path
	}
	return "./" + path
}

func supplier(name string) *common.Supplier {
	if name == "" {
		return nil
	}
	return &common.Supplier{SupplierType: "Organization", Supplier: name}
}

func references(purl, cpe string) []*v2_3.PackageExternalReference {
	all := []*v2_3.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl",
		Locator: purl}}
	if cpe != "" {
		all = append(all, &v2_3.PackageExternalReference{Category: "SECURITY", RefType: "cpe23Type",
			Locator: cpe})
	}
	return all
}
