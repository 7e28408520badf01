// request: what can be asked of a tree, and the errors for what it does not have.

package plan

import (
	"fmt"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Request says what to plan.
type Request struct {
	Arch     string        // "x86_64" or "aarch64"
	Packages []string      // packages to build, each after what it needs
	Kits     []string      // kits to make the repositories of
	Image    bool          // build the image of Variant, and everything in it
	Repack   *RepackSource // make the image of Variant from an earlier one, and build nothing else
	// Variant is that of the image, and the one that variant-sensitive packages are built for.
	Variant string
	SDK     string // reference of the image that steps run in
	// Toolchain is the reference of an image, without its architecture, from which a tree's own
	// Dockerfile takes what goes into images.
	Toolchain string
	BuildDir  string // host directory for outputs
	Identity  Identity
	Sources   Sources
	Files     ImageFiles
	// ExternalKits are the kits of others, in the order of Twoliter.lock: all packages and images see
	// them.
	ExternalKits []ExternalKit
}

// Identity says what images call themselves.
type Identity struct {
	Name       string // short name of the OS
	PrettyName string
	Version    string // "1.2.3"
	BuildID    string
}

// Sources say where on the host an external file will be once it is fetched.
type Sources struct {
	Path    func(manifest.ExternalFile) string // the file itself
	Modules func(manifest.ExternalFile) string // the Go module proxy of an archive
}

// ImageFiles are what goes into images and does not come from packages.
type ImageFiles struct {
	// Overrides are files to put into the image in place of those of packages, by the names that
	// rpm2img knows them by.
	Overrides []File
	// Signing finds the keys for images with uefi-secure-boot; it is only called for those. The plan
	// shows its error.
	Signing func() (SigningKeys, error)
	// Repo is the update repository whose root metadata a tree's own Dockerfile builds in:
	// roles/REPO.root.json, or the host file RootJSON in place of that, empty for none.
	Repo, RootJSON string
}

// RepackSource says which images to start from.
type RepackSource struct {
	Dir   string   // with the outputs of the step that made them
	Names []string // of the files in it
	// Out is the directory for the new ones; empty means where the variant's images are, and then they
	// are its newest.
	Out string
}

// RequestError says that the tree is fine but cannot give what was asked.
type RequestError struct {
	What string // "package bsh"
	Why  string
	Hint string // what to do; may be empty
}

func (e *RequestError) Error() string {
	text := e.What + ": " + e.Why
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ErrorKind returns errkind.Usage.
func (*RequestError) ErrorKind() errkind.Kind { return errkind.Usage }

// SkippedError says that a variant is not made for the architecture asked for. Nothing is wrong and
// nothing was built: a caller that goes over all variants and architectures goes on.
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
	return &RequestError{What: fmt.Sprintf("%s %q", what, name), Why: "there is none of this name",
		Hint: manifest.NameHint(name, known)}
}
