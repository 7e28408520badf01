// Logins: what opens other people's doors is not shown, printed, kept or sent.

package safetext

import (
	"regexp"
	"strings"
)

// userinfo matches the name and the password in a URL; the password may have an @ as well. One
// slash is what is left of two in a URL that was taken for a path.
var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]+):(//?)([^/\s"'<>]*)@`)

// secretValue matches the value of a parameter of a URL whose name says that it opens something.
// JSON documents have \u0026 for &.
var secretValue = regexp.MustCompile(`(?i)((?:[?&;]|\\u0026)[a-z0-9_.%-]*` +
	`(?:token|secret|key|sig|signature|passw|pwd|auth|credential|session)[a-z0-9_.%-]*=)` +
	`[^&;\s"'<>\\#]+`)

// WithoutLogins returns a text without the logins in its URLs: names, passwords, and parameters
// whose names say that they are secret. Of ssh, a name without a password is part of the address.
func WithoutLogins(text string) string {
	if strings.Contains(text, "@") && strings.Contains(text, ":/") {
		text = userinfo.ReplaceAllStringFunc(text, func(found string) string {
			part := userinfo.FindStringSubmatch(found)
			if strings.HasSuffix(part[1], "ssh") && !strings.Contains(part[3], ":") {
				return found
			}
			return part[1] + ":" + part[2] + "…@"
		})
	}
	if strings.ContainsAny(text, "?&") || strings.Contains(text, `\u0026`) {
		text = secretValue.ReplaceAllString(text, "${1}…")
	}
	return text
}

// Place returns what may be shown of a text that should be the URL of a place, and may be anything:
// nothing before an @ and nothing of a query.
func Place(text string) string {
	scheme, rest, found := strings.Cut(text, ":/")
	if !found {
		return WithoutLogins(text)
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end+1] + "…"
	}
	at := strings.LastIndexByte(rest, '@')
	if name := rest[:max(at, 0)]; at >= 0 && (!strings.HasSuffix(scheme, "ssh") ||
		strings.Contains(name, ":")) {
		rest = rest[:len(rest)-len(strings.TrimLeft(rest, "/"))] + "…" + rest[at:]
	}
	return scheme + ":/" + rest
}
