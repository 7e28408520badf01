package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const tricky = `# a comment = "not a key"
[package]            # line 2
name = "x"
"quo ted" = 1        # 4
'li.teral' = 2
a.b.c = 3            # 6
"esc\u0061ped" = 4

[[list]]             # 9
one = """
[not.a.table]
key = "no"
\""" ""
"""                  # 14
two = [ 1, # [no]
  "two ]", 'three #',
  { four = 4, "fi.ve" = [
    5 ] },
]                    # 19

[list.sub]
deep = '''
x = 1''''            # 23
after = 1979-05-27 07:32:00Z

[[list]]             # 26
one = 1
  [[list.inner]]     # 28
  z = {a.b = 1, c = {}}
  [[list.inner]]     # 30
  z = ""
`

func TestLines(t *testing.T) {
	index, _, err := indexLines(tricky)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"package": 2, "package name": 3, "package quo_ted": 4, "package li.teral": 5, "package a": 6,
		"package a b c":   6,
		"package escaped": 7, "list": 9, "list #0": 9, "list #0 one": 10, "list #0 two": 15,
		"list #0 two #0": 15,
		"list #0 two #1": 16, "list #0 two #2": 16, "list #0 two #3": 17, "list #0 two #3 four": 17,
		"list #0 two #3 fi.ve": 17, "list #0 two #3 fi.ve #0": 18, "list #0 sub": 21,
		"list #0 sub deep":  22,
		"list #0 sub after": 24, "list #1": 26, "list #1 one": 27, "list #1 inner": 28,
		"list #1 inner #0 z a b": 29,
		"list #1 inner #0 z c":   29, "list #1 inner #1 z": 31,
	} {
		keys := strings.Fields(path)
		for i := range keys {
			keys[i] = strings.ReplaceAll(keys[i], "_", " ")
		}
		if got := index[pathKey(keys)]; got != want {
			t.Errorf("%s is on line %d, want %d", path, got, want)
		}
	}
	if got := index.line("list", "#1", "nowhere"); got != 26 {
		t.Errorf("an unknown key is placed on line %d, want its table's, 26", got)
	}
}

func TestLinesTooDeep(t *testing.T) {
	for _, text := range []string{
		"\n\na = " + strings.Repeat("[", 100000),
		"\n\na = " + strings.Repeat("{a=", 100000),
		"\n\n" + strings.Repeat("a.", 100000) + "a = 1",
		"\n\n[" + strings.Repeat("a.", 100000) + "a]",
	} {
		if _, line, err := indexLines(text); err == nil || line != 3 {
			t.Errorf("%.20q…: line %d, %v; want an error on line 3", text, line, err)
		}
	}
}

// FuzzLines compares the index with what the decoder found in the same text: every key has a line,
// the line shows the key, and lines inserted in front shift all of them.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{tricky, strings.ReplaceAll(tricky, "\n", "\r\n"), "", "a", "a=[",
		"[[", "\"", "a={b=1,\n#c\n}", "\ufeffa=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		index, _, err := indexLines(text) // must not panic or hang, whatever the text is
		tree := map[string]any{}
		if _, bad := toml.Decode(text, &tree); err != nil || bad != nil ||
			strings.Contains(text, `\u0000`) {
			return
		}
		shifted, _, _ := indexLines("#\n\n" + strings.TrimPrefix(text, "\ufeff"))
		lines := strings.Split(text, "\n")
		each(nil, tree, func(path []string) {
			line := index[pathKey(path)]
			if line < 1 || line > len(lines) {
				t.Fatalf("%q is on line %d of %d", path, line, len(lines))
			}
			key := path[len(path)-1]
			if bare.MatchString(key) && !strings.Contains(lines[line-1], key) &&
				!strings.Contains(lines[line-1], `\`) {
				t.Errorf("%q is not on line %d: %q", path, line, lines[line-1])
			}
			if moved := shifted[pathKey(path)]; moved != line+2 {
				t.Errorf("%q moved from line %d to %d, not by 2", path, line, moved)
			}
		})
	})
}

var bare = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// each calls visit with the path of every key and element.
func each(path []string, value any, visit func(path []string)) {
	below := func(name string, v any) {
		at := append(path[:len(path):len(path)], name)
		visit(at)
		each(at, v, visit)
	}
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			below(key, child)
		}
	case []map[string]any:
		for i, child := range v {
			below("#"+strconv.Itoa(i), child)
		}
	case []any:
		for i, child := range v {
			below("#"+strconv.Itoa(i), child)
		}
	}
}

func ExampleProblem() {
	fmt.Println(Problem{File: "packages/foo/Cargo.toml", Line: 12, Msg: "unknown key \"a\x1b[2Jb\"",
		Hint: `did you mean "ab"?`})
	// Output: packages/foo/Cargo.toml:12: unknown key "a\x1b[2Jb"; did you mean "ab"?
}
