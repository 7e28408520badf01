// makefile: the [env] table of Makefile.toml, the settings of a tree that cargo-make drives as
// well.

package manifest

import (
	"cmp"
	"strconv"
	"strings"
)

// ParseMakefile returns the plain values of [env], in the order of the file, with ${VAR} and
// ${VAR:default} replaced as cargo-make does. getenv is asked first and returns "" for an unset
// variable, so the environment wins over the file. The values of the profile come last:
// [env.development], unless CARGO_MAKE_PROFILE names another.
//
// A script is followed only if it is a single echo of one plain word; trees compose the names of
// images that way. Other scripts, conditions and lists are left to cargo-make. A value that refers
// to an unset variable is left out; cargo-make would pass it on literally.
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

// setting adds one variable to out, if its value can be determined.
func (t *table) setting(name string, out map[string]string, lookup func(string) (string, bool)) {
	if name == "" {
		t.fault(name, "", "a variable%s has no name", t.in())
		return
	}
	switch v := t.vals[name].(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			t.fault(name, "", "%s%s holds a NUL byte", quote(name), t.in())
			return
		}
		t.expanded(name, v, out, lookup)
	case bool:
		out[name] = strconv.FormatBool(v)
	case int64:
		out[name] = strconv.FormatInt(v, 10)
	case float64:
		out[name] = strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any:
		if text := echoed(v); text != "" {
			t.expanded(name, text, out, lookup)
			if out[name] == "" {
				delete(out, name)
			}
		}
	}
}

// maxSetting is the length in bytes of the longest value that is believed. Values that refer to
// others could double at every line.
const maxSetting = 16 << 10

// expanded adds one variable to out, with the variables in it replaced.
func (t *table) expanded(name, text string, out map[string]string,
	lookup func(string) (string, bool)) {
	value, ok := expand(text, lookup)
	switch {
	case len(value) > maxSetting:
		t.fault(name, "", "%s%s has more than %d bytes once it is expanded", quote(name), t.in(),
			maxSetting)
	case ok:
		out[name] = value
	}
}

// echoRule matches an echo of one word in which only ${VAR} is special to a shell.
var echoRule = rule(`echo ((?:[A-Za-z0-9._/:@+=-]|\$\{[A-Za-z0-9_]+\})+)\n?`)

// echoed returns what the script of a value prints if that is a single echo of one word, else "".
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

// expand replaces ${VAR} and ${VAR:default}. ok is false if a variable is unset and has no default.
// It ends early once the result is longer than maxSetting.
func expand(s string, lookup func(string) (string, bool)) (expanded string, ok bool) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found || b.Len() > maxSetting {
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
