// depend: what a package says of others: the fields Depends, Provides and their like.

package debian

import (
	"fmt"
	"strings"
)

// relation is one package in such a field: "libc6:any (>= 2.38)".
type relation struct {
	name    string
	arch    string // after the colon
	op      string // "<<", "<=", "=", ">=", ">>"; "" for any version
	version string
}

// clause is alternatives, one of which is enough.
type clause []relation

// parseClauses reads a field: clauses separated by commas, of relations separated by bars.
func parseClauses(field string) (all []clause, err error) {
	for text := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		var c clause
		for one := range strings.SplitSeq(text, "|") {
			r, ok := parseRelation(strings.TrimSpace(one))
			if !ok {
				return nil, fmt.Errorf("%q is not as Debian has it", strings.TrimSpace(one))
			}
			c = append(c, r)
		}
		all = append(all, c)
	}
	return all, nil
}

func parseRelation(text string) (r relation, ok bool) {
	text, version, versioned := strings.Cut(text, "(")
	r.name, r.arch, _ = strings.Cut(strings.TrimSpace(text), ":")
	if versioned {
		version, ok = strings.CutSuffix(strings.TrimSpace(version), ")")
		if !ok {
			return r, false
		}
		n := 0
		for n < len(version) && strings.IndexByte("<=>", version[n]) >= 0 {
			n++
		}
		r.op, r.version = version[:n], strings.TrimSpace(version[n:])
		switch r.op {
		case "<":
			r.op = "<="
		case ">":
			r.op = ">="
		case "<<", "<=", "=", ">=", ">>":
		default:
			return r, false
		}
		if !validVersion(r.version) {
			return r, false
		}
	}
	return r, validName(r.name) && (r.arch == "" || validArch(r.arch))
}

// allows reports whether a version is one of those that the relation names.
func (r relation) allows(version string) bool {
	c := Compare(version, r.version)
	switch r.op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return true
}

// String returns the relation as a field has it.
func (r relation) String() string {
	text := r.name
	if r.arch != "" {
		text += ":" + r.arch
	}
	if r.op != "" {
		text += " (" + r.op + " " + r.version + ")"
	}
	return text
}

// String returns the clause as a field has it.
func (c clause) String() string {
	var all []string
	for _, r := range c {
		all = append(all, r.String())
	}
	return strings.Join(all, " | ")
}

// maxName bounds names, versions and architectures; Debian's longest has some 90 bytes.
const maxName = 256

// validName reports whether a package may have a name. It becomes a part of paths and messages.
func validName(s string) bool {
	return len(s) > 1 && plain(s, "+-.") && (digit(s[0]) || s[0] >= 'a' && s[0] <= 'z')
}

func validArch(s string) bool { return s != "" && plain(s, "-") }

func validVersion(s string) bool { return s != "" && plain(s, "+-.:~") && digit(s[0]) }

// plain reports whether s has only letters, digits and some other characters.
func plain(s, others string) bool {
	return len(s) <= maxName && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune(others, r)
	}) < 0
}
