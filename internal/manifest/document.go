// document: one TOML file as a tree of tables, read strictly: a key that no reader asks for is
// reported as unknown.

package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"buildsys/internal/safetoml"
)

// MaxSize is the largest TOML file that is read, in bytes. Real manifests take a few KiB.
const MaxSize = 1 << 20

// document is one TOML file being read. Readers add mistakes to problems and carry on.
type document struct {
	file     string
	lines    lineIndex
	keys     []toml.Key // in the order of the file
	rules    Rules
	problems Problems
}

// table is one TOML table. Reading a key makes it known; finish reports all other keys.
type table struct {
	doc   *document
	path  []string
	vals  map[string]any
	known []string
}

// open decodes data. If the file is not TOML, the table is nil and the document has a problem.
func open(file string, data []byte, rules Rules) (*document, *table) {
	doc := &document{file: file, rules: rules}
	if msg, hint := unreadable(data); msg != "" {
		doc.problems.add(file, 0, hint, "%s", msg)
		return doc, nil
	}
	lines, at, err := indexLines(string(data))
	if err != nil {
		doc.problems.add(file, at, "", "%v", err)
		return doc, nil
	}
	doc.lines = lines
	var top any // the decoder would copy its map into one of ours
	meta, err := safetoml.Decode(string(data), &top)
	if err != nil {
		doc.syntax(err)
		return doc, nil
	}
	doc.keys = meta.Keys()
	vals, _ := top.(map[string]any)
	return doc, &table{doc: doc, vals: vals}
}

// unreadable returns why data cannot be TOML, and what to do. msg is empty if it may be.
func unreadable(data []byte) (msg, hint string) {
	head := string(data[:min(len(data), 4)])
	switch {
	case len(data) > MaxSize:
		return fmt.Sprintf("the file is larger than %d bytes", MaxSize),
			"is this really a manifest?"
	case strings.HasPrefix(head, "\xff\xfe"), strings.HasPrefix(head, "\xfe\xff"),
		strings.IndexByte(head, 0) >= 0:
		return "the file is UTF-16", "save it as UTF-8"
	case !utf8.Valid(data):
		return "the file is not UTF-8", "save it as UTF-8"
	}
	return "", ""
}

// syntax reports the mistake the TOML decoder found.
func (d *document) syntax(err error) {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		d.problems.add(d.file, 0, "", "invalid TOML: %v", err)
		return
	}
	hint := ""
	if strings.Contains(parse.Message, "already been") {
		hint = "give each key and table only once"
		if first := d.lines[pathKey(strings.Split(parse.LastKey, "."))]; first > 0 &&
			first != parse.Position.Line {
			hint = fmt.Sprintf("it first appears on line %d", first)
		}
	}
	d.problems.add(d.file, parse.Position.Line, hint, "invalid TOML: %s",
		lowerFirst(strings.TrimSuffix(parse.Message, ".")))
}

// lowerFirst makes a sentence fit behind a colon, unless it begins with an abbreviation.
func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):]
}

// name returns the table as the file writes it: "[package.metadata]", or "[[…]]" for an element of
// an array.
func (t *table) name() string {
	var parts []string
	array := false
	for _, p := range t.path {
		if array = strings.HasPrefix(p, "#"); !array {
			parts = append(parts, p)
		}
	}
	name := "[" + strings.Join(parts, ".") + "]"
	if array {
		name = "[" + name + "]"
	}
	return name
}

func (t *table) in() string {
	if len(t.path) == 0 {
		return ""
	}
	return " in " + t.name()
}

func (t *table) line(key ...string) int {
	return t.doc.lines.line(append(slices.Clone(t.path), key...)...)
}

// fault reports a problem with a key of the table, or with the table itself if key is empty.
func (t *table) fault(key, hint, format string, args ...any) {
	t.doc.problems.add(t.doc.file, t.line(key), hint, format, args...)
}

func (t *table) has(key string) bool {
	_, ok := t.vals[key]
	return ok
}

// accept makes keys known that cargo reads and buildsys does not.
func (t *table) accept(keys ...string) { t.known = append(t.known, keys...) }

// value returns the value of a key if it has type T. what names the type in the message.
func value[T any](t *table, key, what string) (v T, ok bool) {
	t.accept(key)
	raw, there := t.vals[key]
	if !there {
		return v, false
	}
	if v, ok = raw.(T); !ok {
		t.fault(key, "", "%q%s must be %s, not %s", key, t.in(), what, typeName(raw))
	}
	return v, ok
}

func (t *table) str(key string) (string, bool) { return value[string](t, key, "a string") }

func (t *table) boolean(key string) bool {
	v, _ := value[bool](t, key, "true or false")
	return v
}

// strings returns the valid elements of a list of strings, and the lines they are on. An element is
// valid if it is a string, is not a duplicate, and passes check, which may be nil.
func (t *table) strings(key string, check func(s string) (msg, hint string)) (good []string,
	lines []int) {
	list, _ := value[[]any](t, key, "a list of strings")
	known := map[string]bool{}
	for i, raw := range list {
		line := t.line(key, "#"+strconv.Itoa(i))
		msg, hint, harmless := "", "", false
		s, ok := raw.(string)
		switch {
		case !ok:
			msg = fmt.Sprintf("%q%s must be a list of strings, but element %d is %s", key, t.in(), i+1,
				typeName(raw))
		case known[s]:
			msg = fmt.Sprintf("%s appears twice in %q%s", quote(s), key, t.in())
			harmless = t.doc.rules.Lenient
		case check != nil:
			msg, hint = check(s)
		}
		if msg != "" {
			t.doc.problems.add(t.doc.file, line, hint, "%s", msg)
			t.doc.problems[len(t.doc.problems)-1].Warning = harmless
			continue
		}
		good, lines = append(good, s), append(lines, line)
		known[s] = true
	}
	return good, lines
}

// integer returns a whole number from low to high, or fallback if the key is absent or wrong.
func (t *table) integer(key string, low, high, fallback int) int {
	v, ok := value[int64](t, key, "a whole number")
	if !ok {
		return fallback
	}
	if v < int64(low) || v > int64(high) {
		t.fault(key, "", "%q%s is %d, but must be from %d to %d", key, t.in(), v, low, high)
		return fallback
	}
	return int(v)
}

// choice returns one of the words, or fallback if the key is absent or wrong.
func (t *table) choice(key, fallback string, words ...string) string {
	v, ok := t.str(key)
	if !ok {
		return fallback
	}
	if !slices.Contains(words, v) {
		t.fault(key, didYouMean(v, words), "%s is not a value of %q%s: use %s", quote(v), key,
			t.in(), orList(words))
		return fallback
	}
	return v
}

// sub returns the table under a key, or nil if there is none.
func (t *table) sub(key string) *table {
	v, ok := value[map[string]any](t, key, "a table")
	if !ok {
		return nil
	}
	return t.child(v, key)
}

func (t *table) child(vals map[string]any, path ...string) *table {
	return &table{doc: t.doc, path: append(slices.Clone(t.path), path...), vals: vals}
}

// tables returns the elements of an array of tables.
func (t *table) tables(key string) []*table {
	t.accept(key)
	raw, there := t.vals[key]
	if !there {
		return nil
	}
	var out []*table
	switch list := raw.(type) {
	case []map[string]any: // [[key]]
		for i, vals := range list {
			out = append(out, t.child(vals, key, "#"+strconv.Itoa(i)))
		}
	case []any: // key = [{…}, {…}]
		for i, element := range list {
			vals, ok := element.(map[string]any)
			if !ok {
				t.doc.problems.add(t.doc.file, t.line(key, "#"+strconv.Itoa(i)), "",
					"%q%s must be an array of tables, but element %d is %s", key, t.in(), i+1, typeName(element))
				continue
			}
			out = append(out, t.child(vals, key, "#"+strconv.Itoa(i)))
		}
	default:
		hint := ""
		if _, ok := raw.(map[string]any); ok {
			child := t.child(nil, key, "#0")
			hint = "write " + child.name() + " with two brackets"
		}
		t.fault(key, hint, "%q%s must be an array of tables, not %s", key, t.in(), typeName(raw))
	}
	return out
}

// finish reports every key that no reader asked for.
func (t *table) finish() {
	for key := range t.vals {
		if !slices.Contains(t.known, key) {
			t.unknown(key)
		}
	}
}

func (t *table) unknown(key string) {
	kind := "key"
	switch t.vals[key].(type) {
	case map[string]any, []map[string]any:
		kind = "table"
	}
	t.tolerate(key, didYouMean(key, t.known), "unknown %s %s%s", kind, quote(key), t.in())
}
