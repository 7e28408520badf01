// makefile: the [env] table of Makefile.toml, the settings of a tree that is also driven by cargo-make.

package manifest

import (
	"strconv"
	"strings"
)

// ParseMakefile returns the plain values of [env], in which ${VAR} and ${VAR:default} are replaced as cargo-make does,
// in the order of the file. getenv is asked first and returns "" for what it does not have, so that the environment
// wins over the file. Scripts, conditions, lists and profiles (values that are tables or lists) are cargo-make's
// business and left out; so is a value that refers to a variable nobody has, which cargo-make would pass on literally.
func ParseMakefile(file string, data []byte, getenv func(string) string) (map[string]string, Problems) {
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
		if len(key) != 2 || key[0] != "env" {
			continue
		}
		name := key[1]
		switch v := env.vals[name].(type) {
		case string:
			if strings.ContainsRune(v, 0) {
				env.fault(name, "", "%s%s holds a NUL byte", quote(name), env.in())
			} else if expanded, ok := expand(v, lookup); ok {
				out[name] = expanded
			}
		case bool:
			out[name] = strconv.FormatBool(v)
		case int64:
			out[name] = strconv.FormatInt(v, 10)
		case float64:
			out[name] = strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return out, doc.problems.Sorted()
}

// expand replaces ${VAR} and ${VAR:default}; ok is false when a variable is unknown and has no default.
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
