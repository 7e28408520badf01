// Package debian reads what Debian archives have: signed Release files, indexes of packages, and
// the packages. It finds out which packages others need, and in which order dpkg can install them.
// It speaks to no network; package fetch does. The libraries for these formats put no bound on what
// they read, and would replace versions of the compressors that stored results depend on.
package debian

import (
	"cmp"
	"strings"
)

// Compare orders two versions as dpkg does: by epoch, upstream's version and Debian's revision.
func Compare(a, b string) int {
	ea, ua, ra := split(a)
	eb, ub, rb := split(b)
	return cmp.Or(part(ea, eb), part(ua, ub), part(ra, rb))
}

// split returns the parts of a version; its epoch is "" for zero.
func split(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = e, rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// part compares one part: in turn what is not digits, as text in dpkg's order, and digits, as
// numbers of any length.
func part(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if c := weight(a) - weight(b); c != 0 {
				return c
			}
			a, b = a[1:], b[1:] // a "" weighs what a digit does, so both have a character
		}
		na, nb := digits(a), digits(b)
		da, db := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
		if c := cmp.Or(len(da)-len(db), strings.Compare(da, db)); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

// weight orders first characters: a tilde is before the end, then letters, then all others.
func weight(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z':
		return int(s[0])
	}
	return int(s[0]) + 256
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string) int {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return n
}
