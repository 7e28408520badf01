// Package objects keeps what compilers made inside of steps, and serves it to later steps: ccache
// and the go command speak to it over a socket that the engine forwards (Step.Serve). An object is
// found under a key that the step computes, in a space that the caller chooses, so no step reads
// what another package or a tree of another trust has written. Whatever a step sends is bounded,
// and counts only in its space. Objects save time and decide nothing: a share of those that are
// known is compiled again and compared. Package executor gives each step its own.
package objects

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/safetext"
)

// format is part of a space's name: objects of another format are not found.
const format = "buildsys objects 1"

// The names in a store's directory, which has a directory for each space, and in those. An object
// is in a directory named by the first byte of its name, which is the hash of its key.
const (
	aboutFile = "about"      // what the space is, for people
	spoilFile = "spoiled"    // the space is out of use; its text says why
	otherFile = "other"      // what the compiler made instead of an object
	tmpDir    = "tmp"        // files being written
	nameLen   = 32           // digits in the name of a space
	spoilText = "not in use" // begins the text of spoilFile
)

// Store is a directory of objects. It is safe for concurrent use by goroutines and processes.
type Store struct{ Dir string }

// Space is what objects are shared by: steps of the same package, in the same SDK image and for the
// same architecture, of trees that trust each other.
type Space struct {
	SDK     string // digest of the image
	Arch    string
	Package string
	Domain  string // trees with the same domain trust each other
}

// name returns the name of the space's directory.
func (s Space) name() string {
	h := sha256.New()
	for _, part := range []string{format, s.SDK, s.Arch, s.Package, s.Domain} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:nameLen]
}

func (s Space) String() string {
	return fmt.Sprintf("package %s\narch %s\nsdk %s\ndomain %s\n", s.Package, s.Arch, s.SDK, s.Domain)
}

// Open returns the store in dir, creating it if necessary.
func Open(dir string) (*Store, error) {
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return nil, fmt.Errorf("make the store of compiled objects: %w", err)
	}
	return &Store{dir}, nil
}

// space is the directory of a space.
type space struct{ dir string }

// open returns the directory of a space, made if necessary.
func (s *Store) open(sp Space) (space, error) {
	dir := space{filepath.Join(s.Dir, sp.name())}
	if err := os.MkdirAll(dir.path(tmpDir), 0o755); err != nil {
		return space{}, err
	}
	if _, err := os.Lstat(dir.path(aboutFile)); !errors.Is(err, fs.ErrNotExist) {
		now := time.Now() // an old one that is empty would be removed at the end of another run
		return dir, errors.Join(err, os.Chtimes(dir.path(aboutFile), now, now))
	}
	return dir, atomicfile.Replace(dir.path(aboutFile), []byte(sp.String()), 0o644)
}

func (s space) path(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

// spoiled reports whether the space is out of use.
func (s space) spoiled() bool {
	_, err := os.Lstat(s.path(spoilFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// spoil takes the space out of use, and keeps what the compiler made beside the object.
func (s space) spoil(key string, made *atomicfile.Temp) error {
	text := fmt.Sprintf("%s since %s: the compiler made something else than the object\n%s\n%s\n",
		spoilText, time.Now().UTC().Format(time.RFC3339), key, s.object(key))
	return errors.Join(atomicfile.ReplaceDurable(s.path(spoilFile), []byte(text), 0o644),
		made.Replace(s.path(otherFile)))
}

// object returns the path of the object with a key.
func (s space) object(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return s.path(name[:2], name)
}

// Usual are the limits that hold at the end of runs.
var Usual = Limits{Age: 60 * 24 * time.Hour, Bytes: 5 << 30}

// Limits bound a store; 0 means no limit.
type Limits struct {
	Age   time.Duration // since the last use
	Bytes int64
}

// Size is how much is in a store, or was removed from it.
type Size struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Spaces  int   `json:"spaces"`
	// Spoiled are the packages whose objects are out of use. Trim removes what is in them with their
	// age.
	Spoiled []string `json:"spoiled,omitempty"`
}

// Stat measures the store.
func (s *Store) Stat() (Size, error) {
	var size Size
	err := s.walk(func(f stored) {
		size.Bytes += f.size
		switch {
		case f.object:
			size.Objects++
		case f.name == aboutFile:
			size.Spaces++
		case f.name == spoilFile:
			size.Spoiled = append(size.Spoiled, s.packageOf(f.space))
		}
	})
	slices.Sort(size.Spoiled)
	return size, err
}

// packageOf returns the name of a space's package, or of the space if that is not known.
func (s *Store) packageOf(space string) string {
	data, err := confined.Path{Root: s.Dir, Name: filepath.Join(space, aboutFile)}.Read(1 << 10)
	first, _, _ := strings.Cut(string(data), "\n")
	if name, ok := strings.CutPrefix(first, "package "); ok && err == nil {
		return safetext.Line(name)
	}
	return space
}

// stored is a file of the store.
type stored struct {
	path, space, name string
	object            bool
	size              int64
	used              time.Time
}

// files returns the files below a directory of the store.
func (s *Store) files(dir string) (all []stored, err error) {
	err = s.walkIn(dir, func(f stored) { all = append(all, f) })
	return all, err
}

// walk visits the files of the store. It ignores files that vanish meanwhile.
func (s *Store) walk(visit func(stored)) error { return s.walkIn(s.Dir, visit) }

func (s *Store) walkIn(dir string, visit func(stored)) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		words := strings.Split(rel, string(filepath.Separator))
		f := stored{path: path, space: words[0], name: d.Name(), size: info.Size(),
			used: info.ModTime()}
		f.object = len(words) == 3 && words[1] != tmpDir
		visit(f)
		return nil
	})
}

// Trim removes what was not used for longer than the limits allow before now, and then the least
// recently used objects until the rest is small enough. A space that is out of use is used again,
// empty, once its mark is old. Trim returns what it removed.
func (s *Store) Trim(l Limits, now time.Time) (Size, error) {
	var objects, others []stored
	var removed Size
	var left int64
	err := s.walk(func(f stored) {
		left += f.size
		if f.object {
			objects = append(objects, f)
		} else {
			others = append(others, f)
		}
	})
	remove := func(f stored) {
		if e := os.Remove(f.path); e != nil {
			if !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
			return
		}
		removed.Bytes += f.size
		left -= f.size
		if f.object {
			removed.Objects++
		}
	}
	old := func(f stored) bool { return l.Age > 0 && now.Sub(f.used) > l.Age }
	forgiven := map[string]bool{} // spaces whose mark goes, and so everything in them before it
	for _, f := range others {
		forgiven[f.space] = forgiven[f.space] || f.name == spoilFile && old(f)
	}
	gone := func(f stored) bool { return old(f) || forgiven[f.space] }
	slices.SortFunc(objects, func(a, b stored) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, f := range objects {
		if gone(f) || l.Bytes > 0 && left > l.Bytes {
			remove(f)
		}
	}
	for _, f := range others {
		written := filepath.Base(filepath.Dir(f.path)) == tmpDir && now.Sub(f.used) > 24*time.Hour
		if f.name != aboutFile && (gone(f) || written) {
			remove(f)
		}
	}
	removed.Spaces = s.removeEmpty(now)
	if err != nil {
		err = fmt.Errorf("trim the store of compiled objects: %w", err)
	}
	return removed, err
}

// removeEmpty removes spaces with nothing in them that have not been touched for a day, and returns
// how many it removed.
func (s *Store) removeEmpty(now time.Time) (n int) {
	spaces, _ := confined.ReadDir(os.DirFS(s.Dir), ".")
	for _, d := range spaces {
		sp := space{filepath.Join(s.Dir, d.Name())}
		files := 0
		_ = filepath.WalkDir(sp.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files++
			}
			return nil
		})
		info, err := os.Lstat(sp.path(aboutFile))
		if err == nil && files == 1 && now.Sub(info.ModTime()) > 24*time.Hour &&
			os.RemoveAll(sp.dir) == nil {
			n++
		}
	}
	return n
}
