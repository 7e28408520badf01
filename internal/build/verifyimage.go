// verifyimage: holds an image of anybody against what is stated of it.

package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"buildsys/internal/errkind"
	"buildsys/internal/image"
	"buildsys/internal/provenance"
	"buildsys/internal/sbom"
)

// Verified is an image that was held against its papers.
type Verified struct {
	Dir   string
	Paper *provenance.Paper
	// Checked are the things that were looked at and found good, for people, and Missed those that
	// could not be looked at, because the statement or the image does not say what they should be.
	Checked, Missed []string
	// Made are the files of the image that its step has made, changed or taken away: their bytes are
	// in no bill of materials.
	Made []string
}

func (v *Verified) good(format string, args ...any) {
	v.Checked = append(v.Checked, fmt.Sprintf(format, args...))
}

func (v *Verified) missed(format string, args ...any) {
	v.Missed = append(v.Missed, fmt.Sprintf(format, args...))
}

// Of refuses an image of another variant or architecture than the one that was asked for: the
// statement of any image that was signed with the same key is a good one.
func (v *Verified) Of(variant, arch string) error {
	if c := v.Paper.Image; c.Variant != variant || c.Arch != arch {
		return provenance.Faults{{Kind: provenance.BadStatement, Name: v.Paper.Name,
			Reason: fmt.Sprintf("it is about %.200q for %.40q, and %s for %s was asked for", c.Variant,
				c.Arch, variant, arch)}}
	}
	return nil
}

// VerifyImage checks an image and its papers in a directory: the signatures by a key, if it is not
// nil; the statements; the bytes of all files; and the disks, by what they say themselves. file is
// one of the files, or "". The error is a provenance.Faults with all that is wrong.
func VerifyImage(ctx context.Context, dir, file string, by dsse.Verifier) (v Verified, err error) {
	v.Dir = dir
	name, err := provenance.Find(dir)
	if err != nil {
		return v, environment(err)
	}
	text, err := provenance.Open(dir, name)
	if err != nil {
		return v, errkind.BadEnvironment(err)
	}
	paper, faults := provenance.Read(ctx, name, text, by)
	if v.Paper = paper; ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	if len(faults) > 0 {
		return v, faults
	}
	if file != "" && file != name {
		if faults := paper.Hold(file); faults != nil {
			return v, faults
		}
	}
	if by != nil {
		v.good("the statement is signed with the key %.16s", paper.KeyID)
	}
	v.good("the statements of %d steps are those that the image's statement names", len(paper.Steps))
	faults, err = paper.CheckFiles(ctx, dir)
	if err != nil {
		return v, orCause(ctx, errkind.BadEnvironment(err))
	}
	faults = changedPartitions(ctx, dir, paper, faults)
	if len(faults) == 0 {
		v.good("%d files have the bytes that it says, and no other is there", len(paper.Image.Subjects))
	}
	more, err := v.checkDisks(ctx, dir)
	if err != nil {
		return v, err
	}
	if faults = append(faults, more...); len(faults) > 0 {
		return v, faults
	}
	return v, nil
}

// environment returns an error of the machine; faults of the image stay what they are.
func environment(err error) error {
	if errkind.Is[provenance.Faults](err) {
		return err
	}
	return errkind.BadEnvironment(err)
}

func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return cause
	}
	return err
}

// changedPartitions says of disks that were changed where that is.
func changedPartitions(ctx context.Context, dir string, p *provenance.Paper,
	faults provenance.Faults) provenance.Faults {
	var all provenance.Faults
	for _, f := range faults {
		all = append(all, f)
		want := p.Image.Partitions[f.Name]
		if len(want) == 0 || f.Kind != provenance.BadFiles {
			continue
		}
		got, err := partitionSums(ctx, filepath.Join(dir, f.Name))
		if err != nil {
			continue // the fault above says enough, and what the disk says of itself is checked as well
		}
		for _, label := range slices.Sorted(maps.Keys(want)) {
			if got[label] != want[label] {
				all = append(all, provenance.Fault{Kind: provenance.BadFiles,
					Name: f.Name + ", partition " + label, Reason: "its bytes are not those of the statement"})
			}
		}
	}
	return all
}

// checkDisks reads the disks that the statement names, and collects their contradictions: file
// systems, hash trees, the root hash that the kernel is given, and what the bill of materials says
// of packages and files.
func (v *Verified) checkDisks(ctx context.Context, dir string) (provenance.Faults, error) {
	d, hasBill, faults := v.readBill(dir)
	verified, billed := 0, false
	for _, name := range slices.Sorted(maps.Keys(v.Paper.Image.Partitions)) {
		if _, ok := v.Paper.Image.Subjects[name]; !ok {
			continue
		}
		disk, err := image.Open(ctx, filepath.Join(dir, name), "")
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			faults = append(faults, provenance.Fault{Kind: provenance.BadContents, Name: name,
				Reason: "it cannot be read: " + baseError(err).Error()})
			continue
		}
		report, err := image.Inspect(ctx, disk, disk.Size)
		for _, text := range report.Faults {
			faults = append(faults, provenance.Fault{Kind: provenance.BadContents, Name: name,
				Reason: text})
		}
		if err == nil && hasBill && len(report.Packages) > 0 {
			billed = true
			var more provenance.Faults
			more, err = v.checkFiles(ctx, name, disk, d)
			faults = slices.Concat(faults, v.checkBill(d, report.Packages), more)
		}
		disk.Close() // it was only read
		if err != nil {
			return nil, orCause(ctx, err)
		}
		for _, root := range report.Roots {
			if root.Verified && root.CommandLine {
				verified++
			}
		}
	}
	if hasBill && !billed {
		faults = append(faults, provenance.Fault{Kind: provenance.BadSBOM, Name: sbom.SPDXName,
			Reason: "no disk says which packages it has"})
	}
	if verified == 0 {
		v.missed("no root file system with a hash tree is in a disk whose partitions the statement names")
	}
	if len(faults) == 0 && verified > 0 {
		v.good("%d root file system(s) match their hash trees, and those the command line of the kernel",
			verified)
	}
	return faults, nil
}

// baseError returns an error without the path of the image, which names the fault.
func baseError(err error) error {
	if bad, ok := errors.AsType[*image.BadImageError](err); ok {
		return errors.Join(bad.Faults...)
	}
	return err
}
