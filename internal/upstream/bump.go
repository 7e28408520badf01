// bump: a spec and a manifest of another version.

package upstream

import (
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Package is what a tree says about a package, as text and as values.
type Package struct {
	*manifest.Package
	SpecFile string // for messages
	Spec     string
	// Macro names the macro that has the version, for specs that leave a choice.
	Macro string
}

// Named is the version that a package names, and where.
type Named struct {
	Version string
	pkg     Package
	spec    *specText
	at      definition
	prefix  string // of the value, before the version: "v"
}

func (p Package) fault(lines []int, format string, args ...any) error {
	where := p.SpecFile
	if len(lines) > 0 {
		where += ":" + fmt.Sprint(slices.Min(lines))
	}
	return errkind.Usagef("%s: %s", where, fmt.Sprintf(format, args...))
}

// Find finds the version by which the sources of a package are named.
func Find(p Package) (*Named, error) {
	if len(p.ExternalFiles) == 0 {
		return nil, errkind.Usagef("package %s has no sources from elsewhere: %s has no external-files",
			p.Name, p.File)
	}
	n := &Named{pkg: p, spec: parseSpec(p.Spec)}
	if name := n.spec.tooOften(); name != "" {
		return nil, p.fault(nil, "it defines %s more than %d times: change it by hand", name, maxSame)
	}
	var err error
	if n.at, err = n.choose(); err != nil {
		return nil, err
	}
	if n.at.conditional {
		return nil, p.fault([]int{n.at.line}, "line %d, which has the version %s, is inside %%if: "+
			"change it by hand", n.at.line, n.at.value)
	}
	n.Version = n.at.value
	if rest, ok := strings.CutPrefix(n.Version, "v"); ok {
		n.Version, n.prefix = rest, "v"
	}
	if CheckVersion(n.Version) != nil || commit.MatchString(n.Version) {
		return nil, p.fault([]int{n.at.line}, "line %d has %q, which is no plain version: change it "+
			"by hand", n.at.line, n.at.value)
	}
	for _, f := range p.ExternalFiles {
		if _, rest := beyondHost(f.URL); rewrite(rest, whole(forms(n.Version, "0\x00"))) != rest {
			return n, nil
		}
	}
	return nil, p.fault([]int{n.at.line}, "the version is %s (line %d), which no URL in %s has: "+
		"change them by hand", n.Version, n.at.line, p.File)
}

// choose finds the definition of the version: what the names of the sources are made of, which has
// to be what Version is made of, if that is among them or there is no other.
func (n *Named) choose() (definition, error) {
	p, s := n.pkg, n.spec
	if p.Macro != "" {
		return n.single(p.Macro, s.defs[p.Macro])
	}
	version, err := n.single("Version", s.defs["version"])
	var inSources []definition
	known := map[definition]bool{}
	for _, f := range p.ExternalFiles {
		for _, name := range f.Names() {
			for _, tag := range s.sourceOf(name) {
				for _, d := range s.used(tag.value) {
					if _, rest := beyondHost(f.URL); !known[d] && n.isVersionOf(d, rest) {
						known[d] = true
						inSources = append(inSources, d)
					}
				}
			}
		}
	}
	switch {
	case err != nil, len(inSources) == 0, slices.Contains(inSources, version):
		return version, err
	}
	var lines []int
	var names []string
	for _, d := range inSources {
		lines, names = append(lines, d.line), append(names, d.name)
	}
	lines = append(lines, version.line)
	return version, p.fault(lines, "the sources are named by %s and the RPMs by another version "+
		"(%s): change them by hand, or name one with --macro", strings.Join(names, ", "), lineList(lines))
}

// isVersionOf reports whether a definition has the version in the path of a URL.
func (n *Named) isVersionOf(d definition, path string) bool {
	value := strings.TrimPrefix(d.value, "v")
	return d.name != "name" && CheckVersion(value) == nil &&
		rewrite(path, whole(forms(value, "0\x00"))) != path
}

// single returns the one definition with a value that a name leads to.
func (n *Named) single(name string, defs []definition) (definition, error) {
	p := n.pkg
	if len(defs) == 0 {
		return definition{}, p.fault(nil, "it does not define %s", name)
	}
	lines := func(defs []definition) (all []int) {
		for _, d := range defs {
			all = append(all, d.line)
		}
		return all
	}
	if len(defs) > 1 {
		return definition{}, p.fault(lines(defs), "%s is defined more than once (%s): change it by hand",
			name, lineList(lines(defs)))
	}
	d, several := n.spec.origin(defs[0])
	if len(several) > 1 {
		all := append(lines(several), d.line)
		return d, p.fault(all, "%s leads to a macro that is defined more than once (%s): change it by "+
			"hand", name, lineList(all))
	}
	if strings.Contains(d.value, "%") {
		all := append(lines(n.spec.used(d.value)), d.line)
		return d, p.fault([]int{d.line}, "%s is put together of macros (%s): change it by hand", name,
			lineList(all))
	}
	return d, nil
}

// Move is a source that another version has elsewhere.
type Move struct {
	From, To manifest.ExternalFile // To has no hash yet
}

// Change is a package with another version.
type Change struct {
	Old, New string
	Spec     string
	Moves    []Move
	Warnings []string
	named    *Named
}

// To returns the package with another version, except for what only the new sources can say.
func (n *Named) To(version string) (*Change, error) {
	if err := CheckVersion(version); err != nil {
		return nil, err
	}
	c := &Change{Old: n.Version, New: version, named: n}
	all := forms(n.Version, version)
	var stay []string
	for _, f := range n.pkg.ExternalFiles {
		to := f
		to.URL, to.SHA512 = rewriteURL(f.URL, all), ""
		to.Path = rewrite(f.Path, whole(all))
		to.BundleOutput, to.BundleRoot = rewrite(f.BundleOutput, whole(all)), rewrite(f.BundleRoot, all)
		if to.URL != f.URL {
			c.Moves = append(c.Moves, Move{f, to})
		} else {
			stay = append(stay, f.Name())
		}
	}
	if len(stay) > 0 {
		c.warn("%s: %s as before, as no version %s is in the URL", n.pkg.File, some(stay), n.Version)
	}
	err := c.editSpec(all)
	slices.Sort(c.Warnings)
	return c, err
}

// some names the first of several files, and how many more stay.
func some(names []string) string {
	switch len(names) {
	case 1:
		return names[0] + " stays"
	case 2:
		return names[0] + " and " + names[1] + " stay"
	}
	return fmt.Sprintf("%s and %d more sources stay", names[0], len(names)-1)
}

func (c *Change) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// editSpec writes the new version, and what follows from it, into the spec.
func (c *Change) editSpec(all []form) error {
	n := c.named
	s := parseSpec(n.pkg.Spec)
	changed := map[int]bool{}
	set := func(d definition, value string) {
		if value != d.value && !changed[d.line] {
			s.set(d, value)
			changed[d.line] = true
		}
	}
	set(n.at, n.prefix+c.New)
	changed[n.at.line] = true
	for _, m := range c.Moves {
		for _, name := range m.From.Names() {
			for _, tag := range s.sourceOf(name) {
				for _, d := range s.used(tag.value) {
					set(d, part(d.value, all))
				}
				host, rest := beyondHost(tag.value)
				set(tag, host+rewrite(rest, all))
			}
		}
	}
	for _, i := range s.setups {
		if l := rewrite(s.lines[i], whole(all)); l != s.lines[i] {
			s.lines[i], changed[i+1] = l, true
		}
	}
	if s.release >= 0 {
		m := number.FindStringSubmatch(s.lines[s.release])
		if m != nil && m[2] != "1" && m[2] != "0" {
			s.lines[s.release] = m[1] + "1" + m[3]
		}
	}
	c.Spec = s.text()
	c.leftOver(s, changed)
	return c.checkSources(parseSpec(n.pkg.Spec), parseSpec(c.Spec))
}

// part changes a value that is a form of the version by itself, as a directory 1.2 for 1.2.3.
func part(value string, all []form) string {
	bare := strings.TrimPrefix(value, "v")
	for _, f := range all {
		if bare == f.old {
			return strings.TrimSuffix(value, bare) + f.new
		}
	}
	return value
}

// leftOver warns of lines that a person has to look at.
func (c *Change) leftOver(s *specText, changed map[int]bool) {
	file := c.named.pkg.SpecFile
	for i, l := range s.lines {
		if changed[i+1] || s.dead[i] {
			continue
		}
		if has(l, c.Old) && strings.ContainsAny(c.Old, "._") {
			c.warn("%s:%d: %s is there too, and stays", file, i+1, c.Old)
		}
	}
	for _, defs := range s.defs {
		for _, d := range defs {
			if commit.MatchString(d.value) {
				c.warn("%s:%d: %s names a commit, and stays: look up that of %s", file, d.line, d.name,
					c.New)
			}
		}
	}
	if v, err := c.named.single("Version", s.defs["version"]); err == nil && !changed[v.line] {
		c.warn("%s:%d: Version stays: the sources are named by %s", file, v.line, c.named.at.name)
	}
}

// checkSources holds the names of sources that the new spec has against the new files.
func (c *Change) checkSources(before, after *specText) error {
	p := c.named.pkg
	for _, m := range c.Moves {
		was, is := m.From.Names(), m.To.Names()
		for i := range was {
			tags := before.sourceOf(was[i])
			if len(tags) > 0 && len(after.sourceOf(is[i])) < len(tags) {
				return p.fault([]int{tags[0].line}, "line %d would not name %s, as %s has to: change them by "+
					"hand", tags[0].line, is[i], p.File)
			}
			if len(tags) == 0 { // by hand, the spec has the new name already
				continue
			}
			for j, tag := range after.sourceOf(is[i]) {
				url, _, _ := strings.Cut(after.expand(tag.value, 0), "#")
				if was, _, _ := strings.Cut(before.expand(tags[min(j, len(tags)-1)].value, 0),
					"#"); was == m.From.URL && url != m.To.URL {
					c.warn("%s:%d: it does not name %s, from which the source came", p.SpecFile, tag.line,
						m.To.URL)
				}
			}
		}
	}
	return nil
}
