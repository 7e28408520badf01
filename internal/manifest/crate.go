// crate: the parts of Cargo.toml that packages, kits and variants share and that cargo reads as
// well.

package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// crateTable holds [package] and the table that buildsys reads below [package.metadata], nil when
// absent.
type crateTable struct {
	name       string
	nameLine   int
	cargoFiles []string
	metadata   *table
}

// crate reads [package] and [lib], and accepts the other tables that cargo defines. want is the
// name of the metadata table.
func (t *table) crate(want string) crateTable {
	t.accept("bin", "example", "test", "bench", "dev-dependencies", "features", "patch",
		"replace", "profile",
		"workspace", "lints", "badges", "cargo-features")
	t.targets()
	var c crateTable
	if lib := t.sub("lib"); lib != nil {
		if file, ok := lib.str("path"); ok {
			c.cargoFiles = append(c.cargoFiles, file)
		}
	}
	pkg := t.sub("package")
	if pkg == nil {
		if !t.has("package") {
			t.doc.problems.add(t.doc.file, 0, "", "[package] is missing")
		}
		return c
	}
	pkg.acceptCargo()
	var named bool
	c.name, named = pkg.str("name")
	c.nameLine = pkg.line("name")
	switch {
	case !pkg.has("name"):
		pkg.fault("", "", "\"name\" is missing in [package]")
	case named && !matches(crateRule, c.name):
		pkg.fault("name", "use A-Z, a-z, 0-9, '_' and '-'; names with other characters go into "+
			"package-name",
			"%s cannot be the name of a crate", quote(c.name))
		c.name = ""
	}
	if script, ok := pkg.vals["build"].(string); ok {
		c.cargoFiles = append(c.cargoFiles, script)
	}
	if meta := pkg.sub("metadata"); meta != nil {
		c.metadata = meta.wanted(want)
	}
	pkg.finish()
	return c
}

// targets refuses dependencies of single platforms: cargo follows them on some machines only, and a
// graph must be the same on all.
func (t *table) targets() {
	all := t.sub("target")
	if all == nil {
		return
	}
	for cfg := range all.vals {
		one := all.sub(cfg)
		if one == nil {
			continue
		}
		for _, kind := range []string{"build-dependencies", "dependencies"} {
			if one.has(kind) {
				one.fault(kind, "move them to ["+kind+"]",
					"dependencies in %s are of some machines only, and not read", one.child(nil, kind).name())
			}
		}
	}
}

// acceptCargo accepts the keys of [package] that cargo defines (The Cargo Book, "The Manifest
// Format").
func (t *table) acceptCargo() {
	t.accept("version", "authors", "edition", "rust-version", "description", "documentation", "readme",
		"homepage",
		"repository", "license", "license-file", "keywords", "categories", "workspace", "build", "links",
		"exclude",
		"include", "publish", "metadata", "default-run", "autolib", "autobins", "autoexamples",
		"autotests",
		"autobenches", "resolver")
}

// wanted returns the metadata table of the given name. It leaves tables of other tools alone, but
// reports one whose name is nearly ours as a typing mistake; Bottlerocket's buildsys ignored those
// silently.
func (t *table) wanted(want string) *table {
	place := map[string]string{"build-package": "packages", "build-variant": "variants",
		"build-kit": "kits"}
	for key := range t.vals {
		switch near := Nearest(key, []string{"build-package", "build-variant", "build-kit"}); {
		case key == want:
		case place[key] != "":
			t.fault(key, "", "[package.metadata.%s] belongs in a manifest below %s/", key, place[key])
		case near != "":
			t.tolerate(key, didYouMean(key, []string{near}), "unknown table %s in [package.metadata]",
				quote(key))
		}
	}
	return t.sub(want)
}

// dependencies reads a dependency table, in the order of its lines. Trees have no dependencies but
// those by path.
func (t *table) dependencies(kind string) []Dependency {
	deps := t.sub(kind)
	if deps == nil {
		return nil
	}
	var out []Dependency
	for key, raw := range deps.vals {
		vals, ok := raw.(map[string]any)
		if !ok {
			deps.fault(key, deps.byPath(key), "dependency %s in [%s] must be a table, not %s", quote(key),
				kind, typeName(raw))
			continue
		}
		if dep, ok := deps.child(vals, key).dependency(key, kind); ok {
			out = append(out, dep)
		}
	}
	slices.SortFunc(out, func(a, b Dependency) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Key, b.Key)
	})
	return out
}

// byPath returns the hint for a dependency without a path.
func (t *table) byPath(key string) string {
	to := "../"
	if !strings.HasPrefix(t.doc.file, "packages/") {
		to = "../../packages/"
	}
	if !matches(crateRule, key) {
		return fmt.Sprintf("write name = { path = %q }", to+"name")
	}
	return fmt.Sprintf("write %s = { path = %q }", key, to+key)
}

func (t *table) dependency(key, kind string) (Dependency, bool) {
	dep := Dependency{Key: key, Line: t.line()}
	if t.has("workspace") { // cargo takes the path from the Cargo.toml above
		t.fault("workspace", t.byPath(key),
			"dependency %s in [%s] is inherited from [workspace.dependencies], which is not read",
			quote(key), kind)
		return dep, false
	}
	for other := range t.vals {
		if other != "path" {
			hint := "only \"path\" is supported"
			if near := didYouMean(other, []string{"path"}); near != "" {
				hint = near
			}
			t.tolerate(other, hint, "unknown key %s of dependency %s in [%s]", quote(other), quote(key),
				kind)
		}
	}
	var ok bool
	if dep.Path, ok = t.str("path"); !ok && !t.has("path") {
		t.fault("", t.byPath(key), "dependency %s in [%s] has no path", quote(key), kind)
	}
	return dep, ok
}
