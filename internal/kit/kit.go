// Package kit deals with kits as images: packing a repository of RPMs into an OCI layout, finding
// the kits of others in registries and layouts, resolving them into Twoliter.lock, and unpacking
// them on this machine.
//
// Label, layers and lock file are those of the ancestor (twoliter 0.5), so that each can use the
// kits of the other. What arrives is not believed: an image must have the digest that was locked,
// its layers theirs, and a layer may hold nothing but RPMs and their metadata. Planning needs no
// network: what was fetched once is found by the digests in the lock.
package kit

import (
	"fmt"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// The kinds of error in words of kits.
const (
	Config  = errkind.Usage       // Twoliter.toml or Twoliter.lock ask for what cannot be
	Missing = errkind.Environment // a registry does not answer, or something is not here
	Bad     = errkind.Integrity   // an image is not what it should be
)

// Error is why a kit cannot be had or used.
type Error struct {
	Kind errkind.Kind
	What string // "kit core-kit 1.0.0 of vendor acme"
	Why  string
	Hint string // what to do; may be empty
	Err  error  // the cause, part of Why; may be nil
}

// Error is what failed, why, and what to do, on one line.
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

const runUpdate = `run "buildsys update" and commit Twoliter.lock if that is meant`

// The bounds of what is accepted.
const (
	maxArches = 16       // images of one kit
	maxKits   = 256      // that one tree needs
	maxLayers = 4096     // of one image
	maxFiles  = 65536    // in one image
	maxFile   = 8 << 30  // bytes of one file
	maxTotal  = 64 << 30 // bytes of one image
)
