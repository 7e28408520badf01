// macros: expands RPM macros as far as possible without rpm. A macro may have several values,
// because both branches of an %if count. What cannot be expanded is marked, never guessed.

package lint

import (
	"slices"
	"strings"
)

const (
	// unknown stands in expanded text for what could not be expanded. No name contains it, so words
	// with it are recognized and left alone.
	unknown = "\uFFFD"

	maxValues = 16      // alternatives of one text; with more it is unknown
	maxDepth  = 16      // macros within macros
	maxLength = 8 << 10 // bytes of an expanded text
	// maxSteps bounds macros and joined texts for one line: a few macros that contain each other
	// many times would never end.
	maxSteps = 2000
)

// macros maps the names of macros to their possible values.
type macros map[string]macro

type macro struct {
	values []string
	maybe  bool // it may also be undefined
}

// define sets a macro; inside an %if it adds a value to the existing ones.
func (m macros) define(name, value string, conditional bool) {
	if !conditional {
		m[name] = macro{values: []string{value}}
		return
	}
	old, known := m[name]
	// With one more than maxValues it is unknown.
	if len(old.values) <= maxValues && !slices.Contains(old.values, value) {
		old.values = append(slices.Clip(old.values), value)
	}
	old.maybe = old.maybe || !known
	m[name] = old
}

// read adds the definitions of a macro file: lines "%name value", which a backslash continues. It
// leaves out macros with parameters.
func (m macros) read(text string) {
	for _, line := range logicalLines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line.text), "%")
		if !ok {
			continue
		}
		if name, value := cutSpace(rest); isName(name) {
			m.define(name, value, false)
		}
	}
}

// expand returns all texts that s may expand to, at least one. Parts that cannot be expanded are
// unknown.
func (m macros) expand(s string) []string {
	texts, _ := m.expandCounting(s)
	return texts
}

// expandCounting is expand that also returns the work that it was.
func (m macros) expandCounting(s string) (texts []string, units int) {
	e := expander{macros: m}
	texts = e.text(s, 0)
	return texts, e.units + e.steps + len(s)/32 + 1
}

// expander expands one text.
type expander struct {
	macros macros
	steps  int
	units  int // of work besides the steps
}

func (x *expander) text(s string, depth int) []string {
	if depth > maxDepth || len(s) > maxLength || x.steps > maxSteps {
		return []string{unknown}
	}
	texts := []string{""}
	for s != "" {
		at := strings.IndexByte(s, '%')
		if at < 0 {
			return x.appendAll(texts, []string{s})
		}
		texts = x.appendAll(texts, []string{s[:at]})
		var values []string
		values, s = x.one(s[at+1:], depth)
		texts = x.appendAll(texts, values)
	}
	return texts
}

// appendAll returns every text followed by every ending.
func (x *expander) appendAll(texts, endings []string) []string {
	if len(endings) == 1 && endings[0] == "" {
		return texts
	}
	var out []string
	for _, t := range texts {
		for _, e := range endings {
			if x.steps++; len(t)+len(e) > maxLength || x.steps > maxSteps {
				return []string{unknown}
			}
			x.units += len(out) + (len(t)+len(e))/32
			if both := t + e; !slices.Contains(out, both) {
				out = append(out, both)
			}
			if len(out) > maxValues {
				return []string{unknown}
			}
		}
	}
	return out
}

// one expands the macro at the start of s, after its percent sign, and returns the rest of s.
func (x *expander) one(s string, depth int) (values []string, rest string) {
	switch {
	case s == "":
		return []string{"%"}, ""
	case s[0] == '%':
		return []string{"%"}, s[1:]
	case s[0] == '{':
		body, rest := cutBraces(s, '{', '}')
		return x.braced(body, depth), rest
	case s[0] == '(' || s[0] == '[':
		_, rest := cutBraces(s, s[0], map[byte]byte{'(': ')', '[': ']'}[s[0]])
		return []string{unknown}, rest
	}
	flags := len(s) - len(strings.TrimLeft(s, "?!"))
	end := flags
	for end < len(s) && isNameByte(s[end]) {
		end++
	}
	if end == flags {
		return []string{"%"}, s
	}
	return x.braced(s[:end], depth), s[end:]
}

// braced expands the text between braces: name, ?name, ?name:text, !?name:text. Anything else is
// unknown: shell, Lua, functions, macros with arguments.
func (x *expander) braced(body string, depth int) []string {
	name := strings.TrimLeft(body, "?!")
	flags := body[:len(body)-len(name)]
	name, text, hasText := strings.Cut(name, ":")
	// Macros of the variant are known only when one is built.
	if !isName(name) || strings.HasPrefix(name, "_cross_variant") {
		return []string{unknown}
	}
	if name == "nil" {
		return []string{""}
	}
	x.steps++
	macro, defined := x.macros[name]
	optional, negated := strings.Contains(flags, "?"), strings.Count(flags, "!")%2 == 1
	if !optional {
		if !defined || hasText || negated {
			return []string{unknown}
		}
		return x.valuesOf(macro, depth)
	}
	var values []string
	there, absent := defined, !defined || macro.maybe
	if negated {
		there, absent = absent, there
		hasText = true // %{!?name} is empty either way
	}
	if there && hasText {
		values = x.text(text, depth+1)
	} else if there {
		values = x.valuesOf(macro, depth)
	}
	if absent && !slices.Contains(values, "") {
		values = append(values, "")
	}
	return values
}

func (x *expander) valuesOf(macro macro, depth int) []string {
	var out []string
	for _, v := range macro.values {
		for _, e := range x.text(v, depth+1) {
			if !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	if len(out) > maxValues {
		return []string{unknown}
	}
	return out
}

// cutBraces cuts s after the bracket that closes its first one; if there is none, all of s is the
// body.
func cutBraces(s string, open, closing byte) (body, rest string) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case open:
			depth++
		case closing:
			if depth--; depth == 0 {
				return s[1:i], s[i+1:]
			}
		}
	}
	return s[1:], ""
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// cutSpace cuts s at its first white space.
func cutSpace(s string) (before, after string) {
	if at := strings.IndexAny(s, " \t\n"); at >= 0 {
		return s[:at], strings.TrimSpace(s[at:])
	}
	return s, ""
}

// line is a line of a file joined with its continuations.
type line struct {
	text   string
	number int // 1-based
}

// logicalLines splits text into lines; a backslash at the end of a line continues it on the next.
func logicalLines(text string) []line {
	var lines []line
	number, start := 0, 0
	var joined strings.Builder
	for physical := range strings.Lines(text) {
		number++
		physical = strings.TrimRight(physical, "\r\n")
		if joined.Len() == 0 {
			start = number
		}
		if more, continues := strings.CutSuffix(physical, `\`); continues {
			joined.WriteString(more + "\n")
			continue
		}
		joined.WriteString(physical)
		lines = append(lines, line{joined.String(), start})
		joined.Reset()
	}
	if joined.Len() > 0 {
		lines = append(lines, line{joined.String(), start})
	}
	return lines
}
