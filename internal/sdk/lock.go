// lock: sdk/packages.lock, the very packages that an SDK is made of.

package sdk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/debian"
	"buildsys/internal/safetext"
)

// Lock is what a packages.lock says.
type Lock struct {
	Suite    string
	List     string    // the Sum of the list that it was made from
	Snapshot time.Time // when all its packages were in Debian's archives
	Hosts    map[string][]Locked
	total    map[string]int64 // bytes by host, of a lock that is read
}

// Locked is a package in a lock.
type Locked struct {
	debian.Package     // Archive is the first part of its place: "debian" or "debian-security"
	Group          int // in which dpkg installs it; those of the first work without dpkg
}

const lockHead = `# The packages of the SDK image. "buildsys sdk lock" makes this file from packages.list: edit that.
# Of each package: name, version, architecture, group in which it is installed, bytes, SHA-256, place.
`

const (
	lockFormat = "1"
	lockTime   = "20060102T150405Z" // as Debian's snapshot service has it
	maxLocked  = 20_000             // packages of all hosts; a whole desktop has 3,000
	maxTotal   = 8 << 30            // bytes of the packages of a host; Skiff's have 140 MB
)

// Format returns the text of a lock: equal locks have equal texts.
func (l *Lock) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sformat %s\nsuite %s\nlist %s\nsnapshot %s\n", lockHead, lockFormat, l.Suite,
		l.List, l.Snapshot.UTC().Format(lockTime))
	for _, host := range Hosts {
		if len(l.Hosts[host]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nhost %s\n", host)
		for _, p := range l.Hosts[host] {
			fmt.Fprintf(&b, "%s %s %s %d %d %s %s/%s\n", p.Name, p.Version, p.Arch, p.Group, p.Size,
				p.SHA256, p.Archive, p.File)
		}
	}
	return b.Bytes()
}

// Sum identifies the packages of a lock.
func (l *Lock) Sum() string { return fmt.Sprintf("%x", sha256.Sum256(l.Format()))[:12] }

// ParseLock reads a packages.lock.
func ParseLock(data []byte) (*Lock, error) {
	l := &Lock{Hosts: map[string][]Locked{}, total: map[string]int64{}}
	host, n, count := "", 0, 0
	for line := range strings.Lines(string(data)) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		err := errors.New("it has neither two words nor the seven of a package")
		switch {
		case len(fields) == 2 && fields[0] == "host":
			host = fields[1]
			if err = nil; !slices.Contains(Hosts, host) || l.Hosts[host] != nil {
				err = fmt.Errorf("%q is no host, or is there twice", safetext.Line(host))
			}
		case len(fields) == 2:
			err = l.set(fields[0], fields[1])
		case len(fields) == 7 && host != "":
			if count++; count > maxLocked {
				return nil, fmt.Errorf("it has more than %d packages", maxLocked)
			}
			err = l.add(host, fields)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if l.Suite == "" || l.List == "" || len(l.Hosts) == 0 {
		return nil, errors.New("it is cut off")
	}
	return l, nil
}

// set reads a line of the head.
func (l *Lock) set(name, value string) (err error) {
	switch name {
	case "format":
		if value != lockFormat {
			err = fmt.Errorf("it has format %s, which another version of buildsys reads",
				safetext.Line(value))
		}
	case "suite":
		if l.Suite = value; !isSuite(value) {
			err = fmt.Errorf("%q is not a suite", safetext.Line(value))
		}
	case "list":
		l.List = value
	case "snapshot":
		l.Snapshot, err = time.Parse(lockTime, value)
	default:
		err = fmt.Errorf("%q is not known", safetext.Line(name))
	}
	return err
}

// isSuite reports whether s may be a part of a URL as a suite's name.
func isSuite(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// add reads the line of a package. Its lines are sorted, and each package is there once.
func (l *Lock) add(host string, fields []string) error {
	group, err1 := strconv.Atoi(fields[3])
	size, err2 := strconv.ParseInt(fields[4], 10, 64)
	archive, file, _ := strings.Cut(fields[6], "/")
	p := Locked{Group: group, Package: debian.Package{Name: fields[0], Version: fields[1],
		Arch: fields[2], Size: size, SHA256: fields[5], Archive: archive, File: file}}
	if err := errors.Join(err1, err2, p.Check()); err != nil {
		return err
	}
	if !slices.Contains(archives, archive) {
		return fmt.Errorf("%q is not an archive: there are %s", safetext.Line(archive),
			strings.Join(archives, " and "))
	}
	all := l.Hosts[host]
	if len(all) > 0 && compareLocked(all[len(all)-1], p) >= 0 {
		return fmt.Errorf("%s is not in its place, or there twice", p.ID())
	}
	if group < 0 || group > maxLocked {
		return fmt.Errorf("%d is no group", group)
	}
	if size > maxPackage {
		return fmt.Errorf("%s has %d bytes, more than %d", p.ID(), size, int64(maxPackage))
	}
	if l.total[host] += size; l.total[host] > maxTotal {
		return fmt.Errorf("the packages for %s have more than %d GiB", host, maxTotal>>30)
	}
	l.Hosts[host] = append(all, p)
	return nil
}

func compareLocked(a, b Locked) int {
	return slices.Compare([]string{a.Name, a.Arch}, []string{b.Name, b.Arch})
}

// FileName returns the name of the package's file, as Debian's archives have it.
func (p *Locked) FileName() string {
	version := p.Version
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	return p.Name + "_" + version + "_" + p.Arch + ".deb"
}

// Groups returns the packages of a host in the groups in which dpkg installs them.
func (l *Lock) Groups(host string) (groups [][]Locked, err error) {
	all := slices.Clone(l.Hosts[host])
	slices.SortStableFunc(all, func(a, b Locked) int { return a.Group - b.Group })
	for i, p := range all {
		if i == 0 || p.Group != all[i-1].Group {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], p)
	}
	if len(groups) == 0 || all[0].Group != 0 {
		return nil, fmt.Errorf("it has no packages for %s, or none that dpkg could begin with", host)
	}
	return groups, nil
}

// Foreign returns the architectures of packages of a host besides its own.
func (l *Lock) Foreign(host string) (arches []string) {
	for _, p := range l.Hosts[host] {
		if p.Arch != host && p.Arch != "all" && !slices.Contains(arches, p.Arch) {
			arches = append(arches, p.Arch)
		}
	}
	slices.Sort(arches)
	return arches
}

// Change is what happened to a package of a host between two locks.
type Change struct {
	Host, Package string // "amd64", "gcc" or "systemd-boot-efi:arm64"
	Old, New      string // versions; "" if it was not, or is not any more
}

// Changes returns how a lock differs from an older one, which may be nil.
func (l *Lock) Changes(old *Lock) (all []Change) {
	if old == nil {
		old = &Lock{}
	}
	for _, host := range Hosts {
		was, is := versions(old.Hosts[host], host), versions(l.Hosts[host], host)
		var names []string
		for name := range was {
			names = append(names, name)
		}
		for name := range is {
			if _, there := was[name]; !there {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if was[name] != is[name] {
				all = append(all, Change{host, name, was[name], is[name]})
			}
		}
	}
	return all
}

func versions(all []Locked, host string) map[string]string {
	m := map[string]string{}
	for _, p := range all {
		name := p.Name
		if p.Arch != host && p.Arch != "all" {
			name = p.ID()
		}
		m[name] = p.Version
	}
	return m
}

// readAll reads a file of a recipe.
func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxLockBytes+1))
	if err == nil && len(data) > maxLockBytes {
		err = fmt.Errorf("sdk/%s has more than %d MiB", name, maxLockBytes>>20)
	}
	return data, err
}

// maxLockBytes bounds a list, a lock and keys.
const maxLockBytes = 16 << 20

// archives are the parts of Debian that packages come from.
var archives = []string{"debian", "debian-security"}
