// cargo: a build started by the build script of a crate. Cargo has ordered the crates and built what this one needs; what is
// left is one step.

package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/builddir"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// underCargo returns the package, the variant, or the directory of the kit below kits/ whose build script started this program;
// "" when none did. Cargo names the directory of the crate in CARGO_MANIFEST_DIR. A program that cargo runs for another
// reason, and which starts a build, inherits that of a crate which is none of these.
func underCargo(sys *System, c config, kind plan.Kind, args []string) (string, error) {
	dir := sys.Getenv("CARGO_MANIFEST_DIR")
	if dir == "" || len(args) > 0 {
		return "", nil
	}
	pkg, variant := workspace.Here(c.root, dir)
	name, command := pkg, plan.Package
	if variant != "" {
		name, command = variant, plan.Variant
	}
	if below, ok := strings.CutPrefix(workspace.Below(c.root, dir), "kits/"); ok {
		name, command = below, plan.Kit
	}
	if name == "" {
		return "", nil
	}
	if command != kind {
		return "", usageError{fmt.Errorf("the build script of %s started buildsys build-%s: build-%s is what it needs (CARGO_MANIFEST_DIR is %[1]s)",
			dir, kind, command)}
	}
	return name, nil
}

// buildUnit builds the one package, kit or image that want names and tells cargo what it depends on.
func buildUnit(ctx context.Context, sys *System, c config, want request) error {
	if want.verify {
		return usageError{errors.New("--verify-reproducible is not for build scripts: name the package or variant to verify")}
	}
	ws, err := c.load()
	if err != nil {
		return err
	}
	told := c.variant // by the settings: the one that cargo has had packages built for
	c.variant = cmp.Or(want.variant, told)
	p, err := planTree(c, ws, want)
	if skipped, ok := errors.AsType[*plan.SkippedError](err); ok {
		return skipUnit(sys, ws, c, want, skipped)
	}
	if err == nil {
		err = sameVariant(ws, p, told, c.variant)
	}
	if err != nil {
		return err
	}
	if err := checkForeign(sys, p); err != nil {
		return err
	}
	p = p.Unit()
	unit := p.Steps[len(p.Steps)-1]
	c.unit = strings.ReplaceAll(unit.ID, "/", "-")
	unlock, err := lockUnit(ctx, sys, c, unit)
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { _ = os.Remove(c.stagingDir()) }() // empty, and of no use to anybody else
	conn := &connection{sys: sys, c: c}
	defer conn.Close()
	run := func() error { return runPlan(ctx, sys, c, conn, p, want.wanted) }
	err = run()
	if errors.Is(err, errSDKChanged) {
		err = run()
	}
	if err != nil {
		return err
	}
	if len(want.kits) > 0 {
		toCargo := *sys // whose standard output is not for people
		toCargo.Stdout = sys.Stderr
		if err := packKits(ctx, &toCargo, c, want.kits); err != nil {
			return err
		}
	}
	if err := backdate(unit.Out, filepath.Join(c.root, crateOf(ws, unit), "Cargo.toml")); err != nil {
		return environmentError{fmt.Errorf("set the times of outputs: %w", err)}
	}
	return tellCargo(sys.Stdout, c, ws, p)
}

// skipUnit passes over a variant that is not made for the architecture: a workspace has all of them, and the others go on.
func skipUnit(sys *System, ws *workspace.Workspace, c config, want request, skipped *plan.SkippedError) error {
	fmt.Fprintf(sys.Stdout, "cargo:warning=%v\n", skipped)
	step := plan.Step{ID: string(plan.Variant) + "/" + want.variant, Kind: plan.Variant, Name: want.variant}
	return tellCargo(sys.Stdout, c, ws, plan.Plan{Arch: c.arch, Steps: []plan.Step{step}})
}

// sameVariant refuses an image of packages that were built for another variant.
func sameVariant(ws *workspace.Workspace, p plan.Plan, told, variant string) error {
	if told == variant {
		return nil
	}
	for _, s := range p.Steps {
		if pkg := ws.Packages[s.Name]; s.Kind == plan.Package && pkg != nil && sensitive(pkg) {
			return usageError{fmt.Errorf("the image of variant %s has package %s, which is made for one variant, and cargo has it made for BUILDSYS_VARIANT, "+
				"which is %q: set BUILDSYS_VARIANT=%[1]s", variant, s.Name, told)}
		}
	}
	return nil
}

// sensitive says whether a package's RPMs depend on the variant.
func sensitive(p *workspace.Package) bool {
	return p.VariantSensitive != "" || len(p.PackageFeatures) > 0
}

// lockUnit keeps units and runs of the other kind apart, and two units of one name: several cargo may be at work.
func lockUnit(ctx context.Context, sys *System, c config, unit plan.Step) (unlock func(), err error) {
	waiting := func(holder string) {
		fmt.Fprintf(sys.Stderr, "waiting: another run is working on this checkout (%s)\n", holder)
	}
	checkout, err := builddir.LockShared(ctx, c.lockFile(), "cargo: "+unit.ID, waiting)
	if err != nil {
		return nil, err
	}
	own, err := builddir.Lock(ctx, filepath.Join(c.stateDir(), c.unit+".lock"), waiting)
	if err != nil {
		checkout()
		return nil, err
	}
	return func() { own(); checkout() }, nil
}

// jobsHere is how many steps this process may build at once; 0 leaves that to the engine. A unit has nothing to do at once.
func (c config) jobsHere() int {
	if c.unit != "" {
		return 1
	}
	return c.jobs
}

// takeSlot waits until fewer units than may build at once are being built on the engine by any process: cargo's jobs are
// processes that know nothing of each other, and there may be several cargo. It is held until the connection is closed.
func (n *connection) takeSlot(ctx context.Context, cpus int) (jobs int, err error) {
	if n.slot != nil {
		return 1, nil
	}
	slots := cmp.Or(n.c.jobs, cpus)
	where := sha256.Sum256([]byte(n.info.Kind + " " + n.info.Host))
	dir := filepath.Join(n.c.cacheDir, "slots", fmt.Sprintf("%x", where[:8]))
	n.slot, err = builddir.Slot(ctx, dir, slots, n.c.unit+" in "+n.c.root, func(holders []string) {
		fmt.Fprintf(n.sys.Stderr, "waiting for one of %d build slots (BUILDSYS_JOBS): %s\n", slots, strings.Join(holders, "; "))
	})
	return 1, err
}

// crateOf is the directory of the crate that a step belongs to.
func crateOf(ws *workspace.Workspace, s plan.Step) string {
	switch s.Kind {
	case plan.Package:
		return filepath.Join("packages", s.Name)
	case plan.Kit:
		return filepath.FromSlash(ws.Kits[s.Name].Dir)
	}
	return filepath.Join("variants", s.Name)
}

// backdate gives the outputs in dir, where they are newer, the time of a file that was there before the build script was
// started. Cargo compares the times of what a build script depends on with the time of its start; with this it notices that
// outputs were removed or replaced later, and not that they were just made.
func backdate(dir, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	var paths []string
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	slices.Reverse(paths)
	for _, path := range paths {
		if at, e := os.Lstat(path); e != nil || at.ModTime().After(info.ModTime()) {
			err = errors.Join(err, e, setTime(path, info.ModTime()))
		}
	}
	return err
}

// setTime sets the modification time of a file, a directory, or a link itself: cargo looks at the links too.
func setTime(path string, at time.Time) error {
	stamp := unix.NsecToTimespec(at.UnixNano())
	err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "set the time of", Path: path, Err: err}
	}
	return nil
}
