// records: the digests that images had when an engine was last asked, so that a run in which
// nothing has to be built needs no engine to compute its keys.

package sdk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// Records is a directory with one file for each image, shared by checkouts, and one for each image
// on an engine other than the default one. An engine that is asked once, and has another image of
// the same name, changes nothing for those who use others.
type Records struct{ dir, engine string }

// RecordsIn returns the records in a directory, as they are for an engine, or for several that are
// used together; none stand for the default engine.
func RecordsIn(dir string, engines ...string) Records {
	return Records{dir, strings.Join(engines, ",")}
}

// Digest returns the recorded digest of the image ref, or "" if there is none. An engine that was
// never asked is expected to have what the others have.
func (r Records) Digest(ref string) string {
	for _, name := range []string{r.own(ref), name(ref)} {
		data, err := confined.Path{Root: r.dir, Name: name}.Read(maxRecord)
		if err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return ""
}

// Set records the digest of the image ref on this engine.
func (r Records) Set(ref, digest string) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return errkind.BadEnvironment(err)
	}
	text := []byte(digest + "\n")
	err := atomicfile.Replace(filepath.Join(r.dir, r.own(ref)), text, 0o644)
	if _, none := os.Lstat(r.file(ref)); err == nil && errors.Is(none, fs.ErrNotExist) {
		err = atomicfile.Replace(r.file(ref), text, 0o644)
	}
	return errkind.BadEnvironment(err)
}

// own returns the name of the file for an image on this engine.
func (r Records) own(ref string) string {
	if r.engine == "" {
		return name(ref)
	}
	return name(ref + "\x00" + r.engine)
}

// origin returns the remote cache that the image ref with a digest was fetched from, or "" if it
// was made here or came with the engine.
func (r Records) origin(ref, digest string) string { return r.note(ref, digest, originSuffix) }

// setOrigin records where an image was fetched from. It is called before the image is imported:
// an import that is killed must not leave an image that counts as made here.
func (r Records) setOrigin(ref, digest, origin string) error {
	return r.setNote(ref, digest, originSuffix, origin)
}

// claimed returns the remote cache that alone says that the image ref has a digest, or "".
func (r Records) claimed(ref, digest string) string { return r.note(ref, digest, claimSuffix) }

// setClaimed records that a remote cache says that the image ref has a digest.
func (r Records) setClaimed(ref, digest, origin string) error {
	return r.setNote(ref, digest, claimSuffix, origin)
}

// Locked returns the digest that an image with a digest in a lock has on this engine, or "" if that
// was never found out.
func (r Records) Locked(lock string) string { return r.noteIn(r.own(lock), lock, lockSuffix) }

// SetLocked records the digest that an image with a digest in a lock has on this engine.
func (r Records) SetLocked(lock, digest string) error {
	return r.setNoteIn(r.own(lock), lock, lockSuffix, digest)
}

// MadeHere records that the image ref was imported from a root file system of the caller.
func (r Records) MadeHere(ref string) error {
	return errors.Join(r.remove(ref, originSuffix), r.remove(ref, claimSuffix))
}

// StandIn returns the image that was made in place of the image ref, of packages that its lock does
// not name; "" if there is none.
func (r Records) StandIn(ref string) string { return r.note(ref, ref, standInSuffix) }

// SetStandIn records such an image; "" for none.
func (r Records) SetStandIn(ref, by string) error {
	if by == "" {
		return r.remove(ref, standInSuffix)
	}
	return r.setNote(ref, ref, standInSuffix, by)
}

// Suffixes of the files that say which remote cache a digest is from, and the like.
const (
	originSuffix = ".origin"
	claimSuffix  = ".claim"
	lockSuffix   = ".lock"

	standInSuffix = ".unlocked"
)

func (r Records) note(ref, digest, suffix string) string {
	return r.noteIn(name(ref), digest, suffix)
}

func (r Records) noteIn(file, digest, suffix string) string {
	data, err := confined.Path{Root: r.dir, Name: file + suffix}.Read(maxRecord)
	of, origin, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	if err != nil || of != digest {
		return ""
	}
	return origin
}

func (r Records) setNote(ref, digest, suffix, origin string) error {
	return r.setNoteIn(name(ref), digest, suffix, origin)
}

func (r Records) setNoteIn(file, digest, suffix, origin string) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return errkind.BadEnvironment(err)
	}
	text := []byte(digest + " " + origin + "\n")
	return errkind.BadEnvironment(atomicfile.ReplaceDurable(filepath.Join(r.dir, file+suffix), text,
		0o644))
}

func (r Records) remove(ref, suffix string) error {
	err := os.Remove(r.file(ref) + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errkind.BadEnvironment(err)
}

// maxRecord is more than a digest and the place of a remote cache have.
const maxRecord = 16 << 10

func name(ref string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(ref)))[:16] }

func (r Records) file(ref string) string { return filepath.Join(r.dir, name(ref)) }

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
