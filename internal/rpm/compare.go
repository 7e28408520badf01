// compare: the order of versions, as rpm has it.

package rpm

import (
	"cmp"
	"strings"
)

// Compare returns -1, 0 or 1 as version a is older than b, as new, or newer (rpmvercmp): numbers
// by their value, letters by the alphabet, what follows a tilde before the end of a version, and
// what follows a caret after it. Other characters only separate.
func Compare(a, b string) int {
	for a != b {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		switch {
		case strings.HasPrefix(a, "~") || strings.HasPrefix(b, "~"):
			if order := cmp.Compare(begins(b, '~'), begins(a, '~')); order != 0 {
				return order
			}
			a, b = a[1:], b[1:]
			continue
		case strings.HasPrefix(a, "^") && strings.HasPrefix(b, "^"):
			a, b = a[1:], b[1:]
			continue
		case strings.HasPrefix(a, "^"):
			return cmp.Or(begins(b, 0), -1)
		case strings.HasPrefix(b, "^"):
			return -cmp.Or(begins(a, 0), -1)
		case a == "" || b == "":
			return cmp.Compare(len(a), len(b))
		}
		var one, other string
		isNumber := isDigit(a[0])
		if isNumber {
			one, a = cut(a, isDigit)
			other, b = cut(b, isDigit)
		} else {
			one, a = cut(a, isLetter)
			other, b = cut(b, isLetter)
		}
		if other == "" { // a number is newer than letters
			if isNumber {
				return 1
			}
			return -1
		}
		if order := compareParts(one, other, isNumber); order != 0 {
			return order
		}
	}
	return 0
}

func compareParts(a, b string, number bool) int {
	if number {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if order := cmp.Compare(len(a), len(b)); order != 0 {
			return order
		}
	}
	return strings.Compare(a, b)
}

// begins returns 1 if s begins with c, or for no character if it has ended, and 0 otherwise.
func begins(s string, c byte) int {
	if s == "" && c == 0 || s != "" && s[0] == c {
		return 1
	}
	return 0
}

func separates(r rune) bool {
	return r != '~' && r != '^' && (r > '~' || !isDigit(byte(r)) && !isLetter(byte(r)))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// cut cuts s behind the characters at its start that are of a class.
func cut(s string, is func(byte) bool) (first, rest string) {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return s[:n], s[n:]
}
