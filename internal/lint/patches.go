// patches: the numbers of Patch tags, and %patch lines that name others. rpm 4.20 says "error" to
// such a line and builds without the patch.

package lint

import (
	"strconv"
	"strings"
)

// patchReader collects the numbers of a spec's patches, and the lines that apply them.
type patchReader struct {
	numbers []int
	uses    []Patch
	open    bool // lines that only rpm can expand may be Patch tags
}

// tag notes a Patch tag with the digits after it, or without any, which counts on.
func (p *patchReader) tag(digits string) {
	next := 0
	if n := len(p.numbers); n > 0 {
		next = p.numbers[n-1] + 1
	}
	if number, err := strconv.Atoi(digits); err == nil {
		next = number
	}
	p.numbers = append(p.numbers, next)
}

// patchLine notes the numbers in a line such as %patch6 -p1, %patch -P6 or %patch -P 6 7.
func (r *specReader) patchLine(text string, line int) {
	rest, ok := strings.CutPrefix(text, "%patch")
	if !ok || r.section != "prep" {
		return
	}
	if rest != "" && !strings.ContainsAny(rest[:1], " \t0123456789") {
		return // %patchlist, %patches, a macro of the spec's own
	}
	words := strings.Fields(rest)
	if rest != "" && strings.ContainsAny(rest[:1], "0123456789") {
		words[0] = "-P" + words[0]
	}
	for i := 0; i < len(words); i++ {
		word := words[i]
		number, isP := strings.CutPrefix(word, "-P")
		switch {
		case isP && number == "" && i+1 < len(words):
			i++
			number = words[i]
		case isP:
		case strings.HasPrefix(word, "-"):
			if len(word) == 2 && strings.Contains("bzFpdo", word[1:]) { // its value is the next word
				i++
			}
			continue
		default:
			number = word // rpm 4.18 and later
		}
		if n, err := strconv.Atoi(number); err == nil && r.keep(1) {
			r.patches.uses = append(r.patches.uses, Patch{n, line})
		}
	}
}

// checkPatches keeps the uses of patches that do not exist.
func (r *specReader) checkPatches() {
	if r.spec.Included || r.patches.open {
		return
	}
	there := map[int]bool{}
	for _, number := range r.patches.numbers {
		there[number] = true
	}
	for _, use := range r.patches.uses {
		if !there[use.Number] {
			r.spec.Patches = append(r.spec.Patches, use)
		}
	}
}

// checkPatches reports the patches that are applied and do not exist.
func (l *linter) checkPatches(name string) {
	for _, p := range l.specs[name].Patches {
		l.find(of(CheckPatches, name), Error, l.specFile(name), p.Line,
			"add the Patch tag, or remove the line",
			"applies patch %d, but there is no Patch%d", p.Number, p.Number)
	}
}
