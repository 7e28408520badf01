// Package crates reads which crates a Cargo.lock names, and unpacks them into the form of a vendor
// directory. Crates are data of strangers: nothing of them is run, and what they claim is bounded.
// Package fetch fetches them, and plan shows them to builds.
package crates

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
	"buildsys/internal/safetoml"
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

// Other is a package that comes neither from the public registry nor from git.
type Other struct {
	Name, Version string
	Source        string // as in Cargo.lock: "registry+https://…"
}

// Lock is what a Cargo.lock says about packages that are not of the tree itself.
type Lock struct {
	Crates []Crate    // sorted by name and version
	Git    []GitCrate // sorted by name, version and source
	Others []Other    // in the order of the file
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
		return Lock{}, &Error{What: name + ": " + fmt.Errorf(format, args...).Error()}
	}
	if len(text) > MaxLock {
		return fail("has more than %d MiB", MaxLock>>20)
	}
	if _, err := safetoml.Decode(string(text), &file); err != nil {
		return fail("%v", err)
	}
	if len(file.Package) > maxCrates {
		return fail("names more than %d packages", maxCrates)
	}
	var lock Lock
	for _, p := range file.Package {
		c := Crate{p.Name, p.Version, p.Checksum}
		if c.SHA256 == "" {
			c.SHA256 = file.Metadata[fmt.Sprintf("checksum %s %s (%s)", p.Name, p.Version, p.Source)]
		}
		if err := lock.add(c, p.Source); err != nil {
			return fail("%w", err)
		}
	}
	all, err := Merge(lock)
	if err != nil {
		return fail("%w", err)
	}
	return all, nil
}

// add adds a package. What nobody here fetches may have any name.
func (l *Lock) add(c Crate, source string) error {
	git, public := strings.HasPrefix(source, gitPrefix), slices.Contains(publicRegistry, source)
	switch {
	case source == "": // of the tree
		return nil
	case !git && !public:
		l.Others = append(l.Others, Other{c.Name, c.Version, source})
		return nil
	case !goodName.MatchString(c.Name):
		return fmt.Errorf("%q is not the name of a crate", c.Name)
	case !goodVersion.MatchString(c.Version) || !semver.IsValid("v"+c.Version) ||
		strings.Contains(c.Version, ".."):
		return fmt.Errorf("%q is not a version of the crate %s", c.Version, c.Name)
	case git:
		from, err := parseGit(source)
		if err != nil {
			return fmt.Errorf("%s %s comes from %s, %w", c.Name, c.Version, safetext.Line(source), err)
		}
		l.Git = append(l.Git, GitCrate{c.Name, c.Version, from})
		return nil
	case !goodSum.MatchString(c.SHA256):
		return fmt.Errorf("the checksum %q of %s is not 64 hex digits", c.SHA256, c)
	}
	l.Crates = append(l.Crates, c)
	return nil
}

func byName(a, b Crate) int { return strings.Compare(a.String(), b.String()) }

// Merge returns the crates of all locks, without duplicates. Two checksums of a crate, or two
// commits of one source, are an *Error.
func Merge(locks ...Lock) (Lock, error) {
	var all Lock
	sums, commits := map[string]string{}, map[string]string{}
	for _, l := range locks {
		for _, c := range l.Crates {
			sum, twice := sums[c.String()]
			if twice && sum != c.SHA256 {
				return Lock{}, &Error{What: "there are two checksums for " + c.String()}
			}
			if !twice {
				all.Crates = append(all.Crates, c)
			}
			sums[c.String()] = c.SHA256
		}
		for _, c := range l.Git {
			if old := commits[c.From.ID()]; old != "" && old != c.From.Commit {
				return Lock{}, &Error{What: fmt.Sprintf("there are two commits for %s: %s and %s; bring the "+
					"Cargo.lock files to one with cargo update", c.From, old, c.From.Commit)}
			}
			commits[c.From.ID()] = c.From.Commit
			all.Git = append(all.Git, c)
		}
		for _, o := range l.Others {
			if !slices.Contains(all.Others, o) {
				all.Others = append(all.Others, o)
			}
		}
	}
	slices.SortFunc(all.Crates, byName)
	slices.SortFunc(all.Git, GitCrate.compare)
	all.Git = slices.Compact(all.Git)
	return all, nil
}
