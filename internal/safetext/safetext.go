// Package safetext makes text of others safe to show: of trees, registries, engines, images and
// archives. A terminal obeys escape sequences, a person believes a line, and a CI service obeys
// some lines of a log.
package safetext

import (
	"regexp"
	"strings"
	"unicode"
)

// escapes matches the terminal control sequences of ECMA-48: CSI, OSC and other string sequences,
// and two-character ones.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ " +
	"-/]*[@-~]?|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~]?)")

// commands matches the beginnings of what CI services take for commands: of GitHub Actions at the
// beginning of a line, behind blanks as well; of GitHub's older form, Azure Pipelines ("##vso[")
// and TeamCity ("##teamcity[") anywhere.
var commands = regexp.MustCompile(`^([\s\p{Z}\x{FEFF}]*:):|##([a-zA-Z]*\[)`)

// Line returns text as one line without escape sequences and control characters, in valid UTF-8,
// that no CI service takes for a command, and without the logins of URLs. Lines of the text are
// joined by a blank.
func Line(text string) string {
	text = WithoutLogins(text)
	if plain(text) {
		return text
	}
	text = escapes.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), "")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r == '\n' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
	return defuse(text)
}

// plain reports whether a text is one that Line returns as it is, as most lines are.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && c != '\t' ||
			(c == ':' || c == '#') && i > 0 && text[i-1] == c {
			return false
		}
	}
	return true
}

// Lines is Line for each line of a text, for texts whose lines are this program's.
func Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Line(line)
	}
	return strings.Join(lines, "\n")
}

// defuse puts a blank into what would be a command.
func defuse(line string) string {
	if !strings.Contains(line, "::") && !strings.Contains(line, "##") {
		return line
	}
	return commands.ReplaceAllStringFunc(line, func(found string) string {
		if rest, ok := strings.CutPrefix(found, "##"); ok {
			return "## " + rest
		}
		return strings.TrimSuffix(found, ":") + " :"
	})
}
