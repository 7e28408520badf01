// unit: runs a build that the build script of a crate started. Cargo has ordered the crates and
// built what this one needs, so one step is left.

package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"buildsys/internal/builddir"
	"buildsys/internal/cargo"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/safetext"
	"buildsys/internal/workspace"
)

// BuildUnit builds the one package, kit or image that want names, and writes cargo's directives
// about what it depends on. built is the variant that cargo has had packages built for, which may
// differ from the session's.
func (s *Session) BuildUnit(ctx context.Context, want Request, built string, directives io.Writer) (
	Result, error) {
	if want.Verify {
		return Result{}, errkind.Usagef("--verify-reproducible is not for build scripts: " +
			"name the package or variant to verify")
	}
	ws, err := s.Load()
	if err != nil {
		return Result{}, err
	}
	p, err := s.planTree(ctx, ws, want)
	if skipped, ok := errors.AsType[*plan.SkippedError](err); ok {
		return Result{}, s.skipUnit(ws, skipped, directives)
	}
	if err != nil {
		return Result{}, err
	}
	if last := p.Steps[len(p.Steps)-1]; s.isDir(filepath.Join(devDir, last.Name)) &&
		last.Kind == plan.Package {
		return Result{}, errkind.Usagef("package %s is being worked on in %s/%[1]s, and cargo would not "+
			"see it change: build it with buildsys build-package, or finish it (buildsys dev --finish "+
			"%[1]s)", last.Name, devDir)
	}
	if err := sameVariant(ws, p, built, s.c.Variant); err != nil {
		return Result{}, err
	}
	if err := s.checkRecipe(p); err != nil {
		return Result{}, err
	}
	p = p.Unit()
	result, err := s.runUnit(ctx, p, want)
	if err != nil {
		return result, err
	}
	unit := p.Steps[len(p.Steps)-1]
	manifest := filepath.Join(s.c.Root, cargo.Dir(ws, unit), "Cargo.toml")
	if err := cargo.Backdate(unit.Out, manifest); err != nil {
		return result, errkind.Environmentf("set the times of outputs: %w", err)
	}
	return result, s.crate(ws, p).WriteDirectives(directives)
}

func (s *Session) crate(ws *workspace.Workspace, p plan.Plan) cargo.Crate {
	return cargo.Crate{Root: s.c.Root, SDKImage: s.c.SDK.Image, BuildID: s.c.Image.BuildID,
		Tree: ws, Plan: p}
}

// runUnit runs the last step of a plan, whose other steps are given.
func (s *Session) runUnit(ctx context.Context, p plan.Plan, want Request) (Result, error) {
	unit := p.Steps[len(p.Steps)-1]
	unlock, err := s.lockUnit(ctx, unit.ID)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	defer func() { _ = os.Remove(s.dir.Staging(unit.ID)) }() // empty, and used by no other process
	result := Result{Out: unit.Out}
	err = s.withEngine(func(e *engineLink) error {
		_, err := s.runSteps(ctx, e, p, stepsOptions{wanted: want.wanted, unit: unit.ID})
		return err
	})
	if err == nil && len(want.Kits) > 0 {
		result.Kits, err = s.packKits(ctx, want.Kits)
	}
	return result, err
}

// lockUnit serializes a unit against full builds of the checkout and against the same unit in
// another cargo.
func (s *Session) lockUnit(ctx context.Context, id string) (unlock func(), err error) {
	waiting := s.waitingFor("working on this checkout")
	checkout, err := builddir.LockShared(ctx, s.c.Root, s.dir.Lock(), "cargo: "+id, waiting)
	if err != nil {
		return nil, err
	}
	own, err := builddir.Lock(ctx, s.c.Root, s.dir.UnitLock(id), waiting)
	if err != nil {
		checkout()
		return nil, err
	}
	return func() { own(); checkout() }, nil
}

// skipUnit succeeds for a variant that does not support the architecture, as a cargo workspace has
// all variants.
func (s *Session) skipUnit(ws *workspace.Workspace, skipped *plan.SkippedError, w io.Writer) error {
	if _, err := fmt.Fprintf(w, "cargo:warning=%s\n", safetext.Line(skipped.Error())); err != nil {
		return err
	}
	name := s.c.Variant
	step := plan.Step{ID: string(plan.Variant) + "/" + name, Kind: plan.Variant, Name: name}
	p := plan.Plan{Arch: s.c.Arch, Steps: []plan.Step{step}}
	return s.crate(ws, p).WriteDirectives(w)
}

// sameVariant refuses an image with packages that were built for another variant.
func sameVariant(ws *workspace.Workspace, p plan.Plan, built, variant string) error {
	names := cargo.SensitivePackages(ws, p)
	if built == variant || len(names) == 0 {
		return nil
	}
	return errkind.Usagef("package %s of variant %s is variant-sensitive, and cargo built it for "+
		"BUILDSYS_VARIANT=%q: set BUILDSYS_VARIANT=%s", names[0], variant, built, variant)
}
