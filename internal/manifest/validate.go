// validate: the valid forms of names, hashes, URLs and kernel parameters. All of them end up in
// file names, RPM macros or shell scripts inside the build, so each may hold only what is harmless
// there.

package manifest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The rules match whole strings.
var (
	nameRule = rule(`[a-z0-9][a-z0-9._+-]{0,127}`)
	// rpmNameRule is nameRule with capitals, which RPM names may have.
	rpmNameRule = rule(`[A-Za-z0-9][A-Za-z0-9._+-]{0,127}`)
	crateRule   = rule(`[A-Za-z0-9_][A-Za-z0-9_-]{0,127}`)
	// fileRule leaves room for suffixes within 255 bytes.
	fileRule    = rule(`[A-Za-z0-9_][A-Za-z0-9._+~@=,:^-]{0,199}`)
	partRule    = rule(`[A-Za-z0-9_][A-Za-z0-9._+-]{0,127}`)
	versionRule = rule(`(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}(-[0-9a-z]+(\.[0-9a-z]+)*)?`)
	sha512Rule  = rule(`[0-9a-f]{128}`)
	hexRule     = rule(`[0-9A-Fa-f]+`)
)

func rule(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)\z`) }

// matches reports whether all of s has the form of a rule.
func matches(rule *regexp.Regexp, s string) bool { return len(s) <= 1024 && rule.MatchString(s) }

// ValidName reports whether s can be the name of a package or a variant.
func ValidName(s string) bool { return matches(nameRule, s) }

// ValidVersion reports whether s can be the version of an image: three numbers, optionally with a
// pre-release such as -rc.1.
func ValidVersion(s string) bool { return len(s) <= 64 && matches(versionRule, s) }

const (
	nameHint = "use a-z, 0-9, '.', '_', '+' and '-', and begin with a letter or digit"
	fileHint = "use one file name of A-Z, a-z, 0-9 and '._+~@=,:^-' that begins with a letter, " +
		"digit or '_'"
)

// urlProblem returns what is wrong with the URL of an external file, or "".
func urlProblem(raw string) (msg, hint string) {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > 2048:
		return "is too long", ""
	case err != nil, strings.ContainsFunc(raw, notInURL):
		return "is not a URL", "write special characters as %XX"
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with http:// or https://", ""
	case u.Hostname() == "":
		return "names no host", ""
	case u.User != nil:
		return "holds a user name or password", "keep credentials out of manifests"
	}
	return "", ""
}

func notInURL(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`\\<>", r) }

// hashProblem returns what is wrong with a sha512, or "".
func hashProblem(s string) (msg, hint string) {
	const md5, sha1, sha256 = 32, 40, 64 // digits
	const useSum = "use the output of sha512sum"
	switch plain := strings.TrimSpace(s); {
	case matches(sha512Rule, s):
		return "", ""
	case matches(sha512Rule, plain):
		return "has spaces or newlines around it", "write nothing but the digits"
	case matches(sha512Rule, strings.ToLower(s)):
		return "has upper-case digits", "write it in lower case"
	case !matches(hexRule, s):
		return "is not 128 hexadecimal digits", useSum + ", without prefix or spaces"
	case len(s) == md5 || len(s) == sha1 || len(s) == sha256:
		return fmt.Sprintf("has %d digits, not 128: it is another kind of hash", len(s)), useSum
	}
	return fmt.Sprintf("has %d digits, not 128", len(s)), useSum
}

// parameterProblem returns what is wrong with a kernel parameter, or "". The parameters are joined
// by spaces and written into grub.cfg, where quotes, '$', ';' and the like are special.
func parameterProblem(s string) (msg, hint string) {
	what := "kernel parameter " + quote(s)
	switch {
	case s == "":
		return what + " is empty", ""
	case len(s) > 256:
		return what + " is longer than 256 bytes", ""
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return what + " has a character that is not printable ASCII", ""
	case strings.Contains(s, " "):
		return what + " has a space", "write each parameter as an element of its own"
	case strings.ContainsAny(s, "\"'`\\$;&|<>{}#"):
		return what + " has a character that is special in the boot loader's configuration",
			"leave out quotes and `\\$;&|<>{}#"
	}
	return "", ""
}

// parametersProblem is parameterProblem for elements that hold several parameters: Bottlerocket
// joined all elements by spaces without checking them.
func parametersProblem(s string) (msg, hint string) {
	for part := range strings.FieldsSeq(s) {
		if msg, hint = parameterProblem(part); msg != "" {
			return msg, hint
		}
	}
	return "", ""
}

// Architectures returns the architectures that buildsys can build for.
func Architectures() []string { return []string{"aarch64", "x86_64"} }

// otherNames returns the RPM name of an architecture that Docker, Go or Debian call arch, or "".
func otherNames(arch string) string {
	switch strings.ToLower(arch) {
	case "amd64", "x86-64", "x64", "intel64":
		return "x86_64"
	case "arm64", "armv8", "aarch_64":
		return "aarch64"
	}
	return ""
}

// The checks of list elements return what is wrong with one, as a whole sentence, and what to do.

func groupProblem(group string) (msg, hint string) {
	for part := range strings.SplitSeq(group, "/") {
		if !matches(partRule, part) {
			return quote(group) + " cannot be a source group", "name a directory below sources/"
		}
	}
	return "", ""
}

func rpmProblem(name string) (msg, hint string) {
	if !matches(rpmNameRule, name) {
		return quote(name) + " cannot be the name of an RPM",
			"use letters, digits, '.', '_', '+' and '-'"
	}
	return "", ""
}

func archProblem(arch string) (msg, hint string) {
	if slices.Contains(Architectures(), arch) {
		return "", ""
	}
	hint = didYouMean(arch, Architectures())
	if same := otherNames(arch); same != "" {
		hint = fmt.Sprintf("did you mean %q?", same)
	}
	return fmt.Sprintf("unknown architecture %s: use %s", quote(arch), orList(Architectures())), hint
}

func grubFeatureProblem(name string) (msg, hint string) {
	if name == "set-private-var" {
		return "", ""
	}
	return "unknown GRUB feature " + quote(name), didYouMean(name, []string{"set-private-var"})
}
