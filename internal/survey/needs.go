// needs: what a build looks for, by the files of its build system.

package survey

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	pkgCheck = regexp.MustCompile(`\bPKG_CHECK_(MODULES|EXISTS)(?:_STATIC)?\(`)
	acLib    = regexp.MustCompile(`\b(AC_CHECK_LIB|AC_SEARCH_LIBS)\(`)
	find     = regexp.MustCompile(`(?is)\bfind_package\s*\(\s*([A-Za-z0-9_+.-]+)([^)]*)\)`)
	pkgCMake = regexp.MustCompile(`(?is)\bpkg_(?:check|search)_modules?\s*\(\s*[A-Za-z0-9_]+\s+([^)]*)\)`)
	mesonDep = regexp.MustCompile(`(?s)\bdependency\s*\(\s*'([^']+)'([^)]*)\)`)
	mesonLib = regexp.MustCompile(`(?s)\bfind_library\s*\(\s*'([^']+)'([^)]*)\)`)
	module   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.+-]*$`)
	comment  = regexp.MustCompile(`(?m)(^|\s)(dnl\b|#).*$`)
	optional = regexp.MustCompile(`required\s*:\s*(false|get_option|[a-z_]*opt)|disabler|native\s*:\s*true`)
)

// ofLibc are libraries that a libc has, and names that every compiler knows.
var ofLibc = []string{"c", "m", "dl", "pthread", "rt", "util", "resolv", "crypt", "socket", "nsl",
	"threads", "bind", "inet", "nls", "sun", "seq", "ws2_32", "network", "bsd", "xnet", "posix", "gen",
	"intl", "iconv", "sendfile", "compat", "roken"}

// ofTools are packages of CMake that are programs of the build or parts of CMake.
var ofTools = []string{"threads", "pkgconfig", "git", "doxygen", "python", "python3", "perl",
	"bison", "flex", "gettext", "intl", "backtrace", "iconv", "gtest", "gmock", "benchmark", "catch2",
	"openmp",
	"sphinx", "asciidoctor", "pythoninterp", "pythonlibs", "swig", "xmllint", "cmocka", "check"}

// vague matches needs whose names stand in variables.
var vague = map[System]*regexp.Regexp{
	Autotools: regexp.MustCompile(`\bPKG_CHECK_(MODULES|EXISTS)\([^)]*\$`),
	CMake:     regexp.MustCompile(`(?is)\b(find_package|pkg_(check|search)_modules?)\s*\([^)]*\$\{`),
	Meson:     regexp.MustCompile(`(?s)\bdependency\s*\(\s*[^'\s)]`),
}

// needs returns what the build of the chosen system looks for.
func (s *Source) needs(r *reader) []Need {
	var all []Need
	add := func(kind Kind, name, from string, optional bool) {
		known := func(n Need) bool { return n.Kind == kind && n.Name == name }
		switch i := slices.IndexFunc(all, known); {
		case !module.MatchString(name) || len(all) >= maxNeeds,
			kind == Library && slices.Contains(ofLibc, strings.ToLower(name)),
			kind == Package && slices.Contains(ofTools, strings.ToLower(name)):
		case i < 0:
			all = append(all, Need{kind, name, optional, from})
		default:
			all[i].Optional = all[i].Optional && optional
		}
	}
	for _, file := range r.sorted() {
		text := comment.ReplaceAllString(r.texts[file], "")
		if unusual.MatchString(path.Dir(file) + "/") {
			continue
		}
		if rule := vague[s.System]; rule != nil && wanted.MatchString(path.Base(file)) &&
			!strings.HasPrefix(strings.ToUpper(path.Base(file)), "README") && rule.MatchString(text) {
			s.Unsure = append(s.Unsure, Line(file)+" also looks for what it names only while it runs: look "+
				"at what it says there")
		}
		switch base := path.Base(file); {
		case s.System == Autotools && strings.HasPrefix(base, "configure."):
			autoconf(text, file, add)
		case s.System == CMake && base == "CMakeLists.txt":
			cmake(text, file, add)
		case s.System == Meson && base == "meson.build":
			for _, m := range mesonDep.FindAllStringSubmatch(text, -1) {
				add(PkgConfig, m[1], file, optional.MatchString(m[2]))
			}
			for _, m := range mesonLib.FindAllStringSubmatch(text, -1) {
				add(Library, m[1], file, optional.MatchString(m[2]))
			}
		}
	}
	return all
}

type addNeed func(kind Kind, name, from string, optional bool)

func autoconf(text, file string, add addNeed) {
	for _, at := range pkgCheck.FindAllStringSubmatchIndex(text, -1) {
		exists := text[at[2]:at[3]] == "EXISTS"
		args := arguments(text[at[1]:])
		if exists {
			args = append([]string{""}, args...)
		}
		if len(args) < 2 {
			continue
		}
		for _, name := range modules(args[1]) {
			add(PkgConfig, name, file, exists || len(args) > 3)
		}
	}
	for _, at := range acLib.FindAllStringSubmatchIndex(text, -1) {
		args := arguments(text[at[1]:])
		which := 0
		if text[at[2]:at[3]] == "AC_SEARCH_LIBS" {
			which = 1
		}
		if len(args) > which {
			for _, name := range strings.Fields(args[which]) {
				add(Library, name, file, true) // what follows from it, only the script says
			}
		}
	}
}

func cmake(text, file string, add addNeed) {
	for _, m := range find.FindAllStringSubmatch(text, -1) {
		add(Package, m[1], file, !strings.Contains(strings.ToUpper(m[2]), "REQUIRED"))
	}
	for _, m := range pkgCMake.FindAllStringSubmatch(text, -1) {
		must := false
		for _, word := range modules(m[1]) {
			switch word {
			case "REQUIRED":
				must = true
			case "QUIET", "IMPORTED_TARGET", "GLOBAL", "NO_CMAKE_PATH", "STATIC_TARGET":
			default:
				add(PkgConfig, word, file, !must)
			}
		}
	}
}

// maxArguments bounds how far the end of a macro's arguments is looked for.
const maxArguments = 4 << 10

// arguments splits what follows the bracket of an m4 macro, without its quotes.
func arguments(text string) (args []string) {
	text = text[:min(len(text), maxArguments)]
	depth, begin := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '(' || c == '[':
			depth++
		case c == ']' || c == ')' && depth > 0:
			depth--
		case depth == 0 && (c == ',' || c == ')'):
			args = append(args, strings.Trim(text[begin:i], " \t\r\n[]"))
			begin = i + 1
			if c == ')' {
				return args
			}
		}
	}
	return nil
}

var versioned = regexp.MustCompile(`\s*(>=|<=|=|>|<)\s*[^\s,]+`)

// modules splits a list of modules of pkg-config, without the versions.
func modules(text string) []string {
	text = versioned.ReplaceAllString(text, " ")
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,\"", r) })
}
