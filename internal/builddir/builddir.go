// Package builddir is the build directory of a checkout: where things are below it, the locks that
// keep runs apart, and how the outputs of a step replace older ones, whole and durably. What the
// executor writes below build/, it writes through this package, which knows neither plans nor
// builders. Package plan takes the paths of outputs from here.
package builddir

import (
	"os"
	"path/filepath"
	"strings"
)

// Latest is the name of the link, beside the directories of a variant's images, to the newest.
const Latest = "latest"

// Dir is a build directory as one architecture sees it. Runs for different architectures share
// only what is named by no architecture.
type Dir struct {
	Root string // "<checkout>/build"
	Arch string
}

// RPMs is the directory of a package's RPMs.
func (d Dir) RPMs(pkg string) string { return filepath.Join(d.Root, "rpms", d.Arch, pkg) }

// Modules is the directory of the Go modules bundled for a package.
func (d Dir) Modules(pkg string) string { return filepath.Join(d.Root, "modules", d.Arch, pkg) }

// Images is the directory that has a directory for each version of a variant's images, and the
// link Latest.
func (d Dir) Images(variant string) string {
	return filepath.Join(d.Root, "images", d.Arch+"-"+variant)
}

// Kit is the directory of a kit's repository: Packages/<package>/*.rpm and repodata/.
func (d Dir) Kit(kit string) string { return filepath.Join(d.Root, "kits", d.Arch, kit) }

// KitImage is the directory of a kit's image for all architectures, an OCI layout.
func (d Dir) KitImage(kit string) string { return filepath.Join(d.Root, "kits", "oci", kit) }

// Logs is the directory with the whole output of each step.
func (d Dir) Logs() string { return filepath.Join(d.Root, "logs", d.Arch) }

// CreateBootLog creates the file for the console of a variant's image that is booted.
func (d Dir) CreateBootLog(variant string) (*os.File, error) {
	if err := os.MkdirAll(d.Logs(), 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(d.Logs(), "boot-"+variant+".log"))
}

// State is the directory with the records of what the outputs were made from.
func (d Dir) State() string { return filepath.Join(d.Root, "state", d.Arch) }

// Memo is the file with the hashes of the checkout's files.
func (d Dir) Memo() string { return filepath.Join(d.Root, "state", "hashes") }

// Staging is the directory in which outputs are made. Every run empties it, so those that may run
// at once have one each: each architecture, and each unit of cargo. unit is "" for other runs.
func (d Dir) Staging(unit string) string {
	return filepath.Join(d.Root, "staging", d.Arch, unitName(unit))
}

// Lock is the lock of the checkout for one architecture.
func (d Dir) Lock() string { return filepath.Join(d.Root, ".lock-"+d.Arch) }

// KitsLock is the lock that is held while images of kits are written.
func (d Dir) KitsLock() string { return filepath.Join(d.Root, ".lock-kits") }

// UnitLock is the lock of a single unit of cargo.
func (d Dir) UnitLock(unit string) string {
	return filepath.Join(d.State(), unitName(unit)+".lock")
}

// unitName is the ID of a step as the name of a file.
func unitName(step string) string { return strings.ReplaceAll(step, "/", "-") }
