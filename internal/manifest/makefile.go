// makefile: the [env] table of Makefile.toml, the settings of a tree that is also driven by
// cargo-make.

package manifest

import (
	"cmp"
	"strconv"
	"strings"
)

// ParseMakefile returns the plain values of [env], in which ${VAR} and ${VAR:default} are replaced
// as cargo-make does, in the order of the file. getenv is asked first and returns "" for what it
// does not have, so that the environment wins over the file. Those of the profile in use,
// [env.development] unless CARGO_MAKE_PROFILE names another, come last. Of scripts only one that is
// a single echo of plain words is followed, which is how trees put the names of images together;
// other scripts, conditions and lists are cargo-make's business and left out. So is a value that
// refers to a variable nobody has, which cargo-make would pass on literally.
func ParseMakefile(file string, data []byte, getenv func(string) string) (map[string]string,
	Problems) {
	doc, root := open(file, data, Rules{})
	if root == nil {
		return nil, doc.problems
	}
	env := root.sub("env")
	out := map[string]string{}
	if env == nil {
		return out, doc.problems.Sorted()
	}
	lookup := func(name string) (string, bool) {
		if v := getenv(name); v != "" {
			return v, true
		}
		v, ok := out[name]
		return v, ok
	}
	for _, key := range doc.keys {
		if len(key) == 2 && key[0] == "env" {
			env.setting(key[1], out, lookup)
		}
	}
	profile := cmp.Or(getenv("CARGO_MAKE_PROFILE"), "development")
	if vals, ok := env.vals[profile].(map[string]any); ok {
		of := env.child(vals, profile)
		for _, key := range doc.keys {
			if len(key) == 3 && key[0] == "env" && key[1] == profile {
				of.setting(key[2], out, lookup)
			}
		}
	}
	return out, doc.problems.Sorted()
}

// setting adds one variable to out, if its value can be known.
func (t *table) setting(name string, out map[string]string, lookup func(string) (string, bool)) {
	switch v := t.vals[name].(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			t.fault(name, "", "%s%s holds a NUL byte", quote(name), t.in())
		} else if expanded, ok := expand(v, lookup); ok {
			out[name] = expanded
		}
	case bool:
		out[name] = strconv.FormatBool(v)
	case int64:
		out[name] = strconv.FormatInt(v, 10)
	case float64:
		out[name] = strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any:
		if expanded, ok := expand(echoed(v), lookup); ok && expanded != "" {
			out[name] = expanded
		}
	}
}

// echoRule is an echo of words in which nothing but ${VAR} means anything to a shell.
var echoRule = rule(`echo ((?:[A-Za-z0-9._/:@+=-]|\$\{[A-Za-z0-9_]+\})+)\n?`)

// echoed returns what the script of a value prints, if that is a single echo of one word, and else
// "".
func echoed(value map[string]any) string {
	script, _ := value["script"].([]any)
	if len(script) != 1 || len(value) != 1 {
		return ""
	}
	text, _ := script[0].(string)
	if found := echoRule.FindStringSubmatch(text); found != nil && len(text) < 1024 {
		return found[1]
	}
	return ""
}

// expand replaces ${VAR} and ${VAR:default}; ok is false when a variable is unknown and has no
// default.
func expand(s string, lookup func(string) (string, bool)) (expanded string, ok bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		reference, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("${" + rest)
			return b.String(), true
		}
		name, fallback, hasFallback := strings.Cut(reference, ":")
		v, known := lookup(name)
		if !known && !hasFallback {
			return "", false
		}
		if !known {
			v = fallback
		}
		b.WriteString(v)
		s = after
	}
}
