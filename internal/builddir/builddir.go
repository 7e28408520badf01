// Package builddir is the build directory of a checkout: all paths below it, the locks that keep
// runs apart, and the whole and durable replacement of a step's outputs. It alone writes outputs,
// records, locks and logs there, and knows neither plans nor builders. Package cache writes Nodes
// and Memo, which explain keys and speed them up, and package oci the images of kits. Package plan
// takes the paths of outputs from here. Only Slot is for another directory: runs in several
// checkouts share an engine.
package builddir

import (
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/confined"
)

// Latest is the name of the link to the newest of a variant's image directories, which lies beside
// them.
const Latest = "latest"

// Dir is a build directory as one architecture sees it. Runs for different architectures share only
// the paths that name no architecture.
type Dir struct {
	Root string // "<checkout>/build"
	Arch string
}

// In returns the build directory of the checkout at root.
func In(root, arch string) Dir { return Dir{Root: filepath.Join(root, "build"), Arch: arch} }

// AllOutputs returns the directories with the RPMs and images of all architectures.
func (d Dir) AllOutputs() []string {
	return []string{filepath.Join(d.Root, "rpms"), filepath.Join(d.Root, "images")}
}

// RPMs returns the directory of a package's RPMs.
func (d Dir) RPMs(pkg string) string { return filepath.Join(d.Root, "rpms", d.Arch, pkg) }

// Modules returns the directory of the Go modules bundled for a package.
func (d Dir) Modules(pkg string) string { return filepath.Join(d.Root, "modules", d.Arch, pkg) }

// Images returns the directory that has a directory for each version of a variant's images, and the
// link Latest.
func (d Dir) Images(variant string) string {
	return filepath.Join(d.Root, "images", d.Arch+"-"+variant)
}

// KmodKit returns the directory in which the kmod kit of a variant is packed, apart from its
// images.
func (d Dir) KmodKit(variant string) string {
	return filepath.Join(d.Root, "kmod-kits", d.Arch, variant)
}

// DevImages returns the directory of the one image of a variant that is made to be booted at once.
// It is not among Images, of which people publish what is there.
func (d Dir) DevImages(variant string) string {
	return filepath.Join(d.Root, "dev-images", d.Arch+"-"+variant)
}

// Kit returns the directory of a kit's repository: Packages/<package>/*.rpm and repodata/.
func (d Dir) Kit(kit string) string { return filepath.Join(d.Root, "kits", d.Arch, kit) }

// KitImage returns the directory of a kit's image for all architectures, an OCI layout.
func (d Dir) KitImage(kit string) string { return filepath.Join(d.Root, "kits", "oci", kit) }

// Logs returns the directory with the whole output of each step.
func (d Dir) Logs() string { return filepath.Join(d.Root, "logs", d.Arch) }

// MakeReports makes and returns the directory with the reports of runs.
func (d Dir) MakeReports() (string, error) {
	if err := d.Check(); err != nil {
		return "", err
	}
	dir, err := confined.Hold(filepath.Dir(d.Root), filepath.Join(d.Root, "reports"))
	dir.Close()
	return dir.Dir(), err
}

// CreateBootLog creates the file for the console of a variant's image when it is booted.
func (d Dir) CreateBootLog(variant string) (*os.File, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	return newFile(filepath.Dir(d.Root), d.BootLog(variant), 0o644)
}

// BootLog returns the file for the console of a variant's image.
func (d Dir) BootLog(variant string) string {
	return filepath.Join(d.Logs(), "boot-"+variant+".log")
}

// State returns the directory with the records of what the outputs were made from.
func (d Dir) State() string { return filepath.Join(d.Root, "state", d.Arch) }

// Nodes returns the directory with what the digests of packages in the records stand for.
func (d Dir) Nodes() string { return filepath.Join(d.State(), "packages") }

// Memo returns the file with the hashes of the checkout's files.
func (d Dir) Memo() string { return filepath.Join(d.Root, "state", "hashes") }

// Staging returns the directory in which outputs are made. Every run empties its own, so runs that
// may overlap have different ones: one for each architecture, and one for each unit of cargo. unit
// is "" for other runs.
func (d Dir) Staging(unit string) string {
	return filepath.Join(d.Root, "staging", d.Arch, fileName(unit))
}

// Lock returns the lock of the checkout for one architecture.
func (d Dir) Lock() string { return filepath.Join(d.Root, ".lock-"+d.Arch) }

// KitsLock returns the lock that is held while images of kits are written.
func (d Dir) KitsLock() string { return filepath.Join(d.Root, ".lock-kits") }

// UnitLock returns the lock of a single unit of cargo.
func (d Dir) UnitLock(unit string) string {
	return filepath.Join(d.State(), fileName(unit)+".lock")
}

// fileName returns the ID of a step as a file name.
func fileName(step string) string { return strings.ReplaceAll(step, "/", "-") }
