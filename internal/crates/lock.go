// Package crates reads which crates a Cargo.lock names, and unpacks them into the form of a vendor
// directory. Crates are data of strangers: nothing of them is run, and what they claim is bounded.
// Package fetch fetches them, and plan shows them to builds.
package crates

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/mod/semver"

	"buildsys/internal/errkind"
)

// MaxLock is the size limit of a Cargo.lock, in bytes. Those of large workspaces have a tenth.
const MaxLock = 8 << 20

// maxCrates bounds the crates of a Cargo.lock, each of which is fetched.
const maxCrates = 20000

// Crate is a crate of the public registry.
type Crate struct {
	Name    string
	Version string
	SHA256  string // of the .crate file, in hex
}

// String returns the crate's name with its version, which is also the name of its directory.
func (c Crate) String() string { return c.Name + "-" + c.Version }

// Other is a package that comes from elsewhere than the public registry.
type Other struct {
	Name, Version string
	Source        string // as in Cargo.lock: "git+https://…"
}

// Lock is what a Cargo.lock says about packages that are not of the tree itself.
type Lock struct {
	Crates []Crate // sorted by name and version
	Others []Other // in the order of the file
}

// Error is a mistake in a Cargo.lock.
type Error struct{ What string }

func (e *Error) Error() string { return e.What }

// ErrorKind returns errkind.Usage.
func (*Error) ErrorKind() errkind.Kind { return errkind.Usage }

// publicRegistry are the names that cargo writes for the public registry.
var publicRegistry = []string{
	"registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/",
}

// Names and versions become parts of paths and URLs.
var (
	goodName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`)
	goodVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,127}$`)
	goodSum     = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseLock reads a Cargo.lock of any version; name is for messages. The error is an *Error.
func ParseLock(name string, text []byte) (Lock, error) {
	var file struct {
		Package []struct{ Name, Version, Source, Checksum string }
		// Until version 2 of the file, checksums were together at its end.
		Metadata map[string]string
	}
	fail := func(format string, args ...any) (Lock, error) {
		return Lock{}, &Error{What: name + ": " + fmt.Sprintf(format, args...)}
	}
	if len(text) > MaxLock {
		return fail("has more than %d MiB", MaxLock>>20)
	}
	if _, err := toml.Decode(string(text), &file); err != nil {
		return fail("%v", err)
	}
	if len(file.Package) > maxCrates {
		return fail("names more than %d packages", maxCrates)
	}
	var lock Lock
	sums := map[string]string{}
	for _, p := range file.Package {
		if p.Source == "" { // of the tree
			continue
		}
		if !slices.Contains(publicRegistry, p.Source) {
			lock.Others = append(lock.Others, Other{p.Name, p.Version, p.Source})
			continue
		}
		c := Crate{p.Name, p.Version, p.Checksum}
		if c.SHA256 == "" {
			c.SHA256 = file.Metadata[fmt.Sprintf("checksum %s %s (%s)", p.Name, p.Version, p.Source)]
		}
		switch {
		case !goodName.MatchString(c.Name):
			return fail("%q is not the name of a crate", c.Name)
		case !goodVersion.MatchString(c.Version) || !semver.IsValid("v"+c.Version) ||
			strings.Contains(c.Version, ".."):
			return fail("%q is not a version of the crate %s", c.Version, c.Name)
		case !goodSum.MatchString(c.SHA256):
			return fail("the checksum %q of %s is not 64 hex digits", c.SHA256, c)
		}
		if sum, twice := sums[c.String()]; twice && sum != c.SHA256 {
			return fail("has two checksums for %s", c)
		} else if !twice {
			lock.Crates = append(lock.Crates, c)
		}
		sums[c.String()] = c.SHA256
	}
	slices.SortFunc(lock.Crates, byName)
	return lock, nil
}

func byName(a, b Crate) int { return strings.Compare(a.String(), b.String()) }

// Merge returns the crates of all locks, without duplicates. Two that differ in their checksum are
// an *Error.
func Merge(locks ...Lock) (Lock, error) {
	var all Lock
	sums := map[string]string{}
	for _, l := range locks {
		for _, c := range l.Crates {
			sum, twice := sums[c.String()]
			if twice && sum != c.SHA256 {
				return Lock{}, &Error{What: "the locks of the tree have two checksums for " + c.String()}
			}
			if !twice {
				all.Crates = append(all.Crates, c)
			}
			sums[c.String()] = c.SHA256
		}
		for _, o := range l.Others {
			if !slices.Contains(all.Others, o) {
				all.Others = append(all.Others, o)
			}
		}
	}
	slices.SortFunc(all.Crates, byName)
	return all, nil
}
