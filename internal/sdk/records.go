// records: the digests that images had when an engine was last asked, so that a run in which
// nothing has to be built needs no engine to compute its keys.

package sdk

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/atomicfile"
	"buildsys/internal/errkind"
)

// Records is a directory with one file for each image, shared by checkouts.
type Records struct{ dir string }

// RecordsIn returns the records in a directory.
func RecordsIn(dir string) Records { return Records{dir} }

// Digest returns the recorded digest of the image ref, or "" if there is none.
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
		return errkind.BadEnvironment(err)
	}
	return errkind.BadEnvironment(atomicfile.Replace(r.file(ref), []byte(digest+"\n"), 0o644))
}

func (r Records) file(ref string) string {
	return filepath.Join(r.dir, fmt.Sprintf("%x", sha256.Sum256([]byte(ref)))[:16])
}

// TempDir returns a directory for large files, because the system's is often in memory. If it
// cannot be created, TempDir returns "", which means the system's.
func (r Records) TempDir() string {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return ""
	}
	return r.dir
}

// OCILayout returns the directory with the images imported for buildkitds.
func (r Records) OCILayout() string { return filepath.Join(r.dir, "layout") }
