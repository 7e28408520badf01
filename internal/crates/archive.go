// archive: the crates that an archive of sources needs, and how "cargo vendor" lays them down.

package crates

import (
	"context"
	"path"
	"strings"

	"golang.org/x/mod/semver"

	"buildsys/internal/archive"
	"buildsys/internal/safetext"
)

// Read returns the crates that the Cargo.lock in an archive's directory root names, sorted. An
// empty root means the only directory at the top of the archive. Packages that are not of the
// public registry are an error that names them. The error is an *archive.Error, an *Error, one from
// reading the file, or ctx's.
func Read(ctx context.Context, file, root string) ([]Crate, error) {
	found, err := archive.Find(ctx, file, archive.Wanted{Root: root, Names: []string{"Cargo.lock"},
		Max: MaxLock, Of: "Cargo.lock"})
	if err != nil {
		return nil, err
	}
	lock, err := ParseLock(path.Join(found.Root, "Cargo.lock"), found.Files["Cargo.lock"])
	switch {
	case err != nil:
		return nil, err
	case len(lock.Others)+len(lock.Git) > 0:
		return nil, &archive.Error{What: path.Join(found.Root, "Cargo.lock") + " names " +
			others(lock), Hint: "buildsys bundles crates of the public registry only: vendor " +
			"them in an archive of your own, as an external file"}
	case len(lock.Crates) == 0:
		return nil, &archive.Error{What: path.Join(found.Root, "Cargo.lock") + " names no crates",
			Hint: "remove bundle-modules"}
	}
	return lock.Crates, nil
}

// maxTold bounds the packages that an error names.
const maxTold = 5

func others(lock Lock) string {
	var all []string
	for _, o := range lock.Others {
		all = append(all, safetext.Line(o.Name+" "+o.Version+" from "+o.Source))
	}
	for _, c := range lock.Git {
		all = append(all, c.Name+" "+c.Version+" from "+c.From.String())
	}
	if len(all) > maxTold {
		all = append(all[:maxTold], "and others")
	}
	return strings.Join(all, ", ")
}

// VendorNames returns the names that "cargo vendor" gives the directories of crates: that of the
// crate for its highest version, and for each other one that with its version.
func VendorNames(list []Crate) map[Crate]string {
	highest := map[string]Crate{}
	for _, c := range list {
		if old, ok := highest[c.Name]; !ok || newer(c.Version, old.Version) {
			highest[c.Name] = c
		}
	}
	names := map[Crate]string{}
	for _, c := range list {
		if names[c] = c.String(); highest[c.Name] == c {
			names[c] = c.Name
		}
	}
	return names
}

// newer compares versions; those that differ in what follows a plus sign only, as text.
func newer(a, b string) bool {
	if d := semver.Compare("v"+a, "v"+b); d != 0 {
		return d > 0
	}
	return a > b
}
