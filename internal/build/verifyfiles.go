// verifyfiles: holds the files in an image against those that its bill of materials lists.

package build

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/cache"
	"buildsys/internal/contents"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/provenance"
	"buildsys/internal/sbom"
)

// maxNamed bounds how many files are named of those that are wrong.
const maxNamed = 20

// checkFiles holds the regular files of the disk that has the root against those of the bill of
// materials: none may differ, be missing, or be there besides, but for those that the step of the
// image makes, changes or takes away.
func (v *Verified) checkFiles(ctx context.Context, name string, disk *image.File,
	d sbom.Document) (faults provenance.Faults, err error) {
	img := contents.OfDisk(ctx, name, disk)
	made := v.madeImage(img, d)
	want := made.bill
	if made.signedGRUB() && !made.linked {
		want = secureGRUB(want)
	}
	same, unlike, err := img.Hold(ctx, want)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return provenance.Faults{{Kind: provenance.BadContents, Name: name,
			Reason: baseError(err).Error()}}, nil
	}
	allowed, wrong := made.allowed(), 0
	for _, u := range unlike {
		ok, err := allowed(u)
		if !ok {
			err = errUnlike(u)
		}
		if err == nil {
			v.Made = append(v.Made, contents.InImage(u.Path))
			continue
		}
		if wrong++; wrong <= maxNamed {
			faults = append(faults, provenance.Fault{Kind: provenance.BadSBOM,
				Name: contents.InImage(u.Path), Reason: err.Error()})
		}
	}
	if wrong > maxNamed {
		faults = append(faults, provenance.Fault{Kind: provenance.BadSBOM, Name: name,
			Reason: fmt.Sprintf("so are %d more of its files", wrong-maxNamed)})
	}
	if wrong == 0 {
		v.good("%d files of the image have the bytes that the bill of materials says, and none is there "+
			"besides; the step of the image has made, changed or taken away %d", same, len(v.Made))
	}
	return faults, nil
}

// errUnlike returns why a file is wrong.
func errUnlike(u contents.Unlike) error {
	switch u.Change {
	case contents.Added:
		return errors.New("it is in the image, and no package of the bill of materials has it")
	case contents.Removed:
		return fmt.Errorf("it is in the bill of materials with the sha256 %.12s, and not in the image",
			u.Want)
	}
	return fmt.Errorf("its sha256 is %.12s, and the bill of materials says %.12s", u.Sum, u.Want)
}

// madeImage returns what the step of the image may have done to files.
func (v *Verified) madeImage(img *contents.Image, d sbom.Document) madeImage {
	c := v.Paper.Image
	features := strings.Fields(c.Arg("IMAGE_FEATURES"))
	m := madeImage{os: d.OS, bill: map[string]string{},
		repacked: strings.HasPrefix(c.Step, string(plan.Repack)+"/"),
		signed:   slices.Contains(features, "uefi-secure-boot"),
		erofs:    slices.Contains(features, "erofs-root-partition"),
		uki:      c.Arg("IMAGE_FORMAT") == "uki", trust: map[string]string{}}
	for _, p := range d.Packages {
		for _, f := range p.Files {
			m.bill[f.Path] = f.SHA256
		}
	}
	for _, name := range []string{"ca-bundle.crt", "root.json"} {
		m.trust[name] = cache.FileSum(c.Transcript, "image", name)
	}
	if sum, ok := c.Subjects[inventoryName]; ok {
		m.beside = hex.EncodeToString(sum[:])
	}
	if _, prefix, err := img.Inventory(); err == nil {
		m.os = strings.TrimSuffix(prefix, "-")
	}
	root, err := img.Root()
	if err != nil || root.Files == nil {
		return m
	}
	usr, err := root.Find("/usr", false)
	m.linked = err == nil && usr.Type() == image.ModeLink
	squashed, err := root.Find("/usr/share/"+m.os+"/licenses.squashfs", true)
	m.squashed = err == nil && squashed.Type() == image.ModeRegular
	return m
}

// secureGRUB returns where the files of a bill of materials are in an image for Secure Boot: those
// of efi-secure take the place of those of efi.
func secureGRUB(bill map[string]string) map[string]string {
	const plain, secure = "/boot/efi/", "/boot/efi-secure/"
	all := map[string]string{}
	for name, sum := range bill {
		if rest, ok := strings.CutPrefix(name, secure); ok {
			all[plain+rest] = sum
		} else if !strings.HasPrefix(name, plain) {
			all[name] = sum
		}
	}
	return all
}
