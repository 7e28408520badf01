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
	c := uses{u: &u, instead: map[module.Version]module.Version{}, at: map[string]int{}}
	for _, r := range full.Replace {
		c.instead[r.Old] = r.New
	}
	for _, r := range file.Require {
		line := 0
		if r.Syntax != nil {
			line = r.Syntax.Start.Line
		}
		c.add(r.Mod.Path, r.Mod.Version, line)
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
			c.add(m.Path, m.Version, 0)
		}
	}
	return u, nil
}

// uses collects the modules that a build uses.
type uses struct {
	u       *Uses
	instead map[module.Version]module.Version
	at      map[string]int // indexes in u.Used, by path
}

// add adds a module, or what replaces it; of two versions of one the newer.
func (c *uses) add(path, version string, line int) {
	to := module.Version{Path: path, Version: version}
	for _, old := range []module.Version{{Path: path}, {Path: path, Version: version}} {
		if other, ok := c.instead[old]; ok {
			to = other
		}
	}
	if to.Version == "" {
		c.u.Local = append(c.u.Local, path)
		return
	}
	if i, twice := c.at[to.Path]; twice {
		if semver.Compare(to.Version, c.u.Used[i].Version) > 0 {
			c.u.Used[i].Version = to.Version
		}
		return
	}
	c.at[to.Path] = len(c.u.Used)
	c.u.Used = append(c.u.Used, Used{to.Path, to.Version, line})
}
