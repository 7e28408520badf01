// Walks through all files of a file system, within bounds.

package image

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a walk: a file system of a distribution has some 300,000 files.
const (
	maxWalked     = 4_000_000
	maxWalkedText = 512 << 20 // bytes of all paths and targets
	maxWalkedRaw  = 1 << 30   // bytes of inodes as they are stored, which callers keep
	maxWalkDepth  = 256
)

// Walked is one name of a file.
type Walked struct {
	Path   string // from the root, with a slash at the beginning
	Target string // of a symbolic link
	Inode
}

// Walk calls visit for the file dir and, if it is a directory and deep is true, for all files below
// it, by their names in each directory. path is where dir is. If visit returns an error, Walk
// returns it.
func Walk(f Files, dir Inode, path string, deep bool, visit func(Walked) error) error {
	w := walker{f: f, visit: visit, deep: deep, seen: map[uint64]bool{}}
	return w.file(dir, path, 0)
}

type walker struct {
	f     Files
	visit func(Walked) error
	deep  bool
	seen  map[uint64]bool // directories
	count int
	text  int64
	raw   int64
}

var errNoEnd = errors.New("the directories have no end: the file system is damaged, or larger " +
	"than the limit")

func (w *walker) file(inode Inode, path string, depth int) error {
	one := Walked{Path: path, Inode: inode}
	if path == "" {
		one.Path = "/"
	}
	if inode.Type() == ModeLink {
		target, err := w.f.Target(inode)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		one.Target = target
	}
	w.count++
	w.text += int64(len(path) + len(one.Target))
	w.raw += int64(len(inode.raw))
	if w.count > maxWalked || w.text > maxWalkedText || w.raw > maxWalkedRaw ||
		depth > maxWalkDepth {
		return errNoEnd
	}
	if err := w.visit(one); err != nil || inode.Type() != ModeDir || !w.deep && depth > 0 {
		return err
	}
	if w.seen[inode.Number] {
		return fmt.Errorf("%s: the directory has two names: the file system is damaged", path)
	}
	w.seen[inode.Number] = true
	entries, err := w.f.List(inode)
	if err != nil {
		return fmt.Errorf("%s: %w", one.Path, err)
	}
	slices.SortFunc(entries, func(a, b DirEntry) int { return cmp.Compare(a.Name, b.Name) })
	for _, e := range entries {
		at := path + "/" + e.Name
		if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") {
			return fmt.Errorf("%q has a name that no file can have: the file system is damaged", at)
		}
		below, err := w.f.Stat(e)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if err := w.file(below, at, depth+1); err != nil {
			return err
		}
	}
	return nil
}
