// spec: where a spec says which version it is, and which of its lines follow from that.

package upstream

import (
	"regexp"
	"slices"
	"strings"
)

// definition is a value that a spec gives a name: a macro, or a tag such as Version.
type definition struct {
	name        string
	value       string // as written
	line        int    // 1-based
	conditional bool   // inside %if
}

// specText is a spec as lines, with what it defines before its first section.
type specText struct {
	lines   []string // each with its end
	defs    map[string][]definition
	sources []definition // Source and Patch tags
	release int          // index of the Release line; -1 without one
	setups  []int        // indexes of lines that unpack sources
	dead    map[int]bool // indexes of comments and of the change log

	values map[string]string       // of macros that were expanded
	left   int                     // bytes that macros may still be expanded to
	byFile map[string][]definition // sources by the names of their files; nil until one is asked for
}

var (
	macroLine   = regexp.MustCompile(`^%(?:global|define)\s+([A-Za-z_][A-Za-z0-9_]*)\s+(.*)$`)
	tagLine     = regexp.MustCompile(`^(?i:(Name|Version|Epoch|Release|(?:Source|Patch)\d*))\s*:\s*(.*)$`)
	sectionLine = regexp.MustCompile(`^%(prep|build|install|check|clean|files|description|package|` +
		`changelog|conf|generate_buildrequires|pre|post|preun|postun|pretrans|posttrans)\b`)
	setupLine = regexp.MustCompile(`^%(auto|forge|go)?setup\b`)
	reference = regexp.MustCompile(`%(?:\{\??([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))`)
	number    = regexp.MustCompile(`(?s)^(\s*(?i:Release)\s*:\s*)([0-9]+)(.*)$`)
	commit    = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

const (
	// maxDepth bounds macros within macros.
	maxDepth = 16
	// maxValue bounds what a text is expanded to, and maxValues that of all macros together, each of
	// which is expanded once.
	maxValue  = 64 << 10
	maxValues = 16 << 20
	// maxSame is how often a spec may define a name: some do it for each architecture.
	maxSame = 100
)

func parseSpec(text string) *specText {
	s := &specText{defs: map[string][]definition{}, release: -1, dead: map[int]bool{},
		values: map[string]string{}, left: maxValues}
	section, depth := "", 0
	for l := range strings.Lines(text) {
		i := len(s.lines)
		s.lines = append(s.lines, l)
		line := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(line, "#"), section == "changelog" && !sectionLine.MatchString(line):
			s.dead[i] = true
			continue
		case strings.HasPrefix(line, "%if"):
			depth++
		case strings.HasPrefix(line, "%endif"):
			depth = max(0, depth-1)
		case sectionLine.MatchString(line):
			section = sectionLine.FindStringSubmatch(line)[1]
			s.dead[i] = section == "changelog"
		case setupLine.MatchString(line):
			s.setups = append(s.setups, i)
		}
		if m := macroLine.FindStringSubmatch(line); m != nil {
			s.define(definition{m[1], strings.TrimSpace(m[2]), i + 1, depth > 0})
		}
		if m := tagLine.FindStringSubmatch(line); m != nil && section == "" {
			s.tag(definition{strings.ToLower(m[1]), strings.TrimSpace(m[2]), i + 1, depth > 0})
		}
	}
	return s
}

func (s *specText) define(d definition) { s.defs[d.name] = append(s.defs[d.name], d) }

func (s *specText) tag(d definition) {
	switch {
	case strings.HasPrefix(d.name, "source"), strings.HasPrefix(d.name, "patch"):
		s.sources = append(s.sources, d)
	case d.name == "release":
		s.release = d.line - 1
	default:
		s.define(d)
	}
}

// unknown stands in expanded text for what could not be expanded.
const unknown = "\uFFFD"

// expand returns a text with the macros that the spec defines once.
func (s *specText) expand(text string, depth int) string {
	if depth > maxDepth || len(text) > maxValue {
		return unknown
	}
	left := maxValue
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		value := unknown
		if left > 0 {
			value = s.value(referred(found), depth)
		}
		if left -= len(value); left < 0 {
			return unknown
		}
		return value
	})
}

// value returns what a macro is expanded to.
func (s *specText) value(name string, depth int) string {
	value, known := s.values[name]
	if d := s.defs[name]; !known && len(d) == 1 && s.left > 0 {
		s.values[name] = unknown // within itself
		value = s.expand(d[0].value, depth+1)
		s.left -= len(value)
		s.values[name], known = value, true
	}
	if !known {
		return unknown
	}
	return value
}

func referred(found string) string {
	m := reference.FindStringSubmatch(found)
	return m[1] + m[2]
}

// origin follows a definition that is nothing but the name of another one to the one with the
// value.
func (s *specText) origin(d definition) (definition, []definition) {
	for range maxDepth {
		m := reference.FindString(d.value)
		if m == "" || m != d.value {
			return d, nil
		}
		next := s.defs[referred(m)]
		if len(next) != 1 {
			return d, next
		}
		d = next[0]
	}
	return d, nil
}

// used returns the definitions with values that a text names, by other ones or directly.
func (s *specText) used(text string) (found []definition) {
	for _, m := range reference.FindAllString(text, maxDepth) {
		for _, d := range s.defs[referred(m)] {
			d, _ = s.origin(d)
			if !slices.Contains(found, d) {
				found = append(found, d)
			}
		}
	}
	return found
}

// tooOften returns a name that is defined more than maxSame times, or "".
func (s *specText) tooOften() string {
	for name, defs := range s.defs {
		if len(defs) > maxSame {
			return name
		}
	}
	return ""
}

// sourceOf returns the tags whose file has a name.
func (s *specText) sourceOf(name string) []definition {
	if s.byFile == nil {
		s.byFile = map[string][]definition{}
		for _, d := range s.sources {
			full := s.expand(d.value, 0)
			file := full[strings.LastIndexByte(full, '/')+1:]
			s.byFile[file] = append(s.byFile[file], d)
		}
	}
	return s.byFile[name]
}

// set replaces the value of a definition in its line.
func (s *specText) set(d definition, value string) {
	l := s.lines[d.line-1]
	at := strings.LastIndex(strings.TrimRight(l, " \t\r\n"), d.value)
	s.lines[d.line-1] = l[:at] + value + l[at+len(d.value):]
}

func (s *specText) text() string { return strings.Join(s.lines, "") }
