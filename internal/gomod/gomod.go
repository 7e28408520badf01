// Package gomod reads, out of an archive of sources, which other modules a Go module there needs.
// It runs nothing and fetches nothing.
package gomod

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"buildsys/internal/errkind"
)

// Module is a module of a go.sum. The sums are as there, "h1:" and base64; each may be empty.
type Module struct {
	Path    string // "golang.org/x/text"
	Version string // "v0.3.0"
	ModSum  string // of its go.mod
	ZipSum  string // of all its files; empty when only its go.mod counts
}

// Error says why the modules of an archive cannot be told. Nothing is wrong with the machine: the
// archive is not what the manifest takes it for.
type Error struct {
	What string // "no go.mod in foo-1.0"
	Hint string // what to do; may be empty
}

// Error is the text for people.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + "; " + e.Hint
}

// ErrorKind returns errkind.Usage.
func (*Error) ErrorKind() errkind.Kind { return errkind.Usage }

// Read returns the modules that the go.sum in an archive's directory root names, sorted. An empty
// root is the only directory at the top of the archive. The error is an *Error, or that of reading
// the file.
//
// All of them are returned, though the module may need fewer: only the go command knows, and it
// knows only with their go.mod files at hand.
func Read(archive, root string) ([]Module, error) {
	found, err := find(archive, root)
	if err != nil {
		return nil, err
	}
	mod, err := modfile.ParseLax(path.Join(found.root, "go.mod"), found.mod, nil)
	if err != nil {
		return nil, &Error{What: err.Error()} // begins with the name and the line
	}
	if len(mod.Require) == 0 {
		return nil, &Error{What: "the module in " + found.root + " needs no other modules",
			Hint: "remove bundle-modules"}
	}
	modules, err := ParseSums(found.sum)
	if err != nil {
		return nil, &Error{What: fmt.Sprintf("%s/go.sum: %v", found.root, err)}
	}
	return modules, nil
}

// ParseSums reads a go.sum. Lines with kinds of sums that are not known are left out, as the go
// command does.
func ParseSums(text []byte) ([]Module, error) {
	byName := map[module.Version]*Module{}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("line %d is not: module version sum", n)
		}
		name, sum := words[0], words[2]
		version, isMod := strings.CutSuffix(words[1], "/go.mod")
		if err := module.Check(name, version); err != nil { // it becomes a file name and a URL
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !strings.HasPrefix(sum, "h1:") {
			continue
		}
		key := module.Version{Path: name, Version: version}
		m := byName[key]
		if m == nil {
			m = &Module{Path: name, Version: version}
			byName[key] = m
		}
		which := &m.ZipSum
		if isMod {
			which = &m.ModSum
		}
		if *which != "" && *which != sum {
			return nil, fmt.Errorf("line %d gives %s %s another sum than an earlier line", n, name, words[1])
		}
		*which = sum
	}
	modules := make([]Module, 0, len(byName))
	for _, m := range byName {
		modules = append(modules, *m)
	}
	slices.SortFunc(modules, func(a, b Module) int {
		return strings.Compare(a.Path+"@"+a.Version, b.Path+"@"+b.Version)
	})
	return modules, nil
}
