// advisory: advisories/<version>/<id>.toml, which say in which version a fault of a package is
// fixed, and audit.toml, which says which faults are left alone, why and until when.

package manifest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Advisory is one advisories/<version>/<id>.toml.
type Advisory struct {
	File        string
	ID          string // the file's name
	Title       string
	CVE, GHSA   string // one of them is given
	Severity    string // "low", "moderate", "high" or "critical"
	Description string
	Products    []Product
	Version     string // of the release that has the fix; Staging before there is one
	Issued      time.Time
	Arches      []string // empty for all
}

// Product is a package that an advisory is about, and from which version on it has the fix.
type Product struct {
	Package string
	Version string // without what is no part of a version
	Written string // as the file has it
	Epoch   string // "0" if the file does not say
	Line    int
}

// Staging is the directory, and the version, of advisories that no release has yet.
const Staging = "staging"

// Severities are the words for how bad a fault is, from the least. "medium" is read as moderate.
var Severities = []string{"low", "moderate", "high", "critical"}

var (
	advisoryID   = regexp.MustCompile(`^[A-Z]+-[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	cveID        = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,}$`)
	ghsaID       = regexp.MustCompile(`^GHSA(-[23456789cfghjmpqrvwx]{4}){3}$`)
	rpmVersion   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+~^]{0,127}$`)
	rpmEpoch     = regexp.MustCompile(`^[0-9]{1,9}$`)
	nameVersion  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+]*-([0-9][0-9A-Za-z._+~^]*)(-[^-]+)?$`)
	withRelease  = regexp.MustCompile(`^([0-9][0-9A-Za-z._+~^]*)-[^-]+$`)
	firstCVEYear = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ParseAdvisory reads an advisory. file is its path relative to the root; now is what dates are
// held against. If there are problems, the advisory has what could be read.
func ParseAdvisory(file string, data []byte, rules Rules, now time.Time) (*Advisory, Problems) {
	a := &Advisory{File: file}
	doc, root := open(file, data, rules)
	if root == nil {
		return a, doc.problems
	}
	if t := root.needed("advisory"); t != nil {
		a.readAdvisory(t)
	}
	if t := root.needed("updateinfo"); t != nil {
		a.readUpdate(t, now)
	}
	root.finish()
	return a, doc.problems.Sorted()
}

// needed is sub for a table that has to be there.
func (t *table) needed(key string) *table {
	if !t.has(key) {
		t.fault("", "", "[%s] is missing", key)
	}
	return t.sub(key)
}

// must returns a string that has to be there and not empty.
func (t *table) must(key string) (string, bool) {
	v, ok := t.str(key)
	switch {
	case !t.has(key):
		t.fault("", "", "%q is missing%s", key, t.in())
	case ok && strings.TrimSpace(v) == "":
		t.fault(key, "", "%q%s is empty", key, t.in())
		return "", false
	}
	return v, ok
}

func (a *Advisory) readAdvisory(t *table) {
	a.ID, _ = t.must("id")
	base := strings.TrimSuffix(path.Base(a.File), ".toml")
	switch {
	case a.ID == "":
	case !advisoryID.MatchString(a.ID):
		t.fault("id", "", "%s cannot be the id of an advisory: use letters, a '-', and letters and "+
			"digits, as in BRSA-1j0o73qa", quote(a.ID))
	case a.ID != base:
		t.fault("id", "name the file "+a.ID+".toml, or correct the id",
			"the id %s is not the name of the file", quote(a.ID))
	}
	a.Title, _ = t.must("title")
	a.Description, _ = t.must("description")
	a.CVE = t.public("cve", cveID, "CVE-2024-12345")
	a.GHSA = t.public("ghsa", ghsaID, "GHSA-23cf-78vw-9xqr")
	if !t.has("cve") && !t.has("ghsa") {
		t.fault("", "add cve = \"CVE-…\" or ghsa = \"GHSA-…\"", "neither \"cve\" nor \"ghsa\" is given%s",
			t.in())
	}
	if !t.has("severity") {
		t.fault("", "use "+orList(Severities), "\"severity\" is missing%s", t.in())
	}
	a.Severity = t.choice("severity", "", append(slices.Clone(Severities), "medium")...)
	if a.Severity == "medium" {
		a.Severity = "moderate"
	}
	products := t.tables("products")
	if len(products) == 0 {
		t.fault("", "add [[advisory.products]]", "no products are named%s", t.in())
	}
	seen := map[string]int{}
	for _, p := range products {
		one, ok := p.product()
		if first := seen[one.Package]; first > 0 {
			p.fault("package-name", fmt.Sprintf("it is on line %d too", first),
				"product %s is named twice", quote(one.Package))
		} else if ok {
			a.Products = append(a.Products, one)
		}
		seen[one.Package] = one.Line
	}
	t.finish()
}

// public returns the number that others have given a fault.
func (t *table) public(key string, form *regexp.Regexp, example string) string {
	v, ok := t.str(key)
	if ok && !form.MatchString(v) {
		t.fault(key, "write it as in "+example, "%s%s is not of the form of a %s", quote(v), t.in(),
			strings.ToUpper(key))
		return ""
	}
	return v
}

func (t *table) product() (p Product, good bool) {
	var named, versioned bool
	p.Package, named = t.must("package-name")
	p.Line = t.line("package-name")
	p.Written, versioned = t.must("patched-version")
	p.Version = p.Written
	if versioned && !rpmVersion.MatchString(p.Version) {
		versioned = t.bareVersion(&p)
	}
	p.Epoch = "0"
	epoch, given := t.str("patched-epoch")
	if given && !rpmEpoch.MatchString(epoch) {
		t.fault("patched-epoch", "", "%s is not an epoch, a whole number in quotes", quote(epoch))
		versioned = false
	} else if given {
		p.Epoch = epoch
	}
	if release, ok := t.str("patched-release"); ok && !rpmVersion.MatchString(release) {
		t.fault("patched-release", "", "%s is not the release of an RPM", quote(release))
	}
	t.finish()
	return p, named && versioned
}

// bareVersion finds the version in what names a package or a release too, as advisories of
// Bottlerocket do: "kernel-5.10.226-214.879.amzn2".
func (t *table) bareVersion(p *Product) bool {
	for _, form := range []*regexp.Regexp{nameVersion, withRelease} {
		if m := form.FindStringSubmatch(p.Written); m != nil && rpmVersion.MatchString(m[1]) {
			p.Version = m[1]
			if t.doc.rules.Lenient { // lint says it once
				return true
			}
			t.fault("patched-version", "write the version alone", "%s is not the version of an RPM: "+
				"it is read as %s", quote(p.Written), quote(p.Version))
			t.doc.problems[len(t.doc.problems)-1].Warning = true
			return true
		}
	}
	t.fault("patched-version", "", "%s is not the version of an RPM", quote(p.Written))
	return false
}

func (a *Advisory) readUpdate(t *table, now time.Time) {
	_, _ = t.must("author")
	a.Version, _ = t.must("version")
	dir := path.Base(path.Dir(a.File))
	switch {
	case a.Version == "" || a.Version == dir:
	case dir == Staging && ValidVersion(a.Version):
		t.fault("version", "move the file to advisories/"+a.Version, "the version is %s, but the file "+
			"is in %s", quote(a.Version), Staging)
	default:
		t.fault("version", "write version = \""+dir+"\", or move the file", "the version %s is not the "+
			"name of the directory, %s", quote(a.Version), quote(dir))
	}
	if dir != Staging && !ValidVersion(dir) {
		t.fault("", "", "advisories are in advisories/VERSION or advisories/%s: %s is no version",
			Staging, quote(dir))
	}
	issued, ok := value[time.Time](t, "issue-date", "a date with a time, as in 2024-07-08T23:14:32Z")
	a.Issued = issued
	switch {
	case !t.has("issue-date"):
		t.fault("", "", "\"issue-date\" is missing%s", t.in())
	case ok && issued.After(now.Add(24*time.Hour)):
		t.fault("issue-date", "", "the date %s is in the future", issued.Format(time.DateOnly))
	case ok && issued.Before(firstCVEYear):
		t.fault("issue-date", "", "the date %s is before there were advisories",
			issued.Format(time.DateOnly))
	}
	a.Arches, _ = t.strings("arches", func(s string) (string, string) {
		if !slices.Contains(Architectures(), s) {
			return quote(s) + " is not an architecture", "use " + orList(Architectures())
		}
		return "", ""
	})
	t.finish()
}

// Ignore is one [[ignore]] of audit.toml.
type Ignore struct {
	ID      string // of an advisory, or another name of the fault: "CVE-2024-45310"
	Package string // empty for all that has the fault
	Reason  string
	Until   time.Time // the first moment at which it holds no longer
	Line    int
}

// ParseIgnores reads audit.toml.
func ParseIgnores(file string, data []byte, rules Rules) ([]Ignore, Problems) {
	doc, root := open(file, data, rules)
	if root == nil {
		return nil, doc.problems
	}
	var all []Ignore
	for _, t := range root.tables("ignore") {
		i := Ignore{Line: t.line()}
		var named, explained bool
		i.ID, named = t.must("id")
		i.Package, _ = t.str("package")
		i.Reason, explained = t.must("reason")
		until, ok := value[time.Time](t, "until", "a date, as in 2027-01-31")
		if !t.has("until") {
			t.fault("", "say when to look at it again, as in until = 2027-01-31", "\"until\" is missing%s",
				t.in())
		}
		if y, m, d := until.Date(); ok { // that day is the last one
			i.Until = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		}
		t.finish()
		if named && explained && ok {
			all = append(all, i)
		}
	}
	root.finish()
	return all, doc.problems.Sorted()
}
