// Package cargo does what cargo's build scripts need: it finds the step whose crate started this
// program, and writes what cargo must know about the step. Cargo orders the crates and builds what
// one needs; a session of package build runs the one step that is left.
package cargo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// Unit returns the package, the variant, or the directory below kits/ of the kit, whose build
// script started this program for a step of the given kind. manifestDir is the directory of the
// crate, from CARGO_MANIFEST_DIR. Unit returns "" for other crates: a program that cargo runs for
// another reason, and which starts a build, inherits the directory of its own crate.
func Unit(root, manifestDir string, kind plan.Kind) (string, error) {
	here, ok := workspace.Here(root, manifestDir)
	if needs := plan.Kind(here.Kind); ok && needs != kind {
		return "", errkind.Usagef("the build script of %s started buildsys build-%s: "+
			"build-%s is what it needs (CARGO_MANIFEST_DIR is %[1]s)", manifestDir, kind, needs)
	}
	return here.Name, nil
}

// Dir returns the directory of the crate of a step, relative to the root of the tree.
func Dir(tree *workspace.Workspace, s plan.Step) string {
	switch s.Kind {
	case plan.Package:
		return filepath.Join("packages", s.Name)
	case plan.Kit:
		return filepath.FromSlash(tree.Kits[s.Name].Dir)
	}
	return filepath.Join("variants", s.Name)
}

// SensitivePackages returns the names of the packages of a plan whose RPMs depend on the
// variant, in plan order.
func SensitivePackages(tree *workspace.Workspace, p plan.Plan) []string {
	var names []string
	for _, s := range p.Steps {
		if pkg := tree.Packages[s.Name]; s.Kind == plan.Package && pkg != nil && pkg.Sensitive() {
			names = append(names, s.Name)
		}
	}
	return names
}

// Backdate sets the times of outputs in dir that are newer than file to the time of file, which
// must be older than the start of the build script. Cargo compares the times of what a build script
// depends on with the time of its start. So cargo notices if outputs are removed or replaced later,
// but not that they were just made.
func Backdate(dir, file string) error {
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
		at, e := os.Lstat(path)
		if e != nil || at.ModTime().After(info.ModTime()) {
			err = errors.Join(err, e, setTime(path, info.ModTime()))
		}
	}
	return err
}

// setTime sets the modification time of a file, a directory or a link. Cargo looks at links
// themselves, too.
func setTime(path string, at time.Time) error {
	stamp := unix.NsecToTimespec(at.UnixNano())
	times := []unix.Timespec{stamp, stamp}
	err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "set the time of", Path: path, Err: err}
	}
	return nil
}
