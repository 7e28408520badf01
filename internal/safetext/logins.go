// Logins: what opens other people's doors is not shown, printed, kept or sent.

package safetext

import "strings"

// hidden stands for what is cut out.
const hidden = "…"

// WithoutLogins returns a text without the logins in its URLs: names, passwords, and parameters
// whose names say that they are secret. Of ssh, a name without a password is part of the address.
// Every line of every log passes here: it looks at a text once, without regular expressions.
func WithoutLogins(text string) string {
	if strings.Contains(text, ":/") && strings.Contains(text, "@") {
		text = withoutUserinfo(text)
	}
	if strings.Contains(text, "=") && (strings.ContainsAny(text, "?&") ||
		strings.Contains(text, escapedAnd)) {
		text = withoutSecrets(text)
	}
	return text
}

// withoutUserinfo cuts what is between the slashes and the last @ before the next slash. One slash
// is what is left of two in a URL that was taken for a path.
func withoutUserinfo(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, ":/")
		if !found {
			break
		}
		slashes := ":/"
		if rest, two := strings.CutPrefix(after, "/"); two {
			slashes, after = "://", rest
		}
		out.WriteString(before + slashes)
		host := after
		if end := strings.IndexAny(after, "/ \t\r\n\"'<>"); end >= 0 {
			host = after[:end]
		}
		at := strings.LastIndexByte(host, '@')
		if at >= 0 && isScheme(before) && (!strings.HasSuffix(before, "ssh") ||
			strings.Contains(host[:at], ":")) {
			out.WriteString(hidden)
			after = after[at:]
		}
		text = after
	}
	return out.String() + text
}

// isScheme reports whether a text ends like the scheme of a URL: with two letters or digits.
func isScheme(text string) bool {
	n := len(text)
	return n >= 2 && isWord(text[n-1]) && isWord(text[n-2])
}

func isWord(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
}

// escapedAnd is & in many JSON documents.
const escapedAnd = `\u0026`

// withoutSecrets cuts the values of parameters of URLs.
func withoutSecrets(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "=")
		if !found {
			break
		}
		out.WriteString(before + "=")
		if isSecret(before) {
			end := strings.IndexAny(after, "&;# \t\r\n\"'<>\\")
			if end < 0 {
				end = len(after)
			}
			if end > 0 {
				out.WriteString(hidden)
			}
			after = after[end:]
		}
		text = after
	}
	return out.String() + text
}

// secret are parts of the names of parameters that are.
var secret = []string{"token", "secret", "key", "sig", "passw", "pwd", "auth", "credential",
	"session"}

// isSecret reports whether a text ends with the beginning of a parameter and its name, which is one
// of a secret.
func isSecret(text string) bool {
	start := len(text)
	for start > 0 && len(text)-start < maxParameter && (isWord(text[start-1]) ||
		strings.IndexByte("_.%-", text[start-1]) >= 0) {
		start--
	}
	name := text[start:]
	switch rest, escaped := strings.CutPrefix(name, "u0026"); {
	case start == 0:
		return false
	case escaped && text[start-1] == '\\':
		name = rest
	case strings.IndexByte("?&;", text[start-1]) < 0:
		return false
	}
	name = strings.ToLower(name)
	for _, part := range secret {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// maxParameter is longer than the names of parameters.
const maxParameter = 100

// Place returns what may be shown of a text that should be the URL of a place, and may be anything:
// nothing before an @ and nothing of a query.
func Place(text string) string {
	scheme, rest, found := strings.Cut(text, ":/")
	if !found {
		return WithoutLogins(text)
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end+1] + hidden
	}
	at := strings.LastIndexByte(rest, '@')
	if name := rest[:max(at, 0)]; at >= 0 && (!strings.HasSuffix(scheme, "ssh") ||
		strings.Contains(name, ":")) {
		rest = rest[:len(rest)-len(strings.TrimLeft(rest, "/"))] + hidden + rest[at:]
	}
	return scheme + ":/" + rest
}
