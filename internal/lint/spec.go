// spec: reads the names in a spec file: tags, %package, %files and simple macros. It takes both
// branches of every %if, and leaves alone what only rpm can evaluate.

package lint

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// maxText bounds how much of a spec is kept expanded, in bytes. Real specs have some 10 KiB.
const maxText = 4 << 20

// Spec holds the names in a spec file, expanded. Names that could not be expanded are missing and
// make the spec Uncertain.
type Spec struct {
	RPMs          []RPM // the main one first, if its name is known
	BuildRequires []Need
	// Boolean are names in boolean dependencies, (a if b), and in tags such as Supplements and
	// Conflicts: that may be needed at run time. BuildBoolean are those that may be needed to build.
	Boolean, BuildBoolean []Need
	// OpenBuild and OpenRun mean that BuildRequires, or what is needed at run time, name more than
	// could be read.
	OpenBuild, OpenRun bool
	// Included means that other files are read as parts of the spec.
	Included bool
	Patches  []Patch
	// Installed are the lines of the %files sections.
	Installed []Installed
	Sources   []Source
	// Patterns are file names of sources, with unknown in place of the parts not expanded.
	Patterns []string
	// Version is that of the main RPM.
	Version SpecVersion
	// Uncertain means that there may be more RPMs than listed, or other names of them.
	Uncertain bool
	// TooLarge means that only a part of it was read.
	TooLarge bool
	// text holds every line except comments and the change log, as written and expanded.
	text strings.Builder
}

// SpecVersion is what the version of a spec may be, and where it says so. What could not be
// expanded has unknown in its place.
type SpecVersion struct {
	versions, epochs []string
	Line             int
}

// RPM is one RPM that a spec makes.
type RPM struct {
	Name     string
	Line     int
	Provides []string // besides its name
	Requires []Need
	Files    bool // it has a %files section; without one rpmbuild does not make it
}

// Need is one name of a Requires or BuildRequires.
type Need struct {
	Name        string
	Line        int
	Conditional bool // in an %if, or from only one of several values of a macro
}

// Source is the file of a Source or Patch tag.
type Source struct {
	Tag         string // as written: "Source0"
	Name        string // the last part of the path or URL
	Line        int
	Conditional bool
}

// Patch is a %patch line that applies the patch of a number that no Patch tag has.
type Patch struct {
	Number, Line int
}

// mentions reports whether any line of the spec other than a comment or the change log contains
// text.
func (s *Spec) mentions(text string) bool { return strings.Contains(s.text.String(), text) }

// mayName reports whether a source whose name is partly unknown may be the file.
func (s *Spec) mayName(file string) bool {
	return slices.ContainsFunc(s.Patterns,
		func(pattern string) bool { return fits(strings.Split(pattern, unknown), file) })
}

// fits reports whether a name begins with the first part, ends with the last, and has the others in
// between, in this order.
func fits(parts []string, name string) bool {
	rest, ok := strings.CutPrefix(name, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		if !ok {
			return false
		}
		_, rest, ok = strings.Cut(rest, part)
	}
	return ok && strings.HasSuffix(rest, parts[len(parts)-1])
}

// ParseSpec reads a spec file. It begins with the macros in base, which it does not change.
func ParseSpec(ctx context.Context, data string, base macros) *Spec {
	r := &specReader{spec: &Spec{}, macros: maps.Clone(base), section: "preamble",
		files: map[string]bool{}, rpms: map[string]int{}, work: work{ctx, maxSpecWork}}
	if r.macros == nil {
		r.macros = macros{}
	}
	for _, l := range logicalLines(strings.TrimPrefix(data, "\ufeff")) {
		if r.line(l); !r.work.take(1) {
			r.include()
			r.spec.TooLarge = true
			break
		}
	}
	r.checkPatches()
	if len(r.spec.RPMs) == 0 { // no Name: what rpm makes of that, only rpm knows
		r.spec.Uncertain = true
	}
	for i := range r.spec.RPMs {
		r.spec.RPMs[i].Files = r.files[r.spec.RPMs[i].Name]
	}
	return r.spec
}

// specReader reads one spec from top to bottom.
type specReader struct {
	spec    *Spec
	macros  macros
	section string // without percent sign; "preamble" at the top
	current []int  // RPMs that tags apply to; several if a macro in the name has several values
	ifs     int    // open %if blocks
	files   map[string]bool
	rpms    map[string]int // places in spec.RPMs
	patches patchReader
	work    work
}

// expand is that of the macros, as long as the spec is not too much work.
func (r *specReader) expand(text string) []string {
	if r.work.left < 0 {
		return []string{unknown}
	}
	texts, units := r.macros.expandCounting(text)
	r.work.take(units)
	return texts
}

// keep reports whether so many more names may be kept.
func (r *specReader) keep(names int) bool { return r.work.take(names * perName) }

func (r *specReader) line(l line) {
	text := strings.TrimSpace(l.text)
	if text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "%dnl") {
		return
	}
	word, rest := "", ""
	if after, ok := strings.CutPrefix(text, "%"); ok {
		word, rest = cutSpace(after)
	}
	switch {
	case strings.HasPrefix(word, "if"):
		r.ifs++
		return
	case word == "endif":
		r.ifs = max(0, r.ifs-1)
		return
	case word == "else", strings.HasPrefix(word, "elif"):
		return
	case word == "global", word == "define":
		r.defineMacro(word, rest)
	case word == "undefine":
		delete(r.macros, rest)
	case word == "include", strings.HasPrefix(word, "{include:"), strings.HasPrefix(word, "{load:"):
		r.include()
	case isSection(word):
		r.beginSection(word, rest, l.number)
		return
	}
	if r.section == "changelog" {
		return
	}
	r.note(text)
	r.patchLine(text, l.number)
	switch r.section {
	case "files":
		r.fileLine(text, l.number)
	case "preamble", "package":
		r.preamble(text, word, l.number)
	case "patchlist":
		r.patches.tag("")
		r.source(r.section, text, l.number)
	case "sourcelist":
		r.source(r.section, text, l.number)
	}
}

// include notes that what follows may come from another file.
func (r *specReader) include() {
	r.spec.Uncertain, r.spec.Included = true, true
	r.spec.OpenBuild, r.spec.OpenRun = true, true
}

// note keeps a line for mentions.
func (r *specReader) note(text string) {
	r.spec.text.WriteString(text + "\n")
	if strings.Contains(text, "%") && r.spec.text.Len() < maxText {
		for _, e := range r.expand(text) {
			r.spec.text.WriteString(e + "\n")
		}
	}
}

func (r *specReader) defineMacro(kind, rest string) {
	name, value := cutSpace(rest)
	if !isName(name) { // also macros with parameters: name()
		return
	}
	if kind == "define" {
		r.macros.define(name, value, r.ifs > 0)
		return
	}
	r.defineNow(name, value)
}

// defineNow sets a macro to the value expanded at this point, as %global and tags of the preamble
// do.
func (r *specReader) defineNow(name, value string) {
	for i, v := range r.expand(value) {
		r.macros.define(name, v, r.ifs > 0 || i > 0)
		if m := r.macros[name]; r.ifs == 0 {
			m.maybe = false
			r.macros[name] = m
		}
	}
}

func (r *specReader) beginSection(word, rest string, number int) {
	r.section = word
	names := r.sectionNames(rest)
	switch word {
	case "generate_buildrequires":
		r.spec.OpenBuild = true
	case "package":
		r.current = nil
		for _, name := range names {
			r.addRPM(name, number)
		}
		if len(names) == 0 {
			r.spec.Uncertain = true
		}
	case "files":
		if slices.Contains(strings.Fields(rest), "-f") { // the build writes a list
			r.spec.Installed = append(r.spec.Installed, Installed{Line: number, unknown: true})
		}
		for _, name := range names {
			r.files[name] = true
		}
		r.spec.Uncertain = r.spec.Uncertain || len(names) == 0
		r.note(rest)
	}
}

// sectionNames returns the RPMs that a section applies to. Without arguments it is the main one,
// "-n NAME" gives a whole name, and any other word is a suffix to the main one's name.
func (r *specReader) sectionNames(args string) []string {
	suffix, whole := "", false
	words := strings.Fields(args)
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == "-n" && i+1 < len(words):
			i++
			suffix, whole = words[i], true
		case strings.HasPrefix(words[i], "-") && len(words[i]) == 2: // -f FILE, -l LANG, -p PROGRAM
			i++
		case !strings.HasPrefix(words[i], "-") && suffix == "":
			suffix = words[i]
		}
	}
	pattern := suffix
	switch {
	case suffix == "":
		pattern = "%{name}"
	case !whole:
		pattern = "%{name}-" + suffix
	}
	return known(r.expand(pattern))
}

// known returns the texts that could be expanded completely.
func known(texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts),
		func(s string) bool { return strings.Contains(s, unknown) })
}

func (r *specReader) addRPM(name string, number int) {
	at, there := r.rpms[name]
	if !there {
		if !r.keep(1) {
			return
		}
		at = len(r.spec.RPMs)
		r.rpms[name] = at
		r.spec.RPMs = append(r.spec.RPMs, RPM{Name: name, Line: number})
	}
	r.current = append(r.current, at)
}

// preamble reads one line of the preamble or of a %package.
func (r *specReader) preamble(text, word string, number int) {
	if strings.HasPrefix(text, "%") {
		switch word {
		case "global", "define", "undefine", "bcond", "bcond_with", "bcond_without", "{nil}":
		default: // may expand to anything, tags and whole packages included
			r.spec.Uncertain, r.patches.open = true, true
		}
		return
	}
	tag, value, ok := strings.Cut(text, ":")
	if !ok {
		return
	}
	value = strings.TrimSpace(value)
	r.patches.open = r.patches.open || strings.Contains(tag, "%")
	tag, _, _ = strings.Cut(strings.TrimSpace(tag), "(") // Requires(post)
	switch key := strings.ToLower(tag); {
	case key == "name" && r.section == "preamble":
		r.mainName(value, number)
	case key == "version", key == "release", key == "epoch":
		if r.section == "preamble" {
			r.defineNow(key, value)
			r.versionOf(key, value, number)
		}
	case key == "buildrequires":
		r.spec.BuildRequires = append(r.spec.BuildRequires,
			r.needs(value, number, &r.spec.BuildBoolean, &r.spec.OpenBuild)...)
	case key == "requires":
		needs := r.needs(value, number, &r.spec.Boolean, &r.spec.OpenRun)
		for _, at := range r.current {
			if !r.keep(len(needs)) {
				return
			}
			r.spec.RPMs[at].Requires = append(r.spec.RPMs[at].Requires, needs...)
		}
	case isWeak(key):
		r.spec.Boolean = append(r.spec.Boolean,
			r.needs(value, number, &r.spec.Boolean, &r.spec.OpenRun)...)
	case key == "provides":
		r.provides(value)
	case isNumbered(key, "source"):
		r.source(tag, value, number)
	case isNumbered(key, "patch"):
		r.patches.tag(strings.TrimPrefix(key, "patch"))
		r.source(tag, value, number)
	}
}

// versionOf keeps what the version or the epoch may be.
func (r *specReader) versionOf(key, value string, number int) {
	switch key {
	case "version":
		r.spec.Version.versions = append(r.spec.Version.versions, r.macros.expand(value)...)
		r.spec.Version.Line = number
	case "epoch":
		r.spec.Version.epochs = append(r.spec.Version.epochs, r.macros.expand(value)...)
	}
}

// isNumbered reports whether key is word, optionally followed by digits.
func isNumbered(key, word string) bool {
	digits, ok := strings.CutPrefix(key, word)
	return ok && strings.Trim(digits, "0123456789") == ""
}

func (r *specReader) mainName(value string, number int) {
	r.defineNow("name", value)
	names := known(r.expand(value))
	if len(names) == 0 {
		r.spec.Uncertain = true
	}
	for _, name := range names {
		r.addRPM(name, number)
	}
}

func (r *specReader) provides(value string) {
	for _, text := range r.expand(value) {
		names, whole := dependencyNames(text)
		r.spec.Uncertain = r.spec.Uncertain || !whole
		for _, at := range r.current {
			if !r.keep(len(names)) {
				return
			}
			r.spec.RPMs[at].Provides = append(r.spec.RPMs[at].Provides, names...)
		}
	}
}

// needs returns the names in a list of dependencies. It adds those in boolean ones to boolean, and
// sets open if there are more than could be read.
func (r *specReader) needs(value string, number int, boolean *[]Need, open *bool) []Need {
	texts := r.expand(value)
	var needs []Need
	for _, text := range texts {
		names, whole := dependencyNames(text)
		optional := booleanNames(text)
		if !r.keep(len(names) + len(optional)) {
			return nil
		}
		for _, name := range optional {
			*boolean = append(*boolean, Need{Name: name, Line: number, Conditional: true})
		}
		*open = *open || !whole || strings.Contains(text, unknown) && strings.Contains(text, "(")
		for _, name := range names {
			needs = append(needs, Need{Name: name, Line: number, Conditional: r.ifs > 0 || len(texts) > 1})
		}
	}
	return needs
}

func (r *specReader) source(tag, value string, number int) {
	texts := r.expand(value)
	for _, text := range texts {
		name := text[strings.LastIndexByte(text, '/')+1:]
		if strings.Contains(name, unknown) {
			r.spec.Patterns = append(r.spec.Patterns, name)
			continue
		}
		if name != "" && !strings.ContainsAny(name, " \t") {
			r.spec.Sources = append(r.spec.Sources, Source{Tag: tag, Name: name, Line: number,
				Conditional: r.ifs > 0 || len(texts) > 1})
		}
	}
}

// Version is a version that the main RPM of a spec may have.
type Version struct{ Epoch, Version string }

// once returns texts sorted, each once.
func once(texts []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(texts)))
}

// maxVersions bounds the versions that a spec may have, each of which is compared.
const maxVersions = 100

// All returns the versions that the main RPM may have, and whether these are all.
func (s *SpecVersion) All() (all []Version, whole bool) {
	epochs, versions := known(s.epochs), known(s.versions)
	whole = len(epochs) == len(s.epochs) && len(versions) == len(s.versions) && len(versions) > 0
	if len(s.epochs) == 0 {
		epochs = []string{"0"}
	}
	for _, v := range once(versions) {
		for _, e := range once(epochs) {
			if len(all) == maxVersions {
				return all, false
			}
			all = append(all, Version{e, v})
		}
	}
	return all, whole
}
