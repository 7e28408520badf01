// Package upstream knows where a package's sources come from and what is there now: which version
// a spec and a manifest name, what they look like with another one, which versions a page lists,
// and whether signatures and sums of upstream vouch for a file. It changes texts, not files, and
// asks nobody: package build fetches and writes.
package upstream

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/rpm"
)

var (
	versionRule = regexp.MustCompile(`^[0-9][0-9A-Za-z._+~^]*$`)
	unstable    = regexp.MustCompile(`(?i)(^|[0-9._~-])(rc|alpha|beta|pre|preview|dev|devel|git|` +
		`snapshot|snap|test|nightly|canary|a|b)[._-]?[0-9]*([._~-]|$)`)
	date = regexp.MustCompile(`^(19|20)[0-9]{2}([.01]|$)`)
)

// maxVersion is how long a version may be. Its place in names of files and RPMs is limited.
const maxVersion = 64

// CheckVersion returns an error unless text may be the version of an RPM and a part of the names of
// files and URLs.
func CheckVersion(text string) error {
	switch {
	case strings.Contains(text, "-"):
		return errkind.Usagef("%q cannot be the version of an RPM, which has no '-'", text)
	case len(text) > maxVersion || !versionRule.MatchString(text) || strings.Contains(text, ".."):
		return errkind.Usagef("%q cannot be a version: begin with a digit, and use letters, digits and "+
			"'.', '_', '+', '~', '^'", text)
	}
	return nil
}

// Stable reports whether a version is none of those that come before a release.
func Stable(version string) bool {
	return !strings.Contains(version, "~") && !unstable.MatchString(version)
}

// isDate reports whether a version is made of a date, as 20240117 or 2024.1.
func isDate(version string) bool { return date.MatchString(version) }

// Newest returns the newest of versions, as rpm orders them, for a package that has current: no
// pre-release unless current is one, and none of another scheme, where one side has dates. It is
// empty if there is none.
func Newest(current string, versions []string) string {
	newest := ""
	for _, v := range versions {
		if !Stable(v) && Stable(current) || isDate(v) != isDate(current) {
			continue
		}
		if newest == "" || rpm.Compare(v, newest) > 0 {
			newest = v
		}
	}
	return newest
}

// form is one way in which names have a version: "1.2.3", "1_2_3", "1.2" for a directory.
type form struct {
	old, new string
	segment  bool // only as a whole part of a path
}

// forms returns how names that have the version old have new instead; those of whole versions
// first.
func forms(old, new string) []form {
	all := []form{{old: old, new: new}}
	for _, by := range []string{"_", "-"} {
		all = append(all, form{old: strings.ReplaceAll(old, ".", by),
			new: strings.ReplaceAll(new, ".", by)})
	}
	was, is := strings.Split(old, "."), strings.Split(new, ".")
	for n := len(was) - 1; n > 0; n-- {
		if len(is) < n {
			continue
		}
		before, after := strings.Join(was[:n], "."), strings.Join(is[:n], ".")
		all = append(all, form{before, after, true}, form{before + ".x", after + ".x", true})
	}
	var kept []form
	for _, f := range all {
		if !slices.ContainsFunc(kept, func(k form) bool { return k.old == f.old }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// rewrite returns text with the versions in it changed.
func rewrite(text string, all []form) string {
	for _, f := range all {
		text = f.apply(text)
	}
	return text
}

// whole are the forms of whole versions.
func whole(all []form) []form {
	return slices.DeleteFunc(slices.Clone(all), func(f form) bool { return f.segment })
}

func (f form) apply(text string) string {
	if f.old == f.new {
		return text
	}
	if f.segment {
		parts := strings.Split(text, "/")
		for i, part := range parts[:len(parts)-1] { // the last one is a file's name
			if strings.TrimPrefix(part, "v") == f.old {
				parts[i] = strings.TrimSuffix(part, f.old) + f.new
			}
		}
		return strings.Join(parts, "/")
	}
	var out strings.Builder
	for at := 0; ; {
		n := strings.Index(text[at:], f.old)
		if n < 0 {
			out.WriteString(text[at:])
			return out.String()
		}
		from, to := at+n, at+n+len(f.old)
		out.WriteString(text[at:from])
		if alone(text, from, to) {
			out.WriteString(f.new)
		} else {
			out.WriteString(f.old)
		}
		at = to
	}
}

// alone reports whether text[from:to] is a version and not a part of another one.
func alone(text string, from, to int) bool {
	digit := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= '0' && text[i] <= '9' }
	joins := func(i int) bool {
		return i >= 0 && i < len(text) && strings.IndexByte("._", text[i]) >= 0
	}
	letter := func(i int) bool {
		return i >= 0 && i < len(text) && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z')
	}
	return !digit(from-1) && !(joins(from-1) && digit(from-2)) &&
		!digit(to) && !letter(to) && !(joins(to) && digit(to+1))
}

// has reports whether text has the version, alone.
func has(text, version string) bool {
	return form{old: version, new: version + "\x00"}.apply(text) != text
}

// beyondHost splits a URL before its path.
func beyondHost(url string) (host, rest string) {
	at := strings.Index(url, "://")
	if at < 0 {
		return "", url
	}
	if n := strings.IndexByte(url[at+3:], '/'); n >= 0 {
		return url[:at+3+n], url[at+3+n:]
	}
	return url, ""
}

// rewriteURL changes the versions in what follows the host of a URL.
func rewriteURL(url string, all []form) string {
	host, rest := beyondHost(url)
	return host + rewrite(rest, all)
}

// lineList names lines: "line 3", "lines 3 and 5".
func lineList(lines []int) string {
	lines = slices.Compact(slices.Sorted(slices.Values(lines)))
	if len(lines) == 1 {
		return fmt.Sprintf("line %d", lines[0])
	}
	var words []string
	for _, n := range lines {
		words = append(words, fmt.Sprint(n))
	}
	last := len(words) - 1
	return "lines " + strings.Join(words[:last], ", ") + " and " + words[last]
}
