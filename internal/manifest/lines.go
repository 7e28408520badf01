// lines: the line of a TOML file that each key is on. The decoder checks the file but keeps no
// positions.

package manifest

import (
	"strconv"
	"strings"

	"buildsys/internal/safetoml"
)

// maxDepth bounds the nesting of values, tables and dotted keys.
const maxDepth = safetoml.MaxDepth

var errTooDeep = safetoml.ErrTooDeep

// lineIndex maps the path of a key or an array element to the line where it first appears. The
// parts of a path are keys, and "#0", "#1" and so on for elements of an array.
type lineIndex map[string]int

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// line returns the line of the path or of its nearest known parent, or 1 if nothing is known.
func (x lineIndex) line(path ...string) int {
	for n := len(path); n > 0; n-- {
		if line := x[pathKey(path[:n])]; line > 0 {
			return line
		}
	}
	return 1
}

func (x lineIndex) note(path []string, line int) {
	key := pathKey(path)
	if x[key] == 0 {
		x[key] = line
	}
}

// scanner walks over TOML text, whether the decoder accepts it or not. It need not find mistakes,
// but must neither loop nor run past the end, and must be right about every valid file.
type scanner struct {
	text  string
	pos   int
	line  int
	index lineIndex
	sizes map[string]int // elements seen so far of each [[array of tables]]
	deep  bool
}

// indexLines returns the lines of all keys. The error is errTooDeep, with the line where it
// occurred.
func indexLines(text string) (lineIndex, int, error) {
	s := &scanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, index: lineIndex{},
		sizes: map[string]int{}}
	var table []string
	for s.skipSpace(true); s.pos < len(s.text); s.skipSpace(true) {
		start := s.pos
		if s.peek() == '[' {
			table = s.header()
		} else {
			s.keyValue(table, 0)
		}
		if s.deep {
			return s.index, s.line, errTooDeep
		}
		if s.pos == start { // stray character: the decoder will refuse it
			s.pos++
		}
	}
	return s.index, 0, nil
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.text[s.pos:], prefix) }

// skipSpace skips blanks, and with lines set also newlines and comments.
func (s *scanner) skipSpace(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case lines && (c == '\n' || c == '\r'):
			if c == '\n' {
				s.line++
			}
			s.pos++
		case lines && c == '#':
			s.skipTo("\n")
		default:
			return
		}
	}
}

// skipTo moves to the next of the given characters, or to the end.
func (s *scanner) skipTo(chars string) {
	if n := strings.IndexAny(s.text[s.pos:], chars); n >= 0 {
		s.pos += n
	} else {
		s.pos = len(s.text)
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens.
func (s *scanner) header() []string {
	line, array := s.line, s.has("[[")
	s.pos++
	if array {
		s.pos++
	}
	path := s.resolve(s.dottedKey())
	if array {
		key := pathKey(path)
		s.index.note(path, line)
		path = append(path, "#"+strconv.Itoa(s.sizes[key]))
		s.sizes[key]++
	}
	s.noteAll(path, line)
	for s.peek() == ']' {
		s.pos++
	}
	return path
}

// resolve inserts the index of the latest element after each name of an array of tables, except the
// last name: in [[a]] [a.b] the second header means a.#0.b.
func (s *scanner) resolve(key []string) []string {
	path := make([]string, 0, len(key)+1)
	for i, k := range key {
		path = append(path, k)
		if n := s.sizes[pathKey(path)]; n > 0 && i < len(key)-1 {
			path = append(path, "#"+strconv.Itoa(n-1))
		}
	}
	return path
}

// noteAll records the path and those of its parents that are not yet known.
func (s *scanner) noteAll(path []string, line int) {
	for n := 1; n <= len(path); n++ {
		s.index.note(path[:n], line)
	}
}

// keyValue reads a.b = value inside a table.
func (s *scanner) keyValue(table []string, depth int) {
	line := s.line
	key := s.dottedKey()
	if len(key) == 0 {
		return
	}
	path := append(append(make([]string, 0, len(table)+len(key)), table...), key...)
	s.noteAll(path, line)
	s.skipSpace(false)
	if s.peek() != '=' {
		return
	}
	s.pos++
	s.value(path, depth)
}

func (s *scanner) dottedKey() []string {
	var key []string
	for len(key) <= maxDepth {
		s.skipSpace(false)
		part, ok := s.keyPart()
		if !ok {
			return key
		}
		key = append(key, part)
		s.skipSpace(false)
		if s.peek() != '.' {
			return key
		}
		s.pos++
	}
	s.deep = true
	return key
}

func (s *scanner) keyPart() (string, bool) {
	if c := s.peek(); c == '"' || c == '\'' {
		return s.quoted(), true
	}
	start := s.pos
	s.skipTo(" \t\r\n.=]},#\"'[{")
	return s.text[start:s.pos], s.pos > start
}

// quoted reads a string of any of TOML's four kinds and returns its value as a key.
func (s *scanner) quoted() string {
	quote := s.text[s.pos : s.pos+1]
	escapes := quote == `"`
	if triple := strings.Repeat(quote, 3); s.has(triple) {
		s.pos += 3
		s.skipString(triple, escapes)
		for s.peek() == quote[0] { // up to two quotes may stand right before the closing three
			s.pos++
		}
		return ""
	}
	start := s.pos
	s.pos++
	s.skipString(quote, escapes)
	return unquote(s.text[start:s.pos])
}

// unquote returns the value of a one-line string. TOML's escapes differ from Go's, so the decoder
// expands them.
func unquote(raw string) string {
	if strings.ContainsRune(raw, '\\') {
		var v struct{ Key string }
		if _, err := safetoml.Decode("Key = "+raw, &v); err == nil {
			return v.Key
		}
	}
	return strings.Trim(raw, raw[:1])
}

// skipString moves past the closing quote. A one-line string also ends at the end of its line.
func (s *scanner) skipString(quote string, escapes bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case s.has(quote):
			s.pos += len(quote)
			return
		case c == '\n' && len(quote) == 1:
			return
		case c == '\n':
			s.line++
		case c == '\\' && escapes && s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n':
			s.pos++
		}
		s.pos++
	}
}

func (s *scanner) value(path []string, depth int) {
	if depth > maxDepth {
		s.deep = true
	}
	if s.deep {
		return
	}
	s.skipSpace(false)
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.items(path, ']', depth)
	case '{':
		s.items(path, '}', depth)
	default:
		s.skipTo(",]}#\r\n")
	}
}

// items reads the elements of an array or of an inline table up to its closing bracket.
func (s *scanner) items(path []string, closing byte, depth int) {
	s.pos++
	for n := 0; s.pos < len(s.text) && !s.deep; n++ {
		s.skipSpace(true)
		if s.peek() == closing {
			s.pos++
			return
		}
		start := s.pos
		if closing == '}' {
			s.keyValue(path, depth+1)
		} else {
			element := append(path[:len(path):len(path)], "#"+strconv.Itoa(n))
			s.index.note(element, s.line)
			s.value(element, depth+1)
		}
		s.skipSpace(true)
		if s.peek() == ',' {
			s.pos++
		} else if s.pos == start {
			return // no progress: the decoder will refuse it
		}
	}
}
