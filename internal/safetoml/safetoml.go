// Package safetoml decodes TOML of others. The decoder goes into tables and arrays as deep as they
// are, and remembers the whole way to each: a megabyte of brackets would fill the memory.
package safetoml

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// MaxDepth bounds the nesting of values, tables and dotted keys. Manifests need four levels.
const MaxDepth = 32

// ErrTooDeep is the error for a text that is nested deeper.
var ErrTooDeep = errors.New("tables, arrays or dotted keys are nested too deeply")

// Decode is toml.Decode for a text of others. Whoever reads the text bounds its size.
func Decode(text string, into any) (toml.MetaData, error) {
	if tooDeep(text) {
		return toml.MetaData{}, ErrTooDeep
	}
	return toml.Decode(text, into)
}

// tooDeep reports whether a text is nested too deeply. It is right about all that is TOML, and does
// not say whether that is so.
func tooDeep(text string) bool {
	depth, dots := 0, 0
	for len(text) > 0 {
		skip := 1
		switch text[0] {
		case '[', '{':
			depth, dots = depth+1, 0
		case ']', '}':
			depth, dots = max(0, depth-1), 0
		case '.':
			dots++
		case '=', ',', '\n':
			dots = 0
		case '#':
			skip = upTo(text, "\n")
		case '"', '\'':
			skip = quoted(text)
		}
		if depth > MaxDepth || dots > MaxDepth {
			return true
		}
		text = text[skip:]
	}
	return false
}

// upTo returns how long a text is up to one of some signs.
func upTo(text, signs string) int {
	if n := strings.IndexAny(text, signs); n >= 0 {
		return n
	}
	return len(text)
}

// quoted returns the length of the string that a text begins with, of any of TOML's four kinds. Of
// one line, it ends with the line, if not before.
func quoted(text string) int {
	quote := text[:1]
	end := quote
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(text, triple) {
		end = triple
	}
	for at := len(end); at < len(text); at++ {
		switch {
		case strings.HasPrefix(text[at:], end):
			at += len(end)
			for range 2 { // quotes may stand right before the closing ones
				if len(end) == 3 && strings.HasPrefix(text[at:], quote) {
					at++
				}
			}
			return at
		case text[at] == '\n' && len(end) == 1:
			return at
		case text[at] == '\\' && quote == `"`:
			at++
		}
	}
	return len(text)
}
