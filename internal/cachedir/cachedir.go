// Package cachedir knows where things are in the cache directory, which holds what outlives a
// checkout and is shared by all checkouts of a user. Each package keeps its own directory there;
// builddir does the same for build/ of a checkout.
package cachedir

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir is a cache directory, absolute.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

// Store returns the directory with the results of steps.
func (d Dir) Store() string { return d.path("store") }

// Objects returns the directory with what compilers made in steps.
func (d Dir) Objects() string { return d.path("objects") }

// Sources returns the directory with verified sources: <name>/<sha512>/<name>.
func (d Dir) Sources() string { return d.path("sources") }

// GoModules returns the directory with the Go modules that bundles need.
func (d Dir) GoModules() string { return d.path("go-modules") }

// Crates returns the directory with the crates that first-party code needs.
func (d Dir) Crates() string { return d.path("crates") }

// Debian returns the directory with the Debian packages that SDK images are made of.
func (d Dir) Debian() string { return d.path("debian") }

// Lookaside returns the lookaside cache that is used when no setting names one.
func (d Dir) Lookaside() string { return d.path("lookaside") }

// Kits returns the directory with unpacked kits of others.
func (d Dir) Kits() string { return d.path("kits") }

// MadeKits returns the directory with records of the images of kits that this user has made.
func (d Dir) MadeKits() string { return d.path("made-kits") }

// SDK returns the directory with the records of SDK images and what is imported for buildkitds.
func (d Dir) SDK() string { return d.path("sdk") }

// Slots returns the directory with the build slots of an engine, which is named by a hash.
func (d Dir) Slots(engine string) string { return filepath.Join(d.path("slots"), engine) }

// Runs returns the directory with the runs that are kept. Each user has one of their own in a
// directory that several share.
func (d Dir) Runs(shared bool) string {
	if shared {
		return d.path(fmt.Sprintf("runs-%d", os.Geteuid()))
	}
	return d.path("runs")
}
