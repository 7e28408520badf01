// Package kit deals with kits as images: packing a repository of RPMs into an OCI layout, finding the kits of others in
// registries and layouts, resolving them into Twoliter.lock, and unpacking them on this machine.
//
// Label, layers and lock file are those of the ancestor (twoliter 0.5), so that each can use the kits of the other. What
// arrives is not believed: an image must have the digest that was locked, its layers theirs, and a layer may hold nothing
// but RPMs and their metadata. Planning needs no network: what was fetched once is found by the digests in the lock.
package kit

import (
	"fmt"

	"buildsys/internal/manifest"
)

// Class says whose fault an error is.
type Class int

// The classes of errors.
const (
	Config  Class = iota + 1 // Twoliter.toml or Twoliter.lock ask for what cannot be
	Missing                  // a registry does not answer, or something is not on this machine
	Bad                      // an image is not what it should be
)

// Error is why a kit cannot be had or used.
type Error struct {
	Class Class
	What  string // "kit core-kit 1.0.0 of vendor acme"
	Why   string
	Hint  string // what to do; may be empty
	Err   error  // the cause, part of Why; may be nil
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

func fault(class Class, i manifest.Image, hint, format string, args ...any) *Error {
	return &Error{Class: class, What: "kit " + i.String(), Why: fmt.Sprintf(format, args...), Hint: hint}
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
