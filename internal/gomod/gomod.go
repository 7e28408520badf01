// Package gomod finds the modules that a Go module in an archive of sources needs, by the go.sum
// there. It runs nothing and fetches nothing; package fetch fetches the modules.
package gomod

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"buildsys/internal/archive"
)

// Module is a module in a go.sum. The sums are written as there, "h1:" and base64; each may be
// empty.
type Module struct {
	Path    string // "golang.org/x/text"
	Version string // "v0.3.0"
	ModSum  string // of its go.mod
	ZipSum  string // of all its files; empty if only its go.mod is needed
}

// MaxText is the size of the largest go.mod or go.sum, as in the go command.
const MaxText = 16 << 20

// Error is the reason why the modules of an archive cannot be determined: the archive is not what
// the manifest declares.
type Error = archive.Error

// Read returns the modules that the go.sum in an archive's directory root names, sorted. An empty
// root means the only directory at the top of the archive. The error is an *Error, one from reading
// the file, or ctx's.
//
// The module may need fewer than these, but only the go command can tell, and only when it has
// their go.mod files.
func Read(ctx context.Context, file, root string) ([]Module, error) {
	found, err := archive.Find(ctx, file, archive.Wanted{Root: root,
		Names: []string{"go.mod", "go.sum"}, Max: MaxText, Of: "the Go module"})
	if err != nil {
		return nil, err
	}
	mod, err := modfile.ParseLax(path.Join(found.Root, "go.mod"), found.Files["go.mod"], nil)
	if err != nil {
		return nil, &Error{What: err.Error()} // begins with the name and the line
	}
	if len(mod.Require) == 0 {
		return nil, &Error{What: "the module in " + found.Root + " needs no other modules",
			Hint: "remove bundle-modules"}
	}
	modules, err := ParseSums(found.Files["go.sum"])
	if err != nil {
		return nil, &Error{What: fmt.Sprintf("%s/go.sum: %v", found.Root, err)}
	}
	return modules, nil
}

// Needed is what a go.mod says of the modules that its module needs.
type Needed struct {
	Others bool     // it needs any
	Local  []string // directories that stand for modules, relative to that of the module or absolute
}

// Needs reads a go.mod; name is for messages.
func Needs(name string, text []byte) (Needed, error) {
	mod, err := modfile.Parse(name, text, nil)
	if err != nil {
		return Needed{}, &Error{What: err.Error()} // begins with the name and the line
	}
	n := Needed{Others: len(mod.Require) > 0}
	for _, r := range mod.Replace {
		if r.New.Version == "" {
			n.Local = append(n.Local, r.New.Path)
		}
	}
	return n, nil
}

// maxModules bounds the modules of a go.sum, each of which is fetched. Kubernetes has 500.
const maxModules = 20000

// ParseSums reads a go.sum. Like the go command, it ignores lines with unknown kinds of sums.
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
			return nil, fmt.Errorf("line %d is not of the form \"module version sum\"", n)
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
		if m == nil && len(byName) == maxModules {
			return nil, fmt.Errorf("line %d: it names more than %d modules", n, maxModules)
		}
		if m == nil {
			m = &Module{Path: name, Version: version}
			byName[key] = m
		}
		which := &m.ZipSum
		if isMod {
			which = &m.ModSum
		}
		if *which != "" && *which != sum {
			return nil, fmt.Errorf("line %d has a different sum for %s %s than an earlier line", n, name,
				words[1])
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
