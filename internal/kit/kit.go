// Package kit handles kits as OCI images: it packs a repository of RPMs into an OCI layout,
// resolves external kits into Twoliter.lock, and downloads and unpacks them. Labels, layers and the
// lock are those of Twoliter (0.5), so each can use the other's kits. It trusts no image: digests
// must match, and layers may hold only RPMs and their metadata. Planning needs no network, because
// locked kits are found by digest. Package manifest parses the files; oci and remote read images.
package kit

import (
	"fmt"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Error is the reason why a kit cannot be fetched or used. Its kind is Usage if Twoliter.toml or
// Twoliter.lock ask for something impossible, Environment if a registry does not answer or a kit is
// not on this machine, and Integrity if an image is not what it should be.
type Error struct {
	Kind errkind.Kind
	What string // "kit core-kit 1.0.0 of vendor acme"
	Why  string
	Hint string // what to do; may be empty
	Err  error  // the cause, part of Why; may be nil
}

// Error returns what failed, why, and what to do, on one line.
func (e *Error) Error() string {
	text := e.What + ": " + e.Why
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorKind returns the kind.
func (e *Error) ErrorKind() errkind.Kind { return e.Kind }

func fault(kind errkind.Kind, i manifest.Image, hint, format string, args ...any) *Error {
	return &Error{Kind: kind, What: "kit " + i.String(), Why: fmt.Sprintf(format, args...), Hint: hint}
}

const runUpdate = `if this is intended, run "buildsys update" and commit Twoliter.lock`

// Limits of accepted images.
const (
	maxArches = 16       // images of one kit
	maxKits   = 256      // kits that one tree needs
	maxLayers = 4096     // layers of one image
	maxFiles  = 65536    // files in one image
	maxFile   = 8 << 30  // bytes of one file
	maxTotal  = 64 << 30 // bytes of one image
	// maxMembers bounds what layers list, directories and names that are there twice included:
	// each takes time.
	maxMembers = 2 * maxFiles
	// maxDepth and maxName bound the name of a file, which is Packages/<package>/<rpm>: each of its
	// parts becomes a directory. Common file systems allow 255 bytes for a part.
	maxDepth = 4
	maxName  = 512
	maxPart  = 255
	// maxUnpacked bounds the bytes that come out of the layers of one image: the files, and the
	// headers between them.
	maxUnpacked = maxTotal + 1<<30
)
