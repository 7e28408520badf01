// systems: which build system, and what its files say.

package survey

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

var (
	acInit           = regexp.MustCompile(`(?s)\bAC_INIT\(\s*\[?([^\],()]+?)\]?\s*,\s*\[?([0-9][^\],()\s]*)\]?`)
	cmakeProject     = regexp.MustCompile(`(?is)\bproject\s*\(\s*"?([A-Za-z0-9_.+-]+)"?[^)]*?\bVERSION\s+"?([0-9][0-9A-Za-z.]*)`)
	cmakeName        = regexp.MustCompile(`(?is)\bproject\s*\(\s*"?([A-Za-z0-9_.+-]+)`)
	cmakeDescription = regexp.MustCompile(`(?is)\bproject\s*\([^)]*?\bDESCRIPTION\s+"([^"]+)"`)
	mesonProject     = regexp.MustCompile(`(?s)\bproject\s*\(\s*'([^']+)'`)
	mesonVersion     = regexp.MustCompile(`(?s)\bproject\s*\([^)]*?\bversion\s*:\s*'([0-9][^']*)'`)
	cargoVersion     = regexp.MustCompile(`(?m)^version\s*=\s*"([0-9][^"]*)"`)
	cargoDescription = regexp.MustCompile(`(?m)^description\s*=\s*"([^"]+)"`)
	cargoLicence     = regexp.MustCompile(`(?m)^license\s*=\s*"([^"]+)"`)
	packageMain      = regexp.MustCompile(`(?m)^package[ \t]+main\b`)
	ignored          = regexp.MustCompile(`(?m)^//(go:build|[ \t]*\+build)[ \t].*\bignore\b`)
)

// chooseSystem finds the build system, and takes from its files what the archive's name does not
// say.
func (s *Source) chooseSystem(r *reader) {
	all := []System{}
	for _, one := range []struct {
		system System
		files  []string
	}{
		{Autotools, []string{"configure", "configure.ac", "configure.in"}},
		{Meson, []string{"meson.build"}}, {CMake, []string{"CMakeLists.txt"}},
		{Go, []string{"go.mod"}}, {Cargo, []string{"Cargo.toml"}},
		{Make, []string{"GNUmakefile", "makefile", "Makefile"}},
	} {
		if slices.ContainsFunc(one.files, r.has) {
			all = append(all, one.system)
		}
	}
	if len(all) == 0 {
		s.Unsure = append(s.Unsure, "no build system was recognized: write what builds and installs "+
			"it")
		return
	}
	s.System = all[0]
	s.Prepared, s.Handmade = r.has("configure"), r.handmade
	// Where configure has to be made first, another system comes before it.
	if s.System == Autotools && !s.Prepared && len(all) > 1 && all[1] != Make {
		s.System = all[1]
	}
	if s.System == Autotools && s.Handmade {
		s.Unsure = append(s.Unsure, "configure is not one of autoconf's: look at what it takes")
	}
	s.project(r)
	switch s.System {
	case Go:
		s.goModule(r)
	case Cargo:
		s.Modules = len(r.texts["Cargo.lock"]) > 0 && strings.Contains(r.texts["Cargo.lock"], "checksum")
	}
	s.Library = s.isLibrary(r)
}

// project takes name and version from what the build system says.
func (s *Source) project(r *reader) {
	name, version := "", ""
	take := func(m []string) {
		if m != nil {
			name = cmp.Or(name, m[1])
			version = cmp.Or(version, m[len(m)-1])
		}
	}
	switch s.System {
	case Autotools:
		take(acInit.FindStringSubmatch(cmp.Or(r.texts["configure.ac"], r.texts["configure.in"])))
	case CMake:
		take(cmakeProject.FindStringSubmatch(r.texts["CMakeLists.txt"]))
		if m := cmakeName.FindStringSubmatch(r.texts["CMakeLists.txt"]); m != nil && name == "" {
			name = m[1]
		}
	case Meson:
		if m := mesonProject.FindStringSubmatch(r.texts["meson.build"]); m != nil {
			name = m[1]
		}
		if m := mesonVersion.FindStringSubmatch(r.texts["meson.build"]); m != nil {
			version = m[1]
		}
	case Cargo:
		if m := cargoVersion.FindStringSubmatch(r.texts["Cargo.toml"]); m != nil {
			version = m[1]
		}
	case Go:
		if m := modfile.ModulePath([]byte(r.texts["go.mod"])); m != "" {
			name = path.Base(m)
		}
	}
	s.Name, s.Version = cmp.Or(s.Name, name), cmp.Or(s.Version, strings.TrimPrefix(version, "v"))
}

// goModule finds the programs of a Go module, and whether it needs others.
func (s *Source) goModule(r *reader) {
	found := map[string]bool{}
	for name, text := range r.texts {
		dir := path.Dir(name)
		if !strings.HasSuffix(name, ".go") || !packageMain.MatchString(text) ||
			ignored.MatchString(text) || unusual.MatchString(dir+"/") || s.ofOtherModule(r, dir) {
			continue
		}
		found["./"+strings.TrimPrefix(dir, ".")] = true
	}
	for dir := range found {
		s.Commands = append(s.Commands, strings.TrimSuffix(dir, "/"))
	}
	slices.Sort(s.Commands)
	if len(s.Commands) == 0 {
		s.Unsure = append(s.Unsure, "the Go module has no program, only packages")
	}
	s.Modules = strings.TrimSpace(r.texts["go.sum"]) != "" && !r.has("vendor/modules.txt")
	f, err := modfile.ParseLax("go.mod", []byte(r.texts["go.mod"]), nil)
	if err == nil && f.Go != nil {
		s.Unsure = append(s.Unsure, "go.mod asks for Go "+Line(f.Go.Version)+" or newer")
	}
}

// unusual matches directories whose programs are not installed.
var unusual = regexp.MustCompile(`(^|/)(testdata|_?examples?|vendor|internal|test|tests|hack|tools?|` +
	`scripts?|\.[^./][^/]*|_[^/]*)/`)

// ofOtherModule reports whether a directory is in another Go module of the archive.
func (s *Source) ofOtherModule(r *reader, dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if r.has(dir + "/go.mod") {
			return true
		}
	}
	return false
}

var (
	amLibrary    = regexp.MustCompile(`(?m)^\s*(lib_LTLIBRARIES|lib_LIBRARIES|include_HEADERS|pkgconfig_DATA)\b`)
	cmakeLibrary = regexp.MustCompile(`(?is)\binstall\s*\([^)]*\b(LIBRARY|ARCHIVE|EXPORT|PUBLIC_HEADER|INCLUDES|include)\b`)
	mesonLibrary = regexp.MustCompile(`(?s)\b(shared_|static_|both_)?librar(y|ies)\s*\([^#]*?install\s*:\s*true|\binstall_headers\s*\(|pkg(config)?\.generate\s*\(`)
)

// isLibrary reports whether the build installs what others build with.
func (s *Source) isLibrary(r *reader) bool {
	for name, text := range r.texts {
		base := path.Base(name)
		switch {
		case strings.Contains(base, ".pc") && !strings.Contains(name, "test"):
			return true
		case s.System == Autotools && base == "Makefile.am" && amLibrary.MatchString(text):
			return true
		case s.System == CMake && base == "CMakeLists.txt" && cmakeLibrary.MatchString(text):
			return true
		case s.System == Meson && base == "meson.build" && mesonLibrary.MatchString(text):
			return true
		}
	}
	return false
}
