package safetoml

import (
	"errors"
	"strings"
	"testing"
)

// TestDepth: without a bound, the decoder takes gigabytes for each of these that is too deep.
func TestDepth(t *testing.T) {
	const many = 300_000
	for what, text := range map[string]string{
		"arrays":        "a = " + strings.Repeat("[", many) + strings.Repeat("]", many),
		"inline tables": "a = " + strings.Repeat("{a=", many) + "1" + strings.Repeat("}", many),
		"without end":   "a = " + strings.Repeat("{a=", many),
		"dotted key":    strings.Repeat("a.", many) + "a = 1",
		"spaces":        strings.Repeat("a . ", many) + "a = 1",
		"header":        "[" + strings.Repeat("a.", many) + "a]",
		"quoted":        strings.Repeat(`"a".'b'.`, many) + "a = 1",
		"after a string": `a = """x""""` + "\nb = '''x'''\nc = \"\\\"\"\nd = '\\'\ne = " +
			strings.Repeat("{a=", many),
	} {
		var v map[string]any
		if _, err := Decode(text, &v); !errors.Is(err, ErrTooDeep) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNotDeep(t *testing.T) {
	brackets := strings.Repeat("[{.", 100)
	for _, text := range []string{
		"a = \"" + brackets + "\\\"" + brackets + "\"",
		"a = '" + brackets + "\\'",
		"a = \"\"\"\n" + brackets + "\\\"\"\"\"\" # " + brackets,
		"a = '''" + brackets + "'''''\nb = 1",
		"# " + brackets + "\na = 1.5",
		"a1 = 1.5\n" + strings.Repeat("[[x.y.z]]\nb = [1.5, {c.d = 1}]\n", 100),
		"a = [" + strings.Repeat("1.5, 2.5,\n", 100) + "]",
	} {
		var v map[string]any
		if _, err := Decode(text, &v); err != nil {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// FuzzDecode: what the decoder takes is refused only if it is really deep.
func FuzzDecode(f *testing.F) {
	f.Add("a = [[{b.c = '''x'''''}]] # x\n[d.\"e\"]\nf = \"\\\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<10 || !tooDeep(text) {
			return
		}
		if strings.Count(text, "[")+strings.Count(text, "{")+strings.Count(text, ".") <= MaxDepth {
			t.Errorf("%q is too deep", text)
		}
	})
}
