// store: external kits on this machine, found by the digests in Twoliter.lock.

package kit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

// Store is a directory of unpacked kits, which all checkouts share:
//
//	index/<digest in hex>.json     the index that the tag of a kit led to
//	<manifest digest in hex>/      kit.json, Packages/ and repodata/ of one image
//	hashes                         of the files, to read only those that have changed
//
// A directory appears there as a whole and never changes.
type Store struct{ Dir string }

// Installed is one kit for one architecture on this machine.
type Installed struct {
	Image  manifest.Image
	Arch   string
	Digest string // of its manifest: "sha256:…"
	Dir    string
	Metadata
	Files []File // sorted by name
}

// record is kit.json.
type record struct {
	Arch  string `json:"arch"`
	Label string `json:"label"` // as the image has it
	// Version is that of the label. Records of older versions of buildsys have none.
	Version int    `json:"version,omitempty"`
	Files   []File `json:"files"`
}

func (r record) metadata() (Metadata, error) {
	return decodeMetadata(map[string]string{labelName(cmp.Or(r.Version, 2)): r.Label})
}

const recordFile = "kit.json"

// maxRecord bounds a record: a kit has at most maxFiles files, whose names are short.
const maxRecord = 64 << 20

func (s Store) memo() string { return filepath.Join(s.Dir, "hashes") }

// indexName returns the name of an index in the directory of the store.
func indexName(digest string) (string, error) {
	sum, err := base64.StdEncoding.DecodeString(digest)
	if err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("digest %.100q is not a sha256 in base64", digest)
	}
	return filepath.Join("index", hex.EncodeToString(sum)+".json"), nil
}

// putIndex stores the index that a tag led to.
func (s Store) putIndex(digest string, data []byte) error {
	name, err := indexName(digest)
	if err != nil {
		return err
	}
	name = filepath.Join(s.Dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.ReplaceDurable(name, data, 0o644)
}

// index returns the index that the tag of a locked kit led to.
func (s Store) index(lock manifest.LockedImage) (spec.Index, error) {
	name, err := indexName(lock.Digest)
	if err != nil {
		return spec.Index{}, err
	}
	data, err := confined.Path{Root: s.Dir, Name: name}.Read(oci.MaxDocument)
	if err != nil {
		return spec.Index{}, err
	}
	if got, err := Digest(data); err != nil || got != lock.Digest {
		return spec.Index{}, fmt.Errorf("%s is damaged", filepath.Join(s.Dir, name))
	}
	return parseIndex(data)
}

// Find returns a locked kit for an architecture. If it is not on this machine, the error is an
// *Error with the command that fetches it.
func (s Store) Find(lock manifest.LockedImage, arch string) (*Installed, error) {
	x, err := s.index(lock)
	if err != nil {
		return nil, notHere(lock, arch, err)
	}
	d, err := imageFor(x, lock.Image, arch)
	if err != nil {
		return nil, err
	}
	k, err := s.load(d)
	if err != nil {
		return nil, notHere(lock, arch, err)
	}
	k.Image, k.Arch = lock.Image, arch
	return k, nil
}

func notHere(lock manifest.LockedImage, arch string, err error) error {
	why := "it is not on this machine for " + arch
	if !errors.Is(err, fs.ErrNotExist) {
		why += ": " + err.Error()
	}
	e := fault(errkind.Environment, lock.Image,
		fmt.Sprintf("run \"buildsys fetch --arch %s\"", arch), "%s", why)
	e.Err = err
	return e
}

// imageFor returns the image for an architecture.
func imageFor(x spec.Index, i manifest.Image, arch string) (spec.Descriptor, error) {
	byArch, err := arches(x)
	if err != nil {
		return spec.Descriptor{}, fault(errkind.Integrity, i, "", "%v", err)
	}
	d, ok := byArch[arch]
	if !ok {
		return d, fault(errkind.Usage, i,
			"use a version that is made for it, or build for another architecture",
			"it is not made for %s, only for %s",
			arch, strings.Join(slices.Sorted(maps.Keys(byArch)), ", "))
	}
	return d, nil
}

func (s Store) dir(d spec.Descriptor) string {
	return filepath.Join(s.Dir, d.Digest.Encoded())
}

// load reads the record of an unpacked image, and checks that its files exist with their recorded
// sizes.
func (s Store) load(d spec.Descriptor) (*Installed, error) {
	if _, err := oci.Blob(d, oci.MaxDocument); err != nil { // the digest becomes a path
		return nil, err
	}
	k := &Installed{Digest: d.Digest.String(), Dir: s.dir(d)}
	at := confined.Path{Root: s.Dir, Name: filepath.Join(d.Digest.Encoded(), recordFile)}
	data, err := at.Read(maxRecord)
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s is damaged", filepath.Join(k.Dir, recordFile))
	}
	if k.Metadata, err = r.metadata(); err != nil {
		return nil, err
	}
	for _, f := range r.Files {
		if !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("%s is damaged", filepath.Join(k.Dir, recordFile))
		}
		info, err := os.Lstat(filepath.Join(k.Dir, filepath.FromSlash(f.Name)))
		if err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
			return nil, fmt.Errorf("%s was removed or changed", filepath.Join(k.Dir, f.Name))
		}
	}
	k.Arch, k.Files = r.Arch, r.Files
	return k, nil
}

// verify checks the hashes of all files of an unpacked kit. A memo may be nil; then all are read.
func (k *Installed) verify(ctx context.Context, memo *cache.Memo) error {
	if memo == nil {
		memo = cache.NewMemo(ctx)
	}
	for _, f := range k.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := filepath.Join(k.Dir, filepath.FromSlash(f.Name))
		sum, err := memo.HashFile(name)
		if err != nil {
			return err
		}
		if hex.EncodeToString(sum[:]) != f.SHA256 {
			return fmt.Errorf("%s was changed", name)
		}
	}
	return nil
}

// Package is the directory of one package below Packages/.
type Package struct {
	Name string
	RPMs []string // file names, sorted
}

// Packages returns the packages whose RPMs are in the kit, sorted by name.
func (k *Installed) Packages() []Package {
	var out []Package
	for _, f := range k.Files { // sorted
		dir, name := path.Split(f.Name)
		pkg, ok := strings.CutPrefix(dir, "Packages/")
		if !ok {
			continue
		}
		pkg = strings.TrimSuffix(pkg, "/")
		if n := len(out); n == 0 || out[n-1].Name != pkg {
			out = append(out, Package{Name: pkg})
		}
		out[len(out)-1].RPMs = append(out[len(out)-1].RPMs, name)
	}
	return out
}
