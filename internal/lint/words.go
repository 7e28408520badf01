// words: the words of a spec file: sections, and names in lists of dependencies.

package lint

import "strings"

// isSection reports whether a word, without its percent sign, begins a section of a spec file (the
// list in rpm's build/parseSpec.c).
func isSection(word string) bool {
	switch word {
	case "package", "description", "prep", "conf", "build", "install", "check", "clean",
		"generate_buildrequires", "files",
		"changelog", "pre", "post", "preun", "postun", "pretrans", "posttrans", "preuntrans",
		"postuntrans", "verifyscript",
		"triggerin", "triggerun", "triggerpostun", "triggerprein", "trigger", "filetriggerin",
		"filetriggerun",
		"filetriggerpostun", "transfiletriggerin", "transfiletriggerun", "transfiletriggerpostun",
		"sepolicy", "sourcelist",
		"patchlist":
		return true
	}
	return false
}

// isWeak reports whether a tag, in lower case, names other RPMs without needing them.
func isWeak(tag string) bool {
	switch tag {
	case "recommends", "suggests", "supplements", "enhances", "conflicts", "obsoletes",
		"orderwithrequires", "buildconflicts":
		return true
	}
	return false
}

// dependencyNames splits a list of dependencies into names without versions. It leaves out boolean
// dependencies, "(a if b)", which only rpm can evaluate. whole is false if a word could not be
// expanded.
func dependencyNames(text string) (names []string, whole bool) {
	whole = true
	for text = skipSeparators(text); text != ""; text = skipSeparators(text) {
		if text[0] == '(' {
			_, text = cutBraces(text, '(', ')')
			continue
		}
		end := strings.IndexAny(text, " \t\n,")
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = text[end:]
		switch {
		case strings.Trim(word, "<>=") == "": // an operator: what follows is a version
			text = skipWord(text)
		case strings.Contains(word, unknown):
			whole = false
		default:
			names = append(names, word)
		}
	}
	return names, whole
}

// booleanNames returns the names in the boolean dependencies that dependencyNames leaves out.
func booleanNames(text string) (names []string) {
	for text = skipSeparators(text); text != ""; {
		if text[0] != '(' {
			_, text, _ = strings.Cut(text, " ")
			text = skipSeparators(text)
			continue
		}
		var body string
		body, text = cutBraces(text, '(', ')')
		for word := range strings.FieldsFuncSeq(body,
			func(r rune) bool { return strings.ContainsRune(" \t\n,", r) }) {
			word = strings.TrimLeft(word, "(")
			for strings.HasSuffix(word, ")") && strings.Count(word, ")") > strings.Count(word, "(") {
				word = word[:len(word)-1]
			}
			if word != "" && !strings.Contains(word, unknown) {
				names = append(names, word) // operators and versions match no package
			}
		}
		text = skipSeparators(text)
	}
	return names
}

func skipSeparators(s string) string { return strings.TrimLeft(s, " \t\n,") }

func skipWord(s string) string {
	s = strings.TrimLeft(s, " \t\n")
	if end := strings.IndexAny(s, " \t\n,"); end >= 0 {
		return s[end:]
	}
	return ""
}
