// newlock: makes locks of what Debian's archives have.

package sdk

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/ctxio"
	"buildsys/internal/debian"
	"buildsys/internal/errkind"
)

// Suite is the release of Debian that SDKs are made of.
const Suite = "trixie"

// base are packages that an SDK has besides the essential ones and what its list names: with it the
// root is what debootstrap and its kin call minbase.
var base = []string{"apt"}

// Index is an index of packages in one of Debian's archives.
type Index struct {
	Archive string // "debian"
	Suite   string // "trixie-updates"
	Arch    string
}

// Release returns the path of the signed file that has the sum of the index, below its archive.
func (i Index) Release() string { return "dists/" + i.Suite + "/InRelease" }

// Name returns the name of the index in that file.
func (i Index) Name() string { return "main/binary-" + i.Arch + "/Packages.xz" }

// Indexes returns the indexes that a lock is made of.
func Indexes() (all []Index) {
	for _, at := range []struct{ archive, suite string }{
		{"debian", Suite}, {"debian", Suite + "-updates"}, {"debian-security", Suite + "-security"},
	} {
		for _, arch := range Hosts {
			all = append(all, Index{at.archive, at.suite, arch})
		}
	}
	return all
}

// snapshotDelay is how long Debian's snapshot service may take to see what an archive has.
const snapshotDelay = 6 * time.Hour

// patience is how long a list may be resolved: it may ask for anything.
const patience = 5 * time.Minute

// NewLock resolves a list for all hosts. packages are those of all indexes, and newest is the date
// of the newest one.
func NewLock(ctx context.Context, list List, packages []*debian.Package, newest time.Time) (*Lock,
	error) {
	return ctxio.Within(ctx, patience, "resolving the list", func() (*Lock, error) {
		return newLock(list, packages, newest)
	})
}

func newLock(list List, packages []*debian.Package, newest time.Time) (*Lock, error) {
	l := &Lock{Suite: Suite, List: list.Sum(), Snapshot: newest.Add(snapshotDelay),
		Hosts: map[string][]Locked{}}
	for _, host := range Hosts {
		set, err := debian.NewSet(host, packages)
		if err != nil {
			return nil, err
		}
		chosen, err := set.Resolve(base, list.For(host))
		if err != nil {
			return nil, fmt.Errorf("for %s: %w", host, err)
		}
		groups, err := set.Batches(chosen)
		if err != nil {
			return nil, fmt.Errorf("for %s: %w", host, err)
		}
		for n, group := range groups {
			for _, p := range group {
				if p.Size > maxPackage {
					return nil, fmt.Errorf("%s has %d bytes", p.ID(), p.Size)
				}
				l.Hosts[host] = append(l.Hosts[host], Locked{*p, n})
			}
		}
		slices.SortFunc(l.Hosts[host], compareLocked)
	}
	return l, nil
}

// maxPackage bounds the bytes of a package of an SDK. The source of Linux has 150 MB.
const maxPackage = 1 << 30

// URLs returns where an index with a sum is, in the archive at base.
func (i Index) URLs(base, sha256 string, byHash bool) (urls []string) {
	dir := base + "/dists/" + i.Suite + "/main/binary-" + i.Arch + "/"
	if byHash {
		urls = append(urls, dir+"by-hash/SHA256/"+sha256)
	}
	return append(urls, dir+"Packages.xz")
}

// Write writes the lock of the tree at root.
func (l *Lock) Write(root string) error {
	err := atomicfile.Replace(filepath.Join(root, "sdk", LockFile), l.Format(), 0o644)
	return errkind.BadEnvironment(err)
}
