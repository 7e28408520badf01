// licences: whether what a package says of its licences is what a tree allows. The text is of the
// package, and the time that it takes grows with its length alone.

package build

import (
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp"
)

// maxLicence bounds an expression of licences.
const maxLicence = 8 << 10

// refuses returns why a licence is not allowed, or "". Of alternatives one is enough.
func (p *licencePolicy) refuses(text string) string {
	if len(text) > maxLicence {
		return "it is too long: say what it is below [packages]"
	}
	if ok, _ := spdxexp.ValidateLicenses([]string{text}); !ok || text == "" {
		return "it is no SPDX expression: say what it is below [packages]"
	}
	words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text))
	if e := (expression{words: words, leaf: p.allows}); !e.either() || len(e.words) > 0 {
		return "it is not among those that are allowed, or is denied"
	}
	return ""
}

// allows reports whether one licence, perhaps WITH an exception, is allowed and not denied. An
// identifier stands for itself and for its older names. What may be taken in later versions is
// allowed if one of these is.
func (p *licencePolicy) allows(id string) bool {
	bare, _, _ := strings.Cut(id, " ")
	if strings.HasPrefix(bare, "DocumentRef-") { // of which document makes no difference
		_, bare, _ = strings.Cut(bare, ":")
	}
	if slices.ContainsFunc(p.Deny, func(no string) bool {
		// What denies a licence denies it with any exception, and with the choice of later versions.
		return isOf(oldest(bare), no) || isOf(oldest(id), no) || strings.EqualFold(bare, no)
	}) {
		return false
	}
	return len(p.Allow) == 0 || slices.ContainsFunc(p.Allow, func(yes string) bool {
		// One who allows later versions as well has a choice that a licence of one version leaves none.
		return (oldest(id) != id || oldest(yes) == yes) && isOf(id, oldest(yes))
	})
}

// isOf reports whether a licence is another one, or a version of it.
func isOf(id, other string) bool {
	ok, err := spdxexp.Satisfies(id, []string{other})
	return err == nil && ok
}

// oldest returns a licence without the choice of later versions.
func oldest(id string) string {
	name, exception, with := strings.Cut(id, " ")
	name = strings.TrimSuffix(name, "+")
	if n := len(name) - len("-or-later"); n > 0 && strings.EqualFold(name[n:], "-or-later") {
		name = name[:n] + "-only"
	}
	if with {
		name += " " + exception
	}
	return name
}

// expression is one of SPDX that is well-formed, word by word. To write it out as alternatives, as
// libraries do, takes 2 ** n of them for n choices.
type expression struct {
	words []string
	leaf  func(string) bool
}

// next takes a word if it is the next one.
func (e *expression) next(word string) bool {
	ok := len(e.words) > 0 && e.words[0] == word
	if ok {
		e.words = e.words[1:]
	}
	return ok
}

func (e *expression) either() bool {
	ok := e.both()
	for e.next("OR") {
		ok = e.both() || ok
	}
	return ok
}

func (e *expression) both() bool {
	ok := e.one()
	for e.next("AND") {
		ok = e.one() && ok
	}
	return ok
}

func (e *expression) one() bool {
	if e.next("(") {
		ok := e.either()
		return e.next(")") && ok
	}
	if len(e.words) == 0 {
		return false
	}
	id := e.words[0]
	if e.words = e.words[1:]; e.next("WITH") && len(e.words) > 0 {
		id += " WITH " + e.words[0]
		e.words = e.words[1:]
	}
	return e.leaf(id)
}
