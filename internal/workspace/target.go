// target: what a name on a command line means.

package workspace

import (
	"path"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Kind is what a Target is.
type Kind string

// The kinds of Target, as they are written before a name.
const (
	PackageKind Kind = "package"
	KitKind     Kind = "kit"
	VariantKind Kind = "variant"
)

// Target is a package, a kit or a variant that a command line names.
type Target struct {
	Kind Kind // empty if the name does not say it
	Name string
}

// String returns the name as it can be typed: "kit/core", or "core" without a kind.
func (t Target) String() string {
	if t.Kind == "" {
		return t.Name
	}
	return string(t.Kind) + "/" + t.Name
}

// ParseTarget reads NAME, package/NAME, kit/NAME or variant/NAME. The names of directories, as a
// shell completes them, mean the same: packages/NAME/.
func ParseTarget(text string) Target {
	first, name, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, "./"), "/"), "/")
	if !ok {
		return Target{Name: first}
	}
	switch first {
	case string(PackageKind), packagesDir:
		return Target{PackageKind, name}
	case string(KitKind), kitsDir:
		return Target{KitKind, name}
	case string(VariantKind), variantsDir:
		return Target{VariantKind, name}
	}
	return Target{Name: text}
}

// Find returns the target of the tree that a name means. The error is one of usage: nothing has the
// name, or several have.
func (w *Workspace) Find(text string) (Target, error) {
	t := ParseTarget(text)
	if kit := w.KitIn(path.Join(kitsDir, t.Name)); t.Kind == KitKind && kit != "" {
		return Target{KitKind, kit}, nil
	}
	var found, known []string
	for _, one := range []struct {
		kind  Kind
		names []string
	}{{PackageKind, w.PackageNames()}, {KitKind, w.KitNames()}, {VariantKind, w.VariantNames()}} {
		if t.Kind != "" && t.Kind != one.kind {
			continue
		}
		known = append(known, one.names...)
		if slices.Contains(one.names, t.Name) {
			found = append(found, Target{one.kind, t.Name}.String())
		}
	}
	switch len(found) {
	case 0:
		what := string(t.Kind)
		if what == "" {
			what = "package, kit or variant"
		}
		return t, errkind.Usagef("no %s %q; %s", what, t.Name,
			manifest.NameHint(t.Name, slices.Compact(known)))
	case 1:
		return ParseTarget(found[0]), nil
	}
	return t, errkind.Usagef("%q has several meanings: write %s", t.Name,
		strings.Join(found, " or "))
}

// As returns the name of a target that must be of a kind, and an error of usage if its name says
// another one, or can be no part of a path: it becomes one.
func (t Target) As(kind Kind) (string, error) {
	switch {
	case t.Kind != "" && t.Kind != kind:
	case t.Name == "", t.Name == ".", t.Name == "..", strings.ContainsAny(t.Name, "/\x00"):
		return "", errkind.Usagef("%q is not the name of a %s", t.Name, kind)
	default:
		return t.Name, nil
	}
	return "", errkind.Usagef("%s is a %s; name a %s here", t, t.Kind, kind)
}

// Here returns the package, kit or variant whose directory dir is, or contains it; ok is false if
// there is none. The name of a kit is that of its directory.
func Here(root, dir string) (t Target, ok bool) {
	below := Below(root, dir)
	parts := strings.SplitN(below, "/", 3)
	switch {
	case len(parts) < 2:
		return t, false
	case parts[0] != kitsDir: // kits may lie deeper
		below = path.Join(parts[0], parts[1])
	}
	if t = ParseTarget(below); t.Kind == "" {
		return Target{}, false
	}
	return t, true
}
