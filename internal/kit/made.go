// made: which images of kits this user has made. A layout in build/ may have come with a checkout,
// stamps and all, and proves nothing.

package kit

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// Made is a directory of records, in the cache directory of the user: the stamp of each image that
// Pack has made, by the digest of its manifest.
type Made struct{ Dir string }

const maxMade = 1 << 20 // bytes of a record

// errNoMade is the error for the zero Made, which has no place for records.
var errNoMade = errors.New("there is no directory for records of kits")

// find returns the record of an image with a manifest, if there is one.
func (m Made) find(d digest.Digest) (s stamp, ok bool) {
	if m.Dir == "" || d.Validate() != nil {
		return s, false
	}
	data, err := confined.Path{Root: m.Dir, Name: d.Encoded()}.Read(maxMade)
	return s, err == nil && json.Unmarshal(data, &s) == nil && s.Manifest.Digest == d
}

// has reports whether an image was made as its stamp says.
func (m Made) has(s stamp) bool {
	made, ok := m.find(s.Manifest.Digest)
	return ok && made.Content == s.Content && made.Label == s.Label
}

func (m Made) add(s stamp) error {
	if m.Dir == "" {
		return errNoMade
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(filepath.Join(m.Dir, s.Manifest.Digest.Encoded()), data, 0o644)
}
