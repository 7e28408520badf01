// normalize: manifests of members of a workspace, so that they stand for themselves: what they
// inherit is written out, as "cargo vendor" does it.

package crates

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"buildsys/internal/safetext"
	"buildsys/internal/safetoml"
)

type table = map[string]any

// preamble begins a manifest that was changed.
const preamble = "# buildsys has written out what this manifest inherits from its workspace.\n\n"

// inherits reports whether a value is that of the workspace: KEY.workspace = true.
func inherits(value any) bool {
	t, ok := value.(table)
	return ok && t["workspace"] == true
}

// normalize returns the manifest with a text of a package in a directory of a repository. One that
// inherits nothing is returned as it is. find returns the manifest in a directory of the
// repository, or nil.
func normalize(text, dir string, find func(dir string) (table, error)) ([]byte, error) {
	var m table
	if _, err := safetoml.Decode(text, &m); err != nil {
		return nil, err
	}
	n := newNormalizer(tableIn(m, "package"), dir, find)
	if err := n.all(m); err != nil {
		return nil, err
	}
	if n.workspace == nil {
		return []byte(text), nil
	}
	delete(m, "workspace")
	delete(tableIn(m, "package"), "workspace")
	out := bytes.NewBufferString(preamble)
	e := toml.NewEncoder(out)
	e.Indent = ""
	if err := e.Encode(m); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// normalizer replaces what one manifest inherits.
type normalizer struct {
	dir       string
	find      func(dir string) (table, error)
	named     string // package.workspace
	workspace table  // nil if nothing has been inherited so far
	up        string // the path from the package to the workspace
}

func newNormalizer(pkg table, dir string, find func(string) (table, error)) *normalizer {
	named, _ := pkg["workspace"].(string)
	return &normalizer{dir: dir, find: find, named: named}
}

// all replaces everything.
func (n *normalizer) all(m table) error {
	pkg := tableIn(m, "package")
	for _, key := range slices.Sorted(maps.Keys(pkg)) {
		if key == "metadata" || !inherits(pkg[key]) {
			continue
		}
		value, err := n.ofPackage(key)
		if err != nil {
			return err
		}
		pkg[key] = value
	}
	for _, of := range []struct{ key, path string }{{"lints", "lints"}, {"badges", "package.badges"}} {
		if !inherits(m[of.key]) {
			continue
		}
		value, err := n.inherited(strings.Split(of.path, ".")...)
		if err != nil {
			return err
		}
		m[of.key] = value
	}
	if err := n.dependencies(m); err != nil {
		return err
	}
	targets := tableIn(m, "target")
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		if err := n.dependencies(tableIn(targets, name)); err != nil {
			return err
		}
	}
	return nil
}

// ofPackage returns an inherited value of [package]. Files are named from the package's directory.
func (n *normalizer) ofPackage(key string) (any, error) {
	value, err := n.inherited("package", key)
	if name, ok := value.(string); ok && (key == "readme" || key == "license-file") {
		value = path.Join(n.up, name)
	}
	return value, err
}

// inherited returns a value of the workspace.
func (n *normalizer) inherited(keys ...string) (any, error) {
	if n.workspace == nil {
		if err := n.findWorkspace(); err != nil {
			return nil, err
		}
	}
	in, last := n.workspace, len(keys)-1
	for _, key := range keys[:last] {
		in = tableIn(in, key)
	}
	value, ok := in[keys[last]]
	if !ok {
		return nil, fmt.Errorf("it inherits %s, which its workspace does not have",
			safetext.Line(strings.Join(keys, ".")))
	}
	return value, nil
}

// findWorkspace finds the workspace as cargo does: where package.workspace says, or in the nearest
// directory upwards that does not exclude the package.
func (n *normalizer) findWorkspace() error {
	for _, dir := range n.candidates() {
		m, err := n.find(dir)
		if err != nil {
			return err
		}
		ws, ok := m["workspace"].(table)
		if !ok || n.named == "" && dir != n.dir && excludes(ws, n.from(dir)) {
			continue
		}
		n.workspace = ws
		up, err := filepath.Rel("/"+n.dir, "/"+dir)
		n.up = filepath.ToSlash(up)
		return err
	}
	return errors.New("it inherits from a workspace, of which the repository has none")
}

// candidates returns the directories that may have the workspace.
func (n *normalizer) candidates() (dirs []string) {
	if n.named != "" {
		dir := path.Join(n.dir, n.named)
		if path.IsAbs(n.named) || dir == ".." || strings.HasPrefix(dir, "../") {
			return nil
		}
		if dir == "." {
			dir = ""
		}
		return []string{dir}
	}
	for dir := n.dir; dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == "" {
			return dirs
		}
	}
	return append(dirs, "")
}

// from returns the path from a directory above to the package.
func (n *normalizer) from(dir string) string {
	return strings.TrimPrefix(strings.TrimPrefix(n.dir, dir), "/")
}

// excludes reports whether a workspace excludes a directory in it, and has it not as a member by
// name.
func excludes(ws table, dir string) bool {
	has := func(key string) bool {
		names, _ := ws[key].(nameSet)
		for at := dir; at != "." && at != ""; at = path.Dir(at) {
			if names[at] {
				return true
			}
		}
		return false
	}
	return has("exclude") && !has("members")
}

// nameSet are the names in a list of a workspace, of which there may be as many as packages.
type nameSet map[string]bool

// onlyWorkspace returns the workspace of a manifest, with its lists of directories as nameSets.
func onlyWorkspace(m table) table {
	ws, ok := m["workspace"].(table)
	if !ok {
		return nil
	}
	for _, key := range []string{"exclude", "members"} {
		list, _ := ws[key].([]any)
		names := nameSet{}
		for _, one := range list {
			if name, ok := one.(string); ok {
				names[path.Clean(name)] = true
			}
		}
		ws[key] = names
	}
	return table{"workspace": ws}
}

// dependencies replaces what the dependencies of a package, or those for a target, inherit.
func (n *normalizer) dependencies(m table) error {
	for _, key := range []string{"dependencies", "dev-dependencies", "dev_dependencies",
		"build-dependencies", "build_dependencies"} {
		deps := tableIn(m, key)
		for _, name := range slices.Sorted(maps.Keys(deps)) {
			if !inherits(deps[name]) {
				continue
			}
			base, err := n.inherited("dependencies", name)
			if err != nil {
				return err
			}
			if deps[name], err = n.merge(deps[name].(table), base); err != nil {
				return fmt.Errorf("dependency %s: %w", safetext.Line(name), err)
			}
		}
	}
	return nil
}

// defaults is the key that leaves out the default features of a dependency, in its two spellings.
var defaults = []string{"default-features", "default_features"}

// merge returns a dependency of the workspace with what the package adds to it.
func (n *normalizer) merge(own table, base any) (table, error) {
	dep := table{}
	switch base := base.(type) {
	case string:
		dep["version"] = base
	case table:
		maps.Copy(dep, base)
	default:
		return nil, errors.New("that of the workspace is neither a version nor a table")
	}
	if at, ok := dep["path"].(string); ok && !path.IsAbs(at) {
		dep["path"] = path.Join(n.up, at)
	}
	plain, all := false, true // all is whether the workspace has the default features
	for _, key := range defaults {
		all = all && dep[key] != false
		plain = plain || own[key] == true
	}
	if plain && !all { // the package wants them
		for _, key := range defaults {
			delete(dep, key)
		}
	}
	for key, value := range own {
		switch {
		case key == "workspace" || slices.Contains(defaults, key):
		case key == "features":
			more, ok := value.([]any)
			old, had := dep[key].([]any)
			if !ok || !had && dep[key] != nil {
				return nil, errors.New("its features are not a list")
			}
			dep[key] = slices.Concat(old, more)
		default:
			dep[key] = value
		}
	}
	return dep, nil
}

// tableIn returns a table in another one; an empty one if there is none.
func tableIn(t table, key string) table {
	in, _ := t[key].(table)
	return in
}
