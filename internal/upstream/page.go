// page: which versions of a package a page lists: an index of a directory, the releases or tags of
// a forge, a page with links.

package upstream

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/rpm"
)

// Pages finds the versions of a package on pages.
type Pages struct {
	named  *Named
	rules  []rule
	series *regexp.Regexp // of directories with a part of the version: "2.78"; nil if there are none
}

// rule matches what has a version on a page: in its first group, with what makes it a pre-release
// in the second.
type rule struct {
	*regexp.Regexp
	separator string // in place of dots
}

const (
	versionPattern = `([0-9][0-9A-Za-z._+~]*?)((?:[-_.~]?(?:rc|alpha|beta|pre)[-_.]?[0-9]*)?)`
	archivePattern = `\.(?:tar(?:\.(?:gz|bz2|xz|zst|lz|Z))?|tgz|tbz2?|txz|zip)`
)

var (
	archiveEnd = regexp.MustCompile(archivePattern + `$`)
	// tagPlaces are the places where forges have tags and releases.
	tagPlaces = `/(?:releases/tag|tags|tree|commits|archive/refs/tags|-/archive|archive|refs/tags)/`
)

// Pages returns what finds versions by the names that the package's sources have.
func (n *Named) Pages() *Pages {
	p := &Pages{named: n}
	prefixes := map[string]string{} // of tags, with their separators
	all := forms(n.Version, strings.Repeat("0\x00.", strings.Count(n.Version, "."))+"0\x00")
	for _, f := range n.pkg.ExternalFiles {
		_, rest := beyondHost(f.URL)
		parts := strings.Split(rest, "/")
		if f.Path != "" {
			parts = append(parts, f.Path)
		}
		for i, part := range parts {
			p.addNames(part, i == len(parts)-1, whole(all), prefixes)
		}
		if p.series == nil && rewrite(rest, all) != rewrite(rest, whole(all)) {
			p.series = regexp.MustCompile(`(?i)href\s*=\s*["']?(?:[^"'>\s]*/)?(v?[0-9]+(?:\.[0-9x]+)*)/["'>\s]`)
		}
	}
	if len(prefixes) == 0 {
		name := n.pkg.Name
		for _, prefix := range []string{"", "v", name + "-", name + "-v", name + "_", "release-",
			"rel-"} {
			prefixes[prefix] = "."
		}
	}
	for prefix, separator := range prefixes {
		p.add(tagPlaces+regexp.QuoteMeta(prefix)+versionPattern+
			`(?:["'?#/<\s&]|\.tar|\.zip|$)`, separator)
	}
	return p
}

// addNames adds the rules for names like a part of a URL that has the version.
func (p *Pages) addNames(part string, last bool, all []form, prefixes map[string]string) {
	for _, f := range all {
		mark := rewrite(part, []form{f})
		before, after, ok := strings.Cut(mark, f.new)
		if !ok || mark == part {
			continue
		}
		separator := "."
		if strings.Contains(f.old, "_") || strings.Contains(f.old, "-") {
			separator = strings.Trim(f.old, "0123456789")[:1]
		}
		if !last {
			prefixes[before] = separator
			p.add(`(?i:href)\s*=\s*["']?(?:[^"'>\s]*/)?`+regexp.QuoteMeta(before)+versionPattern+
				regexp.QuoteMeta(after)+`/?["'>\s]`, separator)
			return
		}
		end := regexp.QuoteMeta(after)
		if at := archiveEnd.FindStringIndex(after); at != nil {
			end = regexp.QuoteMeta(after[:at[0]]) + archivePattern
		}
		if before == "" || before == "v" { // a file that is named by its tag alone
			prefixes[before] = separator
			return
		}
		p.add(`(?:^|[^0-9A-Za-z._+-])`+regexp.QuoteMeta(before)+versionPattern+end, separator)
		return
	}
}

func (p *Pages) add(pattern, separator string) {
	p.rules = append(p.rules, rule{regexp.MustCompile(pattern), separator})
}

// Versions returns the versions that a page lists.
func (p *Pages) Versions(page []byte) (found []string) {
	seen := map[string]bool{}
	for _, r := range p.rules {
		for _, m := range r.FindAllSubmatch(page, -1) {
			version := archiveEnd.ReplaceAllString(string(m[1]), "")
			if r.separator != "." {
				version = strings.ReplaceAll(version, r.separator, ".")
			}
			if pre := strings.Trim(string(m[2]), "-_.~"); pre != "" {
				version += "~" + strings.ToLower(pre)
			}
			if !seen[version] && CheckVersion(version) == nil {
				seen[version] = true
				found = append(found, version)
			}
		}
	}
	return found
}

// maxSeries is how many directories of a series are looked into.
const maxSeries = 3

// Series returns the URLs of the newest directories that a page lists, where the names of those
// have a part of the version. They are below the page.
func (p *Pages) Series(page []byte, from *url.URL) (urls []string) {
	if p.series == nil {
		return nil
	}
	known := map[string]bool{}
	for _, m := range p.series.FindAllSubmatch(page, -1) {
		known[string(m[1])] = true
	}
	names := slices.Sorted(maps.Keys(known))
	slices.SortStableFunc(names, func(a, b string) int {
		return rpm.Compare(strings.TrimPrefix(b, "v"), strings.TrimPrefix(a, "v"))
	})
	for _, name := range names[:min(len(names), maxSeries)] {
		urls = append(urls, from.JoinPath(name, "/").String())
	}
	return urls
}
