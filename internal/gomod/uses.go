// uses: which versions of which modules the build of a Go module uses.

package gomod

import (
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Used is a module that a build uses.
type Used struct {
	Path, Version string
	Line          int // of the go.mod; 0 if only the go.sum names it
}

// Uses are the modules that a build of a Go module uses.
type Uses struct {
	Module string // its own path
	Used   []Used
	// Local are modules that directories stand for.
	Local []string
}

// pruned is the version of the go line from which on a go.mod lists all modules that builds use.
const pruned = "v1.17"

// ReadUses reads a go.mod and its go.sum; name is for messages. A go.mod of before Go 1.17 lists
// only what its module itself needs: there it takes the newest version of each module of which the
// go.sum has all files.
func ReadUses(name string, mod, sum []byte) (Uses, error) {
	file, err := modfile.ParseLax(name, mod, nil)
	if err != nil {
		return Uses{}, &Error{What: err.Error()}
	}
	full, err := modfile.Parse(name, mod, nil) // ParseLax leaves replacements out
	if err != nil {
		full = file
	}
	var u Uses
	if file.Module != nil {
		u.Module = file.Module.Mod.Path
	}
	instead := map[module.Version]module.Version{}
	for _, r := range full.Replace {
		instead[r.Old] = r.New
	}
	replace := func(path, version string) (module.Version, bool) {
		for _, old := range []module.Version{{Path: path, Version: version}, {Path: path}} {
			if to, ok := instead[old]; ok {
				return to, true
			}
		}
		return module.Version{Path: path, Version: version}, false
	}
	at := map[string]int{} // index in u.Used
	add := func(path, version string, line int) {
		to, replaced := replace(path, version)
		if replaced && to.Version == "" {
			u.Local = append(u.Local, path)
			return
		}
		if i, twice := at[to.Path]; twice {
			if semver.Compare(to.Version, u.Used[i].Version) > 0 {
				u.Used[i].Version = to.Version
			}
			return
		}
		at[to.Path] = len(u.Used)
		u.Used = append(u.Used, Used{to.Path, to.Version, line})
	}
	for _, r := range file.Require {
		line := 0
		if r.Syntax != nil {
			line = r.Syntax.Start.Line
		}
		add(r.Mod.Path, r.Mod.Version, line)
	}
	if file.Go != nil && semver.Compare("v"+strings.TrimSpace(file.Go.Version), pruned) >= 0 {
		return u, nil
	}
	sums, err := ParseSums(sum)
	if err != nil {
		return u, &Error{What: name + ": its go.sum: " + err.Error()}
	}
	for _, m := range sums {
		if m.ZipSum != "" {
			add(m.Path, m.Version, 0)
		}
	}
	return u, nil
}
