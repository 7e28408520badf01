// Bills of materials of each binary: the modules that are written in it, as SPDX 2.3 and as
// CycloneDX 1.6.

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	"github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// component is a module in a binary.
type component struct {
	path, version, sum string // sum is that of go.sum
	license            string // an SPDX expression, or ""
}

// purl returns the package URL.
func (c component) purl() string {
	namespace, name := "", c.path
	if i := strings.LastIndexByte(c.path, '/'); i >= 0 {
		namespace, name = c.path[:i], c.path[i+1:]
	}
	return packageurl.NewPackageURL("golang", namespace, name, c.version, nil, "").ToString()
}

// bill is what both formats say.
type bill struct {
	binary
	name, version, digest string
	date                  time.Time
	of                    component   // buildsys itself
	parts                 []component // what is in it
}

func (r *release) bills(context.Context) error {
	for _, b := range r.built {
		data, err := os.ReadFile(b.path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		l := bill{binary: b, name: r.name("-" + b.String()), version: r.version, date: r.date,
			digest: hex.EncodeToString(sum[:]),
			of:     component{path: b.info.Main.Path, version: b.info.Main.Version, license: "Apache-2.0"}}
		l.parts = []component{{path: "std", version: strings.TrimPrefix(b.info.GoVersion, "go"),
			license: r.legal.ids[r.std()]}}
		for _, m := range b.info.Deps {
			if m.Replace != nil {
				return fmt.Errorf("%s is replaced in the binary", m.Path)
			}
			l.parts = append(l.parts, component{m.Path, m.Version, m.Sum,
				r.legal.ids[m.Path+"@"+m.Version]})
		}
		for ending, form := range map[string]func() ([]byte, error){
			".spdx.json": l.spdx, ".cdx.json": l.cycloneDX} {
			data, err := form()
			if err != nil {
				return err
			}
			if err := os.WriteFile(b.path+ending, data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// spdx returns the bill as SPDX 2.3.
func (l bill) spdx() ([]byte, error) {
	doc := v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      l.name,
		DocumentNamespace: "https://buildsys.invalid/spdx/" + l.name + "-" + l.digest,
		CreationInfo: &v2_3.CreationInfo{Created: l.date.Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "buildsys-releaser-" + l.version}}},
	}
	main := spdxPackage("Package-buildsys", l.of)
	main.PackageFileName, main.PrimaryPackagePurpose = l.name, "APPLICATION"
	main.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: l.digest}}
	doc.Packages = append(doc.Packages, main)
	relate := func(from, to common.ElementID, how string) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)),
			Relationship: how})
	}
	relate("DOCUMENT", main.PackageSPDXIdentifier, "DESCRIBES")
	for i, c := range l.parts {
		// The number keeps apart what differs only in characters that an identifier cannot have.
		id := fmt.Sprintf("Package-%d-%s", i+1, notInID.ReplaceAllString(c.path, "-"))
		p := spdxPackage(common.ElementID(id), c)
		doc.Packages = append(doc.Packages, p)
		relate(main.PackageSPDXIdentifier, p.PackageSPDXIdentifier, "CONTAINS")
	}
	var out bytes.Buffer
	err := spdxjson.Write(&doc, &out, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
	return out.Bytes(), err
}

func spdxPackage(id common.ElementID, c component) *v2_3.Package {
	p := &v2_3.Package{PackageName: c.path, PackageSPDXIdentifier: id, PackageVersion: c.version,
		PackageDownloadLocation: "NOASSERTION", PackageLicenseConcluded: "NOASSERTION",
		PackageLicenseDeclared: "NOASSERTION", PackageCopyrightText: "NOASSERTION",
		PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: []*v2_3.PackageExternalReference{{Category: "PACKAGE-MANAGER",
			RefType: "purl", Locator: c.purl()}},
	}
	if c.license != "" {
		p.PackageLicenseDeclared = c.license
	}
	if c.sum != "" {
		p.PackageSourceInfo = "go.sum: " + c.sum
	}
	return p
}

// cycloneDX returns the bill as CycloneDX 1.6.
func (l bill) cycloneDX() ([]byte, error) {
	main := cycloneComponent(cyclonedx.ComponentTypeApplication, l.of)
	main.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: l.digest}}
	bom := cyclonedx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(l.name+" "+l.digest)).URN()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: l.date.Format(time.RFC3339), Component: &main,
		Properties: &[]cyclonedx.Property{{Name: "buildsys:file", Value: l.name}}}
	var parts []cyclonedx.Component
	var refs []string
	leaves := []cyclonedx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	for _, c := range l.parts {
		part := cycloneComponent(cyclonedx.ComponentTypeLibrary, c)
		parts, refs = append(parts, part), append(refs, part.BOMRef)
		leaves = append(leaves, cyclonedx.Dependency{Ref: part.BOMRef})
	}
	bom.Components, bom.Dependencies = &parts, &leaves
	var out bytes.Buffer
	err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).
		SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
	return out.Bytes(), err
}

func cycloneComponent(kind cyclonedx.ComponentType, c component) cyclonedx.Component {
	out := cyclonedx.Component{BOMRef: c.purl(), Type: kind, Name: c.path, Version: c.version,
		PackageURL: c.purl()}
	switch {
	case strings.Contains(c.license, " "):
		out.Licenses = &cyclonedx.Licenses{{Expression: c.license}}
	case c.license != "":
		out.Licenses = &cyclonedx.Licenses{{License: &cyclonedx.License{ID: c.license}}}
	}
	if c.sum != "" {
		out.Properties = &[]cyclonedx.Property{{Name: "buildsys:go.sum", Value: c.sum}}
	}
	return out
}
