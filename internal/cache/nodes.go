// nodes: stores in a checkout, beside its records, what digests of packages stand for, to explain
// why a step runs again. See packages.go.

package cache

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// Nodes is a directory of nodes, named by their digests. Steps share them: two that see the same
// packages of a bucket have one node for it. Only explanations depend on them, so they are not
// forced to disk, and a missing or damaged node is tolerated.
type Nodes struct {
	Dir string
	Top string // the checkout, below which no link is followed; may be empty
}

// nodesDaily is how often Sweep runs, and how old a node must be to be removed: another process may
// have put it just before the record that names it.
const nodesDaily = 24 * time.Hour

// maxNode is the size in bytes of the largest node that is read. A bucket has a line for each of
// its packages, and there are 256 buckets.
const maxNode = 16 << 20

// sweptFile is the file whose time is that of the last Sweep.
const sweptFile = "swept"

func (n Nodes) path(d PackagesDigest) string {
	name := d.String()
	return filepath.Join(n.Dir, name[:2], name)
}

// Get is a NodeSource.
func (n Nodes) Get(d PackagesDigest) []byte {
	data, _, err := readRegular(n.path(d), maxNode)
	if err != nil {
		return nil
	}
	return data
}

// Put stores a node. One that exists becomes as young as a new one, for Sweep; a damaged one is
// replaced.
func (n Nodes) Put(d PackagesDigest, text []byte) error {
	at := n.path(d)
	dir, err := confined.Hold(n.Top, filepath.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	now, name := time.Now(), filepath.Base(at)
	known, _, err := readRegular(dir.Path(name), maxNode)
	if err == nil && bytes.Equal(known, text) && os.Chtimes(dir.Path(name), now, now) == nil {
		return nil
	}
	return dir.Fault("replace", name, atomicfile.Replace(dir.Path(name), text, 0o644))
}

// Sweep deletes, at most once a day, the nodes that no transcript names. It calls transcripts,
// which returns those of all records, only when it runs. So the nodes are at most those that
// records name and those made in the last two days.
func (n Nodes) Sweep(now time.Time, transcripts func() []string) error {
	marker := filepath.Join(n.Dir, sweptFile)
	if info, err := os.Lstat(marker); err == nil && now.Sub(info.ModTime()).Abs() < nodesDaily {
		return nil
	}
	own, err := confined.HoldExisting(n.Top, n.Dir) // a checkout may have links there
	if errors.Is(err, fs.ErrNotExist) {             // there are no nodes
		return nil
	}
	if err != nil {
		return err
	}
	defer own.Close()
	dir, err := confined.OpenDir(own.Path("."))
	if err != nil {
		return err
	}
	defer dir.Close()
	// What is there is replaced: it may be another name of some file.
	err = errors.Join(atomicfile.Replace(own.Path(sweptFile), nil, 0o644),
		dir.Chtimes(sweptFile, now, now))
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, text := range transcripts() {
		d := packagesOf(text).digest
		if named[d.String()] {
			continue
		}
		named[d.String()] = true
		buckets, _ := NodeSource(n.Get).buckets(d)
		for _, b := range buckets {
			named[b.String()] = true
		}
	}
	paths, err := confined.Glob(dir.FS(), "??/*")
	for _, at := range paths {
		info, err := dir.Lstat(at)
		if err == nil && !named[path.Base(at)] && now.Sub(info.ModTime()) >= nodesDaily {
			_ = dir.Remove(at) // if it fails, the next Sweep tries again
		}
	}
	return err
}
