// index: the indexes of an archive, in which a paragraph describes a package.

package debian

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"buildsys/internal/safetext"
)

// Package is a version of a package for an architecture.
type Package struct {
	Name, Version, Arch string
	Essential           bool
	Priority            string
	MultiArch           string
	File                string // slash path below the archive
	Size                int64  // bytes of the file
	SHA256              string // in hex
	Archive             string // which archive has it; set by the caller of ParseIndex

	// as in the index, read when they count
	depends, preDepends, provides, conflicts, breaks string
}

// ID returns the name of the package with its architecture, as dpkg has it.
func (p *Package) ID() string { return p.Name + ":" + p.Arch }

const (
	maxIndex    = 512 << 20 // bytes of an index, unpacked; that of Debian 13 has 55 MB
	maxLine     = 1 << 20   // bytes of one of its lines; the longest has some 20 KB
	maxPackages = 200_000   // Debian has 70,000
	maxFields   = 96 << 20  // bytes of the fields that are kept; those of Debian 13 have some 25 MB
)

// ParseIndex reads a Packages file. archive is set in all its packages.
func ParseIndex(r io.Reader, archive string) ([]*Package, error) {
	limited := &io.LimitedReader{R: r, N: maxIndex + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	x := indexReader{archive: archive, fields: map[string]string{}}
	for lines.Scan() {
		if err := x.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("package %d: %w", len(x.all)+1, err)
		}
	}
	if err := errors.Join(lines.Err(), x.end()); err != nil {
		return nil, err
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("it has more than %d MiB", maxIndex>>20)
	}
	return x.all, nil
}

type indexReader struct {
	archive string
	all     []*Package
	fields  map[string]string // of the package that is being read
	kept    int               // bytes of fields
}

// line reads a line. Of fields that go on in the next one, none counts.
func (x *indexReader) line(line string) error {
	if strings.TrimSpace(line) == "" {
		return x.end()
	}
	if line[0] == ' ' || line[0] == '\t' {
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%q is not a field", safetext.Line(line))
	}
	if wanted[name] {
		if x.kept += len(value); x.kept > maxFields {
			return fmt.Errorf("what the packages say has more than %d MiB", maxFields>>20)
		}
		x.fields[name] = strings.Clone(strings.TrimSpace(value))
	}
	return nil
}

// end ends a package.
func (x *indexReader) end() error {
	if len(x.fields) == 0 {
		return nil
	}
	p, err := newPackage(x.fields)
	if err != nil {
		return err
	}
	if len(x.all) == maxPackages {
		return fmt.Errorf("there are more than %d", maxPackages)
	}
	p.Archive = x.archive
	x.all = append(x.all, p)
	clear(x.fields)
	return nil
}

// wanted are the fields that count.
var wanted = map[string]bool{
	"Package": true, "Version": true, "Architecture": true, "Essential": true, "Priority": true,
	"Multi-Arch": true, "Depends": true, "Pre-Depends": true, "Provides": true, "Conflicts": true,
	"Breaks": true, "Filename": true, "Size": true, "SHA256": true,
}

func newPackage(f map[string]string) (*Package, error) {
	p := &Package{
		Name: f["Package"], Version: f["Version"], Arch: f["Architecture"],
		Essential: f["Essential"] == "yes", Priority: f["Priority"], MultiArch: f["Multi-Arch"],
		File: f["Filename"], SHA256: f["SHA256"],
		depends: f["Depends"], preDepends: f["Pre-Depends"], provides: f["Provides"],
		conflicts: f["Conflicts"], breaks: f["Breaks"],
	}
	var err error
	p.Size, err = strconv.ParseInt(f["Size"], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the size %q is not a number", safetext.Line(f["Size"]))
	}
	return p, p.Check()
}

// MaxPackage bounds the size of a package's file. Debian's largest has 3.2 GB, that of the largest
// in an SDK 150 MB.
const MaxPackage = 4 << 30

// Check returns an error if a field is not as Debian has it: names and paths come to be parts of
// URLs, paths of files and arguments of dpkg.
func (p *Package) Check() error {
	for _, c := range []struct {
		what, value string
		ok          bool
	}{
		{"name", p.Name, validName(p.Name)},
		{"version", p.Version, validVersion(p.Version)},
		{"architecture", p.Arch, validArch(p.Arch)},
		{"size", strconv.FormatInt(p.Size, 10), p.Size > 0 && p.Size <= MaxPackage},
		{"SHA256", p.SHA256, validSHA256(p.SHA256)},
		{"file", p.File, validPath(p.File)},
	} {
		if !c.ok {
			return fmt.Errorf("the %s %q of %s is not one that Debian has", c.what,
				safetext.Line(c.value), safetext.Line(p.Name))
		}
	}
	return nil
}

func validSHA256(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == 32 && s == strings.ToLower(s)
}

// validPath reports whether s is a path of a package below an archive. In URLs "%2e" is a dot.
func validPath(s string) bool {
	return s != "" && len(s) <= 4*maxName && path.Clean(s) == s && s[0] != '/' && s[0] != '.' &&
		strings.HasSuffix(s, ".deb") &&
		strings.IndexFunc(s, func(r rune) bool {
			return r != '/' && !plain(string(r), "+-.:~_")
		}) < 0
}
