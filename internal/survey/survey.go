// Package survey finds out what an archive of sources says of itself: how it is built, its version
// and licences, and what it needs. It runs nothing and unpacks nothing; what it cannot tell is
// left open, never made up. Package scaffold writes packages from that.
package survey

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/archive"
	"buildsys/internal/safetext"
)

// System is what builds the sources.
type System string

// The build systems, in the order in which one is chosen where there are several.
const (
	Autotools System = "autotools"
	Meson     System = "meson"
	CMake     System = "cmake"
	Go        System = "go"
	Cargo     System = "cargo"
	Make      System = "make"
	None      System = ""
)

// Source is what an archive says.
type Source struct {
	Top           string // directory at the top that all files are in; "." if there is none
	Name, Version string // by the name of the archive, else by what is in it; may be empty
	System        System
	Prepared      bool     // with autotools: configure is there
	Handmade      bool     // with autotools: configure is not one of theirs
	Licence       string   // an SPDX expression; empty if it is not known
	LicenceFiles  []string // below Top
	Summary       string   // one line; may be empty
	Needs         []Need
	Library       bool     // it installs a library or headers
	Commands      []string // with Go: directories of programs, "./cmd/x"
	Kernel        bool     // it includes headers of Linux
	Modules       bool     // with Go: it needs modules that it does not bring; with Cargo: crates
	Unsure        []string // what a person has to look at
}

// Need is something that the build looks for.
type Need struct {
	Kind     Kind
	Name     string
	Optional bool
	From     string // the file that says so, below Top
}

// Kind is how a build looks for something.
type Kind string

// The kinds of needs.
const (
	PkgConfig Kind = "pkg-config" // a module of pkg-config
	Package   Kind = "package"    // a package of CMake
	Library   Kind = "library"    // -lNAME
)

const (
	maxFile  = 4 << 20  // bytes of a file that is read
	maxFiles = 96 << 20 // bytes of all of them
	maxHead  = 8 << 10  // bytes of a source file that are looked at
	maxNeeds = 200
)

// reader collects what matters of an archive.
type reader struct {
	names []string          // of all files, clean
	known map[string]bool   // the names, once somebody has asked
	texts map[string]string // of those that are read
	left  int64
	// kernel says that a source file includes headers of Linux.
	kernel      bool
	handmade    bool // configure is not one of autoconf's
	heads       int  // source files of which the beginning was looked at
	later, only int  // of those, how many have "any later version", or a version without it
	unsure      []string
}

// Read reads an archive. file is the name that it has where it comes from, which may say name and
// version.
func Read(ctx context.Context, at, file string) (*Source, error) {
	r := &reader{texts: map[string]string{}, left: maxFiles}
	if err := archive.Walk(ctx, at, r.entry); err != nil {
		return nil, err
	}
	if len(r.names) == 0 {
		return nil, &archive.Error{What: "there are no files in the archive"}
	}
	s := &Source{Top: top(r.names)}
	r.below(s.Top)
	s.named(file)
	if r.has(".gitmodules") {
		s.Unsure = append(s.Unsure, "it has submodules, whose files an archive that git makes does "+
			"not have")
	}
	s.chooseSystem(r)
	s.licences(r)
	s.Summary = r.summary(s.Name)
	s.Needs, s.Kernel = s.needs(r), r.kernel
	s.Unsure = append(s.Unsure, r.unsure...)
	return s, nil
}

// wanted matches the files that are read whole, by their last part.
var wanted = regexp.MustCompile(`^(configure\.(ac|in)|CMakeLists\.txt|meson\.build|meson\.options|` +
	`go\.mod|go\.sum|modules\.txt|Cargo\.(toml|lock)|GNUmakefile|[Mm]akefile(\.am)?|.*\.pc(\.in)?|` +
	`(?i:README|COPYING|LICEN[CS]E|COPYRIGHT|UNLICENSE)[^/]*)$`)

// sourceFile matches files that say a licence at their beginning.
var sourceFile = regexp.MustCompile(`\.(c|h|cc|cpp|go|rs|py)$`)

// kernelHeader matches an inclusion of a header of Linux.
var kernelHeader = regexp.MustCompile(`(?m)^\s*#\s*include\s*<(linux|asm|mtd|scsi/fc|rdma)/`)

// maxHeads is how many source files are looked at for their licence.
const maxHeads = 40

func (r *reader) entry(e archive.Entry) error {
	if !e.Mode.IsRegular() || strings.HasPrefix(e.Name, "..") || path.IsAbs(e.Name) {
		return nil
	}
	r.names = append(r.names, e.Name)
	base := path.Base(e.Name)
	deep := strings.Count(e.Name, "/")
	switch {
	case base == "configure":
		text, err := e.Head(maxHead)
		r.handmade = r.handmade || deep < 2 && text != "" && !strings.Contains(text, "Autoconf")
		return err
	case deep > 12:
	case wanted.MatchString(base):
		data, err := e.Read(min(maxFile, r.left))
		if err != nil {
			if _, tooLarge := err.(*archive.Error); tooLarge {
				r.unsure = append(r.unsure, safetext.Line(err.Error())+", and was not looked at")
				return nil
			}
			return err
		}
		r.left -= int64(len(data))
		r.texts[e.Name] = strings.ToValidUTF8(string(data), "?")
	case sourceFile.MatchString(base) && !strings.HasSuffix(base, "_test.go"):
		return r.head(e)
	}
	return nil
}

// head looks at the beginning of a source file.
func (r *reader) head(e archive.Entry) error {
	isGo := strings.HasSuffix(e.Name, ".go")
	if isGo && r.left < maxHead {
		return nil
	}
	text, err := e.Head(maxHead)
	if err != nil {
		return err
	}
	r.kernel = r.kernel || !isGo && kernelHeader.MatchString(text)
	if r.heads++; r.heads <= maxHeads {
		if strings.Contains(text, "any later version") || strings.Contains(text, "-or-later") {
			r.later++
		} else if strings.Contains(text, "General Public License") || strings.Contains(text, "-only") {
			r.only++
		}
	}
	if isGo {
		r.left -= int64(len(text))
		r.texts[e.Name] = text
	}
	return nil
}

// top returns the directory that all files are in.
func top(names []string) string {
	dir := path.Dir(names[0])
	for _, name := range names {
		for dir != "." && !strings.HasPrefix(name, dir+"/") {
			dir = path.Dir(dir)
		}
	}
	return dir
}

// below takes the names below a directory for the names of the files.
func (r *reader) below(dir string) {
	if dir == "." {
		return
	}
	texts := map[string]string{}
	for i, name := range r.names {
		short := strings.TrimPrefix(name, dir+"/")
		if text, ok := r.texts[name]; ok {
			texts[short] = text
		}
		r.names[i] = short
	}
	r.texts = texts
}

func (r *reader) has(name string) bool {
	if r.known == nil {
		r.known = make(map[string]bool, len(r.names))
		for _, n := range r.names {
			r.known[n] = true
		}
	}
	return r.known[name]
}

var archiveName = regexp.MustCompile(`^(.+?)[-_.]v?([0-9][0-9A-Za-z.+~]*(?:_[0-9]+)*)$`)

// bareVersion matches a name that is nothing but a version.
var bareVersion = regexp.MustCompile(`^v?[0-9][0-9._]*$`)

// extension matches the end of an archive's name.
var extension = regexp.MustCompile(`(\.orig)?\.(tar(\.(gz|bz2|xz|zst|lz))?|tgz|tbz2?|txz|zip)$`)

// named takes name and version from the name of the archive, or of the directory in it.
func (s *Source) named(file string) {
	for _, text := range []string{extension.ReplaceAllString(file, ""), path.Base(s.Top)} {
		if bareVersion.MatchString(text) { // a tag alone
			continue
		}
		if m := archiveName.FindStringSubmatch(text); m != nil {
			s.Name, s.Version = cmp.Or(s.Name, m[1]), cmp.Or(s.Version, m[2])
		}
		if m := moduleDir.FindStringSubmatch(text); m != nil {
			s.Name, s.Version = m[1], m[2]
		}
	}
	if s.Name == "" && s.Top != "." {
		s.Name = path.Base(s.Top)
	}
	s.Name = cmp.Or(s.Name, extension.ReplaceAllString(file, ""))
}

// moduleDir matches a directory as the module proxy names it: "term@v1.2.3".
var moduleDir = regexp.MustCompile(`^([^@]+)@v([0-9].*)$`)

// Line makes one line of a text of the archive that may stand in a spec: without percent signs,
// which are macros there.
func Line(text string) string {
	return strings.TrimSpace(strings.NewReplacer("%", "", "\t", " ").Replace(safetext.Line(text)))
}

var (
	described = regexp.MustCompile(`(?m)^Description:[ \t]*(\S.*)$`)
	heading   = regexp.MustCompile(`^(#+ |=+$|-+$|\[!|!\[|<)`)
)

// maxSummary is how long a summary may be.
const maxSummary = 90

// summary returns what the sources say they are, in a line.
func (r *reader) summary(name string) string {
	for _, file := range r.sorted() {
		module, _, isModule := strings.Cut(path.Base(file), ".pc")
		if m := described.FindStringSubmatch(r.texts[file]); m != nil && isModule &&
			strings.TrimPrefix(module, "lib") == strings.TrimPrefix(name, "lib") &&
			!strings.Contains(m[1], "@") {
			return tidy(m[1])
		}
	}
	for _, rule := range []struct {
		file string
		rule *regexp.Regexp
	}{{"CMakeLists.txt", cmakeDescription}, {"Cargo.toml", cargoDescription}} {
		if m := rule.rule.FindStringSubmatch(r.texts[rule.file]); m != nil {
			return tidy(m[1])
		}
	}
	for _, file := range r.sorted() {
		if strings.HasPrefix(strings.ToUpper(file), "README") && !strings.Contains(file, "/") {
			if text := firstSentence(r.texts[file], name); text != "" {
				return text
			}
		}
	}
	return ""
}

// firstSentence returns the first sentence of a text that says what something is: "NAME is a …".
func firstSentence(text, name string) string {
	lower := strings.ToLower(name)
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		line := strings.Join(strings.Fields(paragraph), " ")
		if line == "" || heading.MatchString(line) {
			continue
		}
		for _, is := range []string{" is an ", " is a ", " is the "} {
			before, after, ok := strings.Cut(line, is)
			if !ok || !strings.Contains(strings.ToLower(before), lower) || len(before) > 60 {
				continue
			}
			after, _, _ = strings.Cut(after, ". ")
			if after = tidy(after); after != "" {
				return after
			}
		}
	}
	return ""
}

// tidy makes a summary of a text, or nothing if it is too long for one.
func tidy(text string) string {
	text = strings.TrimRight(Line(text), ". ")
	if len(text) > maxSummary || len(text) < 4 {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// sorted returns the names of the files that were read, those at the top first.
func (r *reader) sorted() []string {
	var names []string
	for name := range r.texts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
	})
	return names
}
