// mentions: the paths below a directory that a shell script names.

package dockerfile

import (
	"path"
	"slices"
	"strings"
)

// Mentions returns the paths below the directory dir that a shell script names, relative to dir,
// sorted: for the directory /host the path "tools/rpm2img" of "/host/tools/rpm2img --fast" and both
// of "/host/{a,b}". A path ends before its first wildcard or variable unknown to lookup. whole
// reports whether the script also names dir itself, so that it may read anything there. Comment
// lines are ignored.
func Mentions(script, dir string, lookup func(name string) (string, bool)) (paths []string,
	whole bool) {
	for text := range strings.Lines(script) {
		if strings.HasPrefix(strings.TrimSpace(text), "#") {
			continue
		}
		for begin := 0; ; {
			i := strings.Index(text[begin:], dir)
			if i < 0 {
				break
			}
			i += begin
			begin = i + len(dir)
			if i > 0 && isPath(text[i-1]) ||
				begin < len(text) && text[begin] != '/' && isPath(text[begin]) {
				continue // a part of another path
			}
			word := text[begin:]
			if end := strings.IndexFunc(word, func(c rune) bool {
				return c < 128 && !isWord(byte(c))
			}); end >= 0 {
				word = word[:end]
			}
			begin += len(word)
			if len(word) > maxPath {
				whole = true
				continue
			}
			for _, p := range braces(word) {
				p = known(p, lookup)
				if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p == "" {
					whole = true
				} else {
					paths = append(paths, p)
				}
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), whole
}

// Limits of a path in a script: braces in a row double the number of paths each.
const (
	maxPath  = 4096 // bytes, as in Linux
	maxPaths = 128  // that one word stands for
)

// isPath reports whether a byte next to the directory's name makes it part of a longer name.
func isPath(c byte) bool {
	return c == '/' || c == '.' || c == '-' || c == '_' || c >= '0' && c <= '9' ||
		c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 128
}

// isWord reports whether a byte may be part of a path in a script.
func isWord(c byte) bool { return isPath(c) || strings.IndexByte("{},$*?[]+@%~:", c) >= 0 }

// braces expands the {a,b} of a word. Braces without a comma, such as those of ${NAME}, stay. A
// word for too many paths stays as it is, and stands for the directory before its first brace.
func braces(word string) []string {
	if words := expandBraces(word, maxPaths); len(words) <= maxPaths {
		return words
	}
	return []string{word}
}

// expandBraces expands the first braces, and then the rest. It stops when there are more than most
// words.
func expandBraces(word string, most int) []string {
	for i := 0; i < len(word); i++ {
		if word[i] != '{' || i > 0 && word[i-1] == '$' {
			continue
		}
		end := strings.IndexByte(word[i:], '}')
		if end < 0 || !strings.Contains(word[i:i+end], ",") {
			continue
		}
		var words []string
		for _, part := range strings.Split(word[i+1:i+end], ",") {
			words = append(words, expandBraces(word[:i]+part+word[i+end+1:], most-len(words))...)
			if len(words) > most {
				break
			}
		}
		return words
	}
	return []string{word}
}

// known replaces variables, and cuts a path before the component with the first wildcard or unknown
// variable.
func known(p string, lookup func(string) (string, bool)) string {
	var parts []string
	for _, part := range strings.Split(p, "/") {
		for strings.Contains(part, "$") {
			i := strings.IndexByte(part, '$')
			name := part[i+1:]
			end := len(name)
			if strings.HasPrefix(name, "{") {
				if end = strings.IndexByte(name, '}'); end < 0 {
					return strings.Join(parts, "/")
				}
				name, end = name[1:end], end+1
			} else if n := strings.IndexFunc(name, func(c rune) bool {
				return c == '-' || c == '.' || !isPath(byte(c))
			}); n >= 0 {
				name, end = name[:n], n
			}
			value, ok := lookup(name)
			if !ok || strings.Contains(value, "$") {
				return strings.Join(parts, "/")
			}
			if part = part[:i] + value + part[i+1+end:]; len(part) > maxPath {
				return strings.Join(parts, "/")
			}
		}
		if strings.ContainsAny(part, "*?[{") {
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "/")
}
