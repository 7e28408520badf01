// Package audit says which packages of a tree, and which Go modules and crates that they are made
// of, have faults that are known: by the tree's advisories and by databases in the format of OSV.
// What could not be compared is counted and named.
package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/osv"
	"buildsys/internal/safetext"
)

// The kinds of parts.
const (
	Package = "package"
	Module  = "go-module"
	Crate   = "crate"
)

// Part is a package of the tree, or something that one is made of, in one version.
type Part struct {
	Kind    string
	Name    string
	Version string
	Of      string // the package, or the file of the tree that names it
	File    string // where its version is, for people
	Line    int
	Known   osv.Subject // as databases know it
}

// Finding is a part with a fault that is known.
type Finding struct {
	Level         lint.Level
	ID            string
	Aliases       []string
	Summary       string
	Severity      string
	Informational string
	Fixed         []string
	Advisory      string // the file of the tree; empty if a database has it
	Part          Part
	Ignored       *manifest.Ignore // why it does not count
}

// Names are all names of the fault.
func (f Finding) Names() []string { return append([]string{f.ID}, f.Aliases...) }

// Problem returns the finding as a mistake in a file.
func (f Finding) Problem() manifest.Problem {
	name := f.Part.Name
	if f.Part.Of != "" && f.Part.Of != name && f.Part.Kind != Package {
		name = f.Part.Kind + " " + name
	}
	msg := fmt.Sprintf("%s %s: %s", name, f.Part.Version, f.ID)
	if len(f.Aliases) > 0 {
		msg += " (" + strings.Join(f.Aliases, ", ") + ")"
	}
	for _, word := range []string{f.Severity, f.Informational} {
		if word != "" {
			msg += ", " + word
		}
	}
	if f.Summary != "" {
		msg += ": " + f.Summary
	}
	hint := "no version without it is known"
	if len(f.Fixed) > 0 {
		hint = "fixed in " + strings.Join(f.Fixed, ", ")
	}
	return manifest.Problem{File: f.Part.File, Line: f.Part.Line, Msg: safetext.Line(msg),
		Hint: safetext.Line(hint), Warning: f.Level != lint.Error}
}

// Report is what an audit found.
type Report struct {
	Findings   []Finding // sorted; those that are ignored too
	Warnings   manifest.Problems
	Notes      []osv.Note // what was not compared
	Parts      map[string]int
	Advisories int // of the tree
	Entries    int // of databases
	Withdrawn  int
	Elsewhere  int // entries about other systems

	named map[name]int // findings of databases
}

// name is one that a fault of a part has.
type name struct {
	kind, part, version, file, fault string
}

func (f Finding) name(fault string) name {
	return name{f.Part.Kind, f.Part.Name, f.Part.Version, f.Part.File, fault}
}

// Count returns how many findings are errors, are warnings, and are ignored.
func (r Report) Count() (errs, warnings, ignored int) {
	for _, f := range r.Findings {
		switch {
		case f.Ignored != nil:
			ignored++
		case f.Level == lint.Error:
			errs++
		default:
			warnings++
		}
	}
	return errs, warnings, ignored
}

// AddDatabases adds what databases say. The subjects of m are those of parts, in their order.
func (r *Report) AddDatabases(result osv.Result, parts []Part) {
	r.Entries, r.Withdrawn, r.Elsewhere = result.Entries, result.Withdrawn, result.Elsewhere
	r.Notes = append(r.Notes, result.Notes...)
	for _, h := range result.Hits {
		f := Finding{Level: lint.Error, ID: h.ID, Aliases: h.Aliases, Summary: h.Summary,
			Severity: h.Severity, Informational: h.Informational, Fixed: h.Fixed, Part: parts[h.Subject]}
		if h.Informational != "" {
			f.Level = lint.Warning
		}
		r.add(f)
	}
}

// add adds a finding, or to one of databases about the same fault of the same part its names.
func (r *Report) add(f Finding) {
	if f.Advisory != "" {
		r.Findings = append(r.Findings, f)
		return
	}
	if r.named == nil {
		r.named = map[name]int{}
	}
	at, known := 0, false
	for _, fault := range f.Names() {
		if at, known = r.named[f.name(fault)]; known {
			break
		}
	}
	if !known {
		at = len(r.Findings)
		r.Findings = append(r.Findings, f)
	}
	old := &r.Findings[at]
	for _, fault := range f.Names() {
		if _, taken := r.named[f.name(fault)]; taken {
			continue
		}
		r.named[f.name(fault)] = at
		if known {
			old.Aliases = append(old.Aliases, fault)
		}
	}
	old.Severity, old.Summary = cmp.Or(old.Severity, f.Severity), cmp.Or(old.Summary, f.Summary)
	if f.Level == lint.Error {
		old.Level = f.Level
	}
}

// Ignore takes out what a tree's audit.toml says. file is its name; whole says that everything of
// the tree was looked at, so that what matches nothing has no use.
func (r *Report) Ignore(file string, all []manifest.Ignore, whole bool, now time.Time) {
	called := map[string][]int{} // findings by the names of their faults
	for i, f := range r.Findings {
		for _, fault := range f.Names() {
			called[fault] = append(called[fault], i)
		}
	}
	for n := range all {
		one := &all[n]
		used := false
		for _, i := range called[one.ID] {
			f := &r.Findings[i]
			if one.Package != "" && one.Package != f.Part.Of &&
				one.Package != f.Part.Name {
				continue
			}
			if used = true; now.Before(one.Until) {
				f.Ignored = one
			}
		}
		last := one.Until.AddDate(0, 0, -1).Format(time.DateOnly)
		warn := func(msg, hint string) {
			r.Warnings = append(r.Warnings, manifest.Problem{File: file, Line: one.Line, Warning: true,
				Msg: msg, Hint: hint})
		}
		switch {
		case !now.Before(one.Until):
			warn(fmt.Sprintf("%s is ignored no longer: until was %s", safetext.Line(one.ID), last),
				"look at it again, and remove this or write another date")
		case !used && whole:
			warn(fmt.Sprintf("%s is ignored, but nothing has it", safetext.Line(one.ID)), "remove this")
		}
	}
}

// Sort orders what was found.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Part.File, b.Part.File), cmp.Compare(a.Part.Line, b.Part.Line),
			cmp.Compare(a.Part.Name, b.Part.Name), cmp.Compare(a.Part.Version, b.Part.Version),
			cmp.Compare(a.ID, b.ID))
	})
	r.Warnings = r.Warnings.Sorted()
	slices.SortStableFunc(r.Notes, func(a, b osv.Note) int { return cmp.Compare(a.Why, b.Why) })
}

// Note adds something that was not compared.
func (r *Report) Note(why, example string) {
	for i := range r.Notes {
		n := &r.Notes[i]
		if n.Why != why {
			continue
		}
		if slices.Contains(n.Examples, example) {
			return
		}
		if n.Count++; len(n.Examples) < maxExamples {
			n.Examples = append(n.Examples, example)
		}
		return
	}
	r.Notes = append(r.Notes, osv.Note{Why: why, Count: 1, Examples: []string{example}})
}

// maxExamples bounds the examples of a note.
const maxExamples = 20
