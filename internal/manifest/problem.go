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

// Problem is one mistake at one place.
type Problem struct {
	File string // slash path relative to the root of the tree
	Line int    // 1-based; 0 when the file as a whole is meant
	Msg  string // what is wrong
	Hint string // what to do about it; may be empty
	// Warning says that the tree can be worked with as it is.
	Warning bool
}

// String is the problem on one line: file:line: what is wrong; what to do.
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

// printable escapes what a terminal might obey: names and values come from trees that nobody has
// looked at yet.
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

// Problems is a list of mistakes, and as an error all of them, one on each line.
type Problems []Problem

// Error lists the problems in the order they have; Sort first.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ErrorKind returns errkind.Usage.
func (Problems) ErrorKind() errkind.Kind { return errkind.Usage }

// Err returns the sorted problems as an error, without the warnings, or nil when there are no
// others.
func (ps Problems) Err() error {
	if errs, _ := ps.Split(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Split returns the problems that nobody can go on with, and the warnings, both sorted.
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

// Sorted returns the problems by file, line and text, each once.
func (ps Problems) Sorted() Problems {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Msg, b.Msg))
	})
	return slices.Compact(out)
}

func (ps *Problems) add(file string, line int, hint, format string, args ...any) {
	*ps = append(*ps, Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}
