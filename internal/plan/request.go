// request: what a caller can ask of a tree, and the errors for what the tree does not have.

package plan

import (
	"fmt"
	"strings"

	"buildsys/internal/crates"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Request is what to plan.
type Request struct {
	Arch     string        // "x86_64" or "aarch64"
	Packages []string      // to build, each after what it needs
	Kits     []string      // to make the repositories of
	Image    bool          // build the image of Variant, and everything in it
	Repack   *RepackSource // make the image of Variant from this earlier one, and build nothing else
	// Variant is the variant of the image, and the one that variant-sensitive packages are built for.
	Variant string
	SDK     string // reference of the image that steps run in
	// Toolchain is the reference, without the architecture, of the image from which a tree's own
	// Dockerfile takes what goes into images.
	Toolchain string
	BuildDir  string // host directory for outputs
	Identity  Identity
	Commit    Commit // that RPMs of a Twoliter tree name; zero: none, so that commits share them
	Sources   Sources
	Files     ImageFiles
	// Edited are files of packages, by the names of those, in the place of the tree's files of the
	// same name or besides them.
	Edited map[string][]File
	// ExternalKits are the kits of other trees, in the order of Twoliter.lock. All packages and images
	// see them.
	ExternalKits []ExternalKit
}

// Identity is what images are named.
type Identity struct {
	Name       string // short name of the OS
	PrettyName string
	Version    string // "1.2.3"
	BuildID    string
	Dev        bool // of an image that is only to be booted here and now: a DevImage
}

// Commit is a commit as the RPMs of a Twoliter tree name it.
type Commit struct {
	ID      string // short, in hexadecimal digits; may end in "-dirty"
	Seconds string // its Unix time, in decimal
}

// noCommit stands for the commit where RPMs name none. It sorts before every commit.
var noCommit = Commit{ID: "00000000", Seconds: "0"}

// Sources returns the host paths that an external file has once it is fetched.
type Sources struct {
	Path    func(manifest.ExternalFile) string // the file itself
	Modules func(manifest.ExternalFile) string // the Go module proxy of an archive
	Vendor  func(manifest.ExternalFile) string // the vendor directory with the crates of an archive
	Sums    func(GoSums) string                // the Go module proxy of a module in the tree
	// Crate and GitCrate return the directory with the files of a crate.
	Crate    func(crates.Crate) string
	GitCrate func(crates.GitCrate) string
}

// ImageFiles are the files that go into images and do not come from packages.
type ImageFiles struct {
	// Overrides replace files of packages in the image, under the names that rpm2img uses.
	Overrides []File
	// Signing returns the keys for images with uefi-secure-boot, and is only called for those. Its
	// error becomes the hint of a *RequestError.
	Signing func(Signatures) (SigningKeys, error)
	// Repo is the update repository whose root metadata a tree's own Dockerfile builds in, from
	// roles/REPO.root.json; RootJSON replaces that file unless it is empty.
	Repo     string
	RootJSON []byte
}

// RepackSource is the earlier image to repack.
type RepackSource struct {
	Dir   string   // the outputs of the step that made it
	Names []string // of the files in Dir
	// Out is the directory for the new images; empty means that of the variant's images, where they
	// become the newest.
	Out string
}

// RequestError means that a valid tree cannot give what was requested.
type RequestError struct {
	What string // "package bsh"
	Why  string
	Hint string // what to do; may be empty
}

func (e *RequestError) Error() string {
	text := e.What
	if e.Why != "" {
		text += ": " + e.Why
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ErrorKind returns errkind.Usage.
func (*RequestError) ErrorKind() errkind.Kind { return errkind.Usage }

// SkippedError means that a variant does not support the requested architecture. Nothing is wrong
// and nothing was built: a caller that goes over all variants and architectures continues.
type SkippedError struct {
	Variant   string
	Arch      string
	Supported []string // the variant's supported-arches
	File      string   // its manifest
}

func (e *SkippedError) Error() string {
	return fmt.Sprintf("skipped: variant %s is not for %s; its supported-arches are %s (%s)",
		e.Variant, e.Arch, strings.Join(e.Supported, ", "), e.File)
}

// ErrorKind returns errkind.Skipped.
func (*SkippedError) ErrorKind() errkind.Kind { return errkind.Skipped }

func unknown(what, name string, known []string) *RequestError {
	return &RequestError{What: fmt.Sprintf("no %s %q", what, name),
		Hint: manifest.NameHint(name, known)}
}
