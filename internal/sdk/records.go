// Records: the digests that images had when an engine was last asked, so that a run in which
// nothing has to be built needs no engine to compute its keys.

package sdk

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/atomicfile"
)

// Records is a directory with a file for each image. Checkouts share it.
type Records struct{ dir string }

// RecordsIn returns the records below a cache directory.
func RecordsIn(cacheDir string) Records { return Records{filepath.Join(cacheDir, "sdk")} }

// Digest returns the recorded digest of the image ref; empty when there is none.
func (r Records) Digest(ref string) string {
	data, err := os.ReadFile(r.file(ref))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Set records the digest of the image ref.
func (r Records) Set(ref, digest string) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(r.file(ref), []byte(digest+"\n"), 0o644)
}

func (r Records) file(ref string) string {
	return filepath.Join(r.dir, fmt.Sprintf("%x", sha256.Sum256([]byte(ref)))[:16])
}

// TempDir returns a directory for large files, which the system's may not be: that is often in
// memory. It is empty, and so the system's, when there can be none.
func (r Records) TempDir() string {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return ""
	}
	return r.dir
}

// OCILayout returns the directory with the images that were imported for buildkitds.
func (r Records) OCILayout() string { return filepath.Join(r.dir, "layout") }
