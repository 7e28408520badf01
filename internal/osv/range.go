// range: whether a version is among those that have a fault, as the OSV format defines it.

package osv

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"buildsys/internal/rpm"
)

// order compares two versions of an ecosystem; the error says which is none.
type order func(a, b string) (int, error)

// orderOf returns the order of versions in an ecosystem: semantic versions for Go and Rust, for
// other ones rpm's.
func orderOf(ecosystem string) order {
	if ecosystem == Go || ecosystem == Crates {
		return bySemver
	}
	return byRPM
}

func bySemver(a, b string) (int, error) {
	a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	for _, v := range []string{a, b} {
		if !semver.IsValid(v) {
			return 0, fmt.Errorf("%.80q is no semantic version", v[1:])
		}
	}
	return semver.Compare(a, b), nil
}

// maxVersion bounds a version, which is compared part by part.
const maxVersion = 256

// byRPM compares epoch and version. The release counts builds, which are each tree's own.
func byRPM(a, b string) (int, error) {
	for _, v := range []string{a, b} {
		if v == "" || len(v) > maxVersion || strings.ContainsAny(v, " \t\n") {
			return 0, fmt.Errorf("%.80q is no version of an RPM", v)
		}
	}
	epochA, versionA := SplitEpoch(a)
	epochB, versionB := SplitEpoch(b)
	return cmp.Or(rpm.Compare(epochA, epochB), rpm.Compare(versionA, versionB)), nil
}

// SplitEpoch splits epoch:version-release; the release is dropped, an epoch that is not given is 0.
func SplitEpoch(text string) (epoch, version string) {
	epoch, version, ok := strings.Cut(text, ":")
	if !ok {
		epoch, version = "0", text
	}
	version, _, _ = strings.Cut(version, "-")
	return epoch, version
}

var (
	errUnknownRange = errors.New("its ranges are of a kind that is not known")
	errCommitsOnly  = errors.New("it names commits only, and the tree has versions")
	errNothing      = errors.New("it names no versions")
	errEvent        = errors.New("it has an event of a kind that is not known")
)

// verdict is what an entry says of one version.
type verdict struct {
	affected bool
	fixed    []string // versions that have the fault no longer
}

// is reports whether a version in a list is the subject's. In an ecosystem of RPMs the list may
// leave out an epoch of 0 and name a release.
func (s Subject) is(listed string) bool {
	switch s.Ecosystem {
	case Git:
		return listed == s.Version
	case Go, Crates:
		return strings.TrimPrefix(listed, "v") == strings.TrimPrefix(s.Version, "v")
	}
	n, err := byRPM(listed, s.Version)
	return listed == s.Version || n == 0 && err == nil
}

// judge says whether a version has the fault. It does if any list or range says so; an error means
// that none says so, and that not all could be compared. It is the first one.
func (a *Affected) judge(s Subject) (v verdict, err error) {
	v.affected = slices.ContainsFunc(a.Versions, s.is)
	compared := len(a.Versions) > 0
	for _, r := range a.Ranges {
		switch {
		case r == nil:
			err = cmp.Or(err, errUnknownRange)
		case r.Type == "GIT":
			if len(a.Versions) == 0 && s.Ecosystem == Git && cleanRepo(r.Repo) == s.Name {
				err = cmp.Or(err, errCommitsOnly)
			}
		case r.Type == "SEMVER", r.Type == "ECOSYSTEM":
			if s.Ecosystem == Git { // a tag is in no such range
				continue
			}
			in, fixed, bad := r.has(s.Version, orderOf(s.Ecosystem))
			if bad != nil {
				err = cmp.Or(err, bad)
				continue
			}
			compared = true
			v.affected = v.affected || in
			v.fixed = append(v.fixed, fixed...)
		default:
			err = cmp.Or(err, errUnknownRange)
		}
	}
	if v.affected {
		return v, nil
	}
	if !compared {
		err = cmp.Or(err, errNothing)
	}
	return v, err
}

// point is an event with its version.
type point struct {
	at          string
	kind        int  // introduced, fixed and so on
	first, last bool // before and after all versions
}

const (
	introduced = iota
	fixed
	lastAffected
	limit
)

// points returns the events of a range.
func (r *Range) points() (all []point, err error) {
	for _, e := range r.Events {
		switch {
		case e == nil:
			return nil, errEvent
		case e.Introduced != "":
			all = append(all, point{at: e.Introduced, kind: introduced, first: e.Introduced == "0"})
		case e.Fixed != "":
			all = append(all, point{at: e.Fixed, kind: fixed})
		case e.LastAffected != "":
			all = append(all, point{at: e.LastAffected, kind: lastAffected})
		case e.Limit != "":
			all = append(all, point{at: e.Limit, kind: limit, last: e.Limit == "*"})
		default:
			return nil, errEvent
		}
	}
	return all, nil
}

// has reports whether a version is in a range, and which versions after it are in it no longer.
func (r *Range) has(version string, by order) (in bool, fixes []string, err error) {
	points, err := r.points()
	if err != nil {
		return false, nil, err
	}
	against := func(p point) int { // how the version is, compared with the event's
		switch {
		case p.first:
			return 1
		case p.last:
			return -1
		}
		n, e := by(version, p.at)
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	slices.SortStableFunc(points, func(a, b point) int {
		switch {
		case a.first != b.first && a.first, a.last != b.last && b.last:
			return -1
		case a.first != b.first, a.last != b.last:
			return 1
		}
		n, _ := by(a.at, b.at) // what is none is found below
		return n
	})
	limited, below := false, false
	for _, p := range points {
		switch n := against(p); p.kind {
		case introduced:
			in = in || n >= 0
		case fixed:
			if in = in && n < 0; n < 0 && len(fixes) < maxFixes {
				fixes = append(fixes, p.at)
			}
		case lastAffected:
			in = in && n <= 0
		case limit:
			limited, below = true, below || n < 0
		}
	}
	if limited {
		in = in && below
	}
	return in, fixes, err
}

// maxFixes bounds the versions that a finding names.
const maxFixes = 5
