// problem: mistakes in a tree's files, collected so that a user sees all of them at once.

package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/errkind"
)

// Problem is one mistake in one place.
type Problem struct {
	File string // slash path relative to the root of the tree
	Line int    // 1-based; 0 for the file as a whole
	Msg  string // what is wrong
	Hint string // what to do about it; may be empty
	// Warning reports whether the tree can be used as it is.
	Warning bool
}

// String returns the problem on one line: file:line: what is wrong; what to do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Msg)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return printable(b.String())
}

// printable escapes characters that a terminal might obey: names and values come from untrusted
// trees.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// maxSaid is how many mistakes an error lists.
const maxSaid = 1000

// Problems is a list of mistakes. As an error it lists them, one a line, and says how many more
// there are than anybody reads.
type Problems []Problem

// Error returns the problems as they are ordered; use Sorted first.
func (ps Problems) Error() string {
	lines := make([]string, 0, min(len(ps), maxSaid+1))
	for _, p := range ps[:min(len(ps), maxSaid)] {
		lines = append(lines, p.String())
	}
	if more := len(ps) - maxSaid; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", more))
	}
	return strings.Join(lines, "\n")
}

// ErrorKind returns errkind.Usage.
func (Problems) ErrorKind() errkind.Kind { return errkind.Usage }

// Err returns the problems without the warnings, sorted, as an error, or nil if there are none.
func (ps Problems) Err() error {
	if errs, _ := ps.Split(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Split returns the errors and the warnings, both sorted.
func (ps Problems) Split() (errs, warnings Problems) {
	for _, p := range ps.Sorted() {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	return errs, warnings
}

// Sorted returns the problems by file, line and text, without duplicates.
func (ps Problems) Sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Msg, b.Msg))
	})
	return slices.Compact(out)
}

func (ps *Problems) add(file string, line int, hint, format string, args ...any) {
	*ps = append(*ps, Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}
