// verifybill: holds the bill of materials beside an image against the packages that the image says
// it has.

package build

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/image"
	"buildsys/internal/provenance"
	"buildsys/internal/sbom"
)

// readBill returns the bill of materials among the files that the statement names; ok is false if
// there is none. Nothing is read if the file is not the one that the statement names.
func (v *Verified) readBill(dir string) (d sbom.Document, ok bool, faults provenance.Faults) {
	want, ok := v.Paper.Image.Subjects[sbom.SPDXName]
	if !ok {
		v.missed("the statement names no bill of materials (%s): what is in the image is compared with "+
			"nothing", sbom.SPDXName)
		return d, false, nil
	}
	text, err := confined.Path{Root: dir, Name: sbom.SPDXName}.Read(maxBill)
	if err != nil || sha256.Sum256(text) != want {
		return d, false, nil // which is among the faults of files
	}
	if d, err = sbom.Read(bytes.NewReader(text)); err != nil {
		return d, false, provenance.Faults{{Kind: provenance.BadSBOM, Name: sbom.SPDXName,
			Reason: "it cannot be read: " + err.Error()}}
	}
	return d, true, nil
}

// checkBill compares a bill of materials with the packages in the inventory of an image.
func (v *Verified) checkBill(d sbom.Document, packages []image.Package) provenance.Faults {
	faults := compareBill(d, packages)
	if len(faults) == 0 {
		v.good("the bill of materials has the %d packages of the image", len(packages))
	}
	return faults
}

// compareBill returns a fault for each package that is only in one of both. An inventory leaves out
// what the names of an OS begin with.
func compareBill(d sbom.Document, packages []image.Package) (faults provenance.Faults) {
	key := func(name, epoch, version, release, arch string) string {
		p := sbom.Package{Name: strings.TrimPrefix(name, d.OS+"-"), Epoch: epoch, Version: version,
			Release: release, Arch: arch}
		return p.NEVRA()
	}
	count := map[string]int{}
	for _, p := range d.Packages {
		count[key(p.Name, p.Epoch, p.Version, p.Release, p.Arch)]++
	}
	for _, p := range packages {
		count[key(p.Name, p.Epoch, p.Version, p.Release, p.Architecture)]--
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		reason := "it is in the image, and not in the bill of materials"
		switch n := count[name]; {
		case n == 0:
			continue
		case n > 0:
			reason = "it is in the bill of materials, and not in the image"
		}
		faults = append(faults, provenance.Fault{Kind: provenance.BadSBOM, Name: name, Reason: reason})
	}
	return faults
}
