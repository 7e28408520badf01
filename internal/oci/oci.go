// Package oci reads and writes the content of OCI registries and OCI layouts: descriptors,
// documents and blobs, with the types of the specification's own package. It trusts nothing that it
// reads: only sha256 is accepted, documents have at most MaxDocument bytes, and bytes must match
// their digest. What it writes appears whole and survives a power cut. Packages kit, remote and
// buildkit are built on it.
package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
)

// MaxDocument bounds an index, a manifest or a configuration, in bytes: the limit of registries for
// a manifest.
const MaxDocument = 4 << 20

// maxObjects bounds the objects and lists of a document: three bytes of it become a descriptor of a
// hundred. The largest documents are results with 4096 outputs, of which each has two.
const maxObjects = 1 << 16

// Decode is json.Unmarshal for an index, a manifest or a configuration.
func Decode(data []byte, to any) error {
	if err := CheckObjects(data); err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}

// CheckObjects refuses a document with too many objects and lists.
func CheckObjects(data []byte) error {
	if n := bytes.Count(data, []byte("{")) + bytes.Count(data, []byte("[")); n > maxObjects {
		return fmt.Errorf("it has %d objects and lists, more than %d", n, maxObjects)
	}
	return nil
}

// BadError is the error for content that is not what it should be.
type BadError struct{ reason string }

// Error returns the reason.
func (e BadError) Error() string { return e.reason }

// Bad returns a BadError with a formatted reason.
func Bad(format string, args ...any) error { return BadError{fmt.Sprintf(format, args...)} }

// LocalError is a failure of this machine, not of what it reads or of where that comes from: a disk
// is full, or a directory is missing.
type LocalError struct{ Err error }

// Error returns the text of the system's error.
func (e *LocalError) Error() string { return e.Err.Error() }

// Unwrap returns the system's error.
func (e *LocalError) Unwrap() error { return e.Err }

// Local returns err as a *LocalError, and nil for nil.
func Local(err error) error {
	if err == nil {
		return nil
	}
	return &LocalError{err}
}

// LocalWriter makes errors from writing LocalErrors.
type LocalWriter struct{ io.Writer }

// Write writes to the writer.
func (w LocalWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, Local(err)
}

// BlobOf returns the blob of data: its hash and size.
func BlobOf(data []byte) cache.Blob {
	return cache.Blob{SHA256: sha256.Sum256(data), Size: int64(len(data))}
}

// Describe returns the descriptor of a blob.
func Describe(mediaType string, b cache.Blob) spec.Descriptor {
	return spec.Descriptor{
		MediaType: mediaType, Size: b.Size,
		Digest: digest.NewDigestFromBytes(digest.SHA256, b.SHA256[:]),
	}
}

// Blob returns the blob that a descriptor names, which may have at most the given number of bytes.
// The error is a BadError.
func Blob(d spec.Descriptor, most int64) (cache.Blob, error) {
	digits, ok := strings.CutPrefix(d.Digest.String(), "sha256:")
	sum, err := cache.ParseContentID(digits)
	if !ok || err != nil || d.Size < 0 {
		return cache.Blob{}, Bad("%.100q of %d bytes is not a blob", d.Digest, d.Size)
	}
	if d.Size > most {
		return cache.Blob{}, Bad("the blob %.19s… has %d bytes, more than %d", d.Digest, d.Size, most)
	}
	return cache.Blob{SHA256: sum, Size: d.Size}, nil
}
