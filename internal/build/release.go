// release: what an image is published with: a commit, a signature, and licences that its tree
// allows.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/provenance"
	"buildsys/internal/safetext"
	"buildsys/internal/safetoml"
)

// checkRelease refuses the release of an image that could not be published, before it is built.
func (s *Session) checkRelease(ctx context.Context, want Request) error {
	if !s.c.Remote.Release || s.apart() || !want.Image && want.Repack == nil {
		return nil
	}
	switch _, dirty, err := git.Head(ctx, s.c.Root, treeInputs...); {
	case err != nil:
		return errkind.Usagef("a release is made of a commit, and that of this tree is not known: %w",
			err)
	case dirty:
		return errkind.Usagef("a release is made of a commit, and this checkout has changes that are " +
			"in none (git status shows them): commit or remove them")
	}
	if s.c.Sign == (SignConfig{}) {
		return errkind.Usagef("a release is signed: name a key with --sign-key, or a program that " +
			"holds one with --signer; " + provenance.HowToMake)
	}
	if _, err := s.licences(); err != nil {
		return err
	}
	_, err := s.c.Sign.signer(ctx) // better now than after the build
	return err
}

// checkBilled refuses the release of an image without a bill of materials, before it is built.
func checkBilled(p plan.Plan) error {
	for _, step := range p.Steps {
		if step.Kind != plan.Variant && step.Kind != plan.Repack {
			continue
		}
		switch {
		case step.Bill == nil && step.Kind == plan.Repack:
			return errkind.Usagef("a release has a bill of materials, and the image to repack has none " +
				"beside it: build the variant anew")
		case step.Bill == nil:
			return errkind.Usagef("a release has a bill of materials, and none can be made of the image " +
				"of a tree's own Dockerfile")
		}
	}
	return nil
}

// licencesFile is the tree's file with the licences that its releases may have.
const licencesFile = "licences.toml"

// licencePolicy is what licences the packages of a release may have.
type licencePolicy struct {
	Allow []string `toml:"allow"` // SPDX identifiers; empty for all
	Deny  []string `toml:"deny"`
	// Packages are the licences of packages whose specs say something else, by name of the RPM.
	Packages map[string]string `toml:"packages"`
}

const maxLicences = 1 << 20

// licences reads the policy of the tree, nil if it has none.
func (s *Session) licences() (*licencePolicy, error) {
	data, err := confined.Path{Root: s.c.Root, Name: licencesFile}.Read(maxLicences)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	var p licencePolicy
	meta, err := safetoml.Decode(string(data), &p)
	if err == nil && len(meta.Undecoded()) > 0 {
		err = fmt.Errorf("unknown key %s", meta.Undecoded()[0])
	}
	if err != nil {
		return nil, errkind.Usagef("%s: %w", licencesFile, err)
	}
	ok, wrong := spdxexp.ValidateLicensesWithOptions(slices.Concat(p.Allow, p.Deny),
		spdxexp.ValidateLicensesOptions{FailComplexExpressions: true})
	if !ok {
		return nil, errkind.Usagef("%s: these are no SPDX identifiers of licences: %s", licencesFile,
			safetext.Line(strings.Join(wrong, ", ")))
	}
	return &p, nil
}

// checkLicences holds the packages of an image against the policy.
func (s *Session) checkLicences(ctx context.Context, step plan.Step, e cache.Entry) error {
	policy, err := s.licences()
	if err != nil {
		return err
	}
	if policy == nil {
		s.warn("the tree has no " + licencesFile + ": packages of any licence are released")
		return nil
	}
	disks := DiskFiles(e)
	if len(disks) == 0 {
		return errkind.Usagef("the image has no disk that could be read for the licences of its packages")
	}
	disk, err := image.Open(ctx, filepath.Join(step.Out, disks[0].Name), "")
	if err != nil {
		return err
	}
	defer disk.Close()
	report, err := image.Inspect(ctx, disk, disk.Size)
	if err != nil {
		return err
	}
	return policy.check(report.Packages)
}

// check returns an error that names the packages whose licences are not allowed.
func (p *licencePolicy) check(packages []image.Package) error {
	var refused []string
	if len(packages) == 0 {
		return errkind.Usagef("the image does not say which packages it has, so that their licences " +
			"are not known")
	}
	for _, one := range packages {
		text := one.License
		if said := p.Packages[one.Name]; said != "" {
			text = said
		}
		if why := p.refuses(text); why != "" {
			refused = append(refused, fmt.Sprintf("%s has the licence %.200q: %s", safetext.Line(one.Name),
				safetext.Line(text), why))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return errkind.Wrap(errkind.Integrity, fmt.Errorf("%s does not allow this release:\n  %s",
		licencesFile, strings.Join(refused, "\n  ")))
}
