// diff: how the parts of two images or kits differ.

package sbom

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diff is how two documents differ. Lists are never nil.
type Diff struct {
	Packages []PackageDiff `json:"packages"`
	Sources  []SourceDiff  `json:"sources"`
	Modules  []ModuleDiff  `json:"modules"`
}

// PackageDiff is how an RPM differs. Before or After is empty if only one document has it.
type PackageDiff struct {
	Name    string `json:"name"`
	Before  string `json:"before"` // epoch, version and release
	After   string `json:"after"`
	License string `json:"license"` // "GPL-2.0-only → MIT" if it changed, else ""
	Added   int    `json:"added"`   // files
	Removed int    `json:"removed"`
	Changed int    `json:"changed"`
}

// SourceDiff is a file of a source package that only one document has, or with other contents.
type SourceDiff struct {
	Source string `json:"source"`
	File   string `json:"file"`
	Before string `json:"before"` // the first digits of its hash
	After  string `json:"after"`
}

// ModuleDiff is how the versions of a Go module or crate differ.
type ModuleDiff struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Before string `json:"before"` // versions, separated by spaces
	After  string `json:"after"`
}

// Same reports whether there are no differences.
func (d Diff) Same() bool { return len(d.Packages)+len(d.Sources)+len(d.Modules) == 0 }

// Compare returns how two documents differ.
func Compare(before, after Document) Diff {
	before, after = before.sorted(), after.sorted()
	return Diff{Packages: comparePackages(before, after), Sources: compareSources(before, after),
		Modules: compareModuleLists(before, after)}
}

// pair is what two documents have under one name.
type pair[T any] struct {
	name          string
	before, after []T
}

// pairs returns what two documents have by name, sorted.
func pairs[T any](before, after []T, name func(T) string) []pair[T] {
	at := map[string]*pair[T]{}
	find := func(one T) *pair[T] {
		n := name(one)
		if at[n] == nil {
			at[n] = &pair[T]{name: n}
		}
		return at[n]
	}
	for _, one := range before {
		p := find(one)
		p.before = append(p.before, one)
	}
	for _, one := range after {
		p := find(one)
		p.after = append(p.after, one)
	}
	all := make([]pair[T], 0, len(at))
	for _, p := range at {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pair[T]) int { return strings.Compare(a.name, b.name) })
	return all
}

func comparePackages(before, after Document) []PackageDiff {
	all := []PackageDiff{}
	for _, p := range pairs(before.Packages, after.Packages,
		func(p Package) string { return p.Name + "." + p.Arch }) {
		for i := range max(len(p.before), len(p.after)) {
			var was, is Package
			one := PackageDiff{}
			if i < len(p.before) {
				was = p.before[i]
				one.Name, one.Before = was.Name, was.EVR()
			}
			if i < len(p.after) {
				is = p.after[i]
				one.Name, one.After = is.Name, is.EVR()
			}
			if one.Before != "" && one.After != "" && was.License != is.License {
				one.License = was.License + " → " + is.License
			}
			one.countFiles(was.Files, is.Files)
			if one.Before != one.After || one.License != "" || one.Added+one.Removed+one.Changed > 0 {
				all = append(all, one)
			}
		}
	}
	return all
}

func (d *PackageDiff) countFiles(before, after []File) {
	for _, f := range pairs(before, after, func(f File) string { return f.Path }) {
		switch {
		case len(f.before) == 0:
			d.Added++
		case len(f.after) == 0:
			d.Removed++
		case f.before[0].SHA256 != f.after[0].SHA256:
			d.Changed++
		}
	}
}

// compareSources compares archives and files of source packages by name.
func compareSources(before, after Document) []SourceDiff {
	all := []SourceDiff{}
	for _, s := range pairs(sourceFiles(before), sourceFiles(after),
		func(f SourceDiff) string { return f.Source + "\x00" + f.File }) {
		one := SourceDiff{}
		if len(s.before) > 0 {
			one = SourceDiff{s.before[0].Source, s.before[0].File, s.before[0].Before, ""}
		}
		if len(s.after) > 0 {
			one.Source, one.File, one.After = s.after[0].Source, s.after[0].File, s.after[0].Before
		}
		if one.Before != one.After {
			all = append(all, one)
		}
	}
	return all
}

// sourceFiles returns the archives and files of all source packages.
func sourceFiles(d Document) (all []SourceDiff) {
	for _, s := range d.Sources {
		for _, a := range s.Archives {
			all = append(all, SourceDiff{s.Name, a.Name, digits(a.SHA512), ""})
		}
		for _, f := range s.Files {
			all = append(all, SourceDiff{s.Name, f.Path, digits(f.SHA256), ""})
		}
	}
	return all
}

func digits(hash string) string { return hash[:min(len(hash), 12)] }

func compareModuleLists(before, after Document) []ModuleDiff {
	all := []ModuleDiff{}
	versions := func(modules []Module) string {
		var words []string
		for _, m := range modules {
			words = append(words, m.Version)
		}
		return strings.Join(slices.Compact(words), " ")
	}
	for _, m := range pairs(before.modules(), after.modules(),
		func(m Module) string { return m.Type + " " + m.Name }) {
		kind, name, _ := strings.Cut(m.name, " ")
		one := ModuleDiff{kind, name, versions(m.before), versions(m.after)}
		if one.Before != one.After {
			all = append(all, one)
		}
	}
	return all
}

// Lines returns the differences as text, a line each.
func (d Diff) Lines() (lines []string) {
	for _, p := range d.Packages {
		text := fmt.Sprintf("package %s: %s → %s", p.Name, cmp.Or(p.Before, "-"), cmp.Or(p.After, "-"))
		if p.Before == p.After {
			text = fmt.Sprintf("package %s %s", p.Name, p.After)
		}
		if p.License != "" {
			text += ", licence " + p.License
		}
		if n := p.Added + p.Removed + p.Changed; n > 0 {
			text += fmt.Sprintf(", files: %d added, %d removed, %d changed", p.Added, p.Removed, p.Changed)
		}
		lines = append(lines, text)
	}
	for _, s := range d.Sources {
		lines = append(lines, fmt.Sprintf("source %s: %s %s → %s", s.Source, s.File,
			cmp.Or(s.Before, "-"), cmp.Or(s.After, "-")))
	}
	for _, m := range d.Modules {
		lines = append(lines, fmt.Sprintf("%s %s: %s → %s", m.Type, m.Name, cmp.Or(m.Before, "-"),
			cmp.Or(m.After, "-")))
	}
	return lines
}
