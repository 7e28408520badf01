// features: which image features an image has, and which of them reach the build of a package.

package plan

import (
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// addPackageFeatures adds the build argument with the image features that the package lists and the
// variant has. Without any there is no argument, so all variants without them share the package.
func (m *maker) addPackageFeatures(pkg *workspace.Package, args map[string]string) error {
	if len(pkg.PackageFeatures) == 0 {
		return nil
	}
	if m.variant == nil {
		return &RequestError{
			What: "package " + pkg.Name,
			Why:  "it has package-features (" + pkg.File + ") and no variant is named",
			Hint: "name one with --variant or BUILDSYS_VARIANT",
		}
	}
	on := slices.DeleteFunc(m.variant.Features(),
		func(f string) bool { return !slices.Contains(pkg.PackageFeatures, f) })
	if len(on) > 0 {
		args["PACKAGE_FEATURES"] = strings.Join(on, " ")
	}
	return nil
}

// featureWords returns one word for each image feature that trees like that of v know: its name if
// v has it, otherwise "no-" and its name.
func featureWords(v *workspace.Variant) []string {
	on := v.Features()
	words := slices.DeleteFunc(manifest.ImageFeatures(),
		func(f string) bool { return !v.KnowsFeature(f) })
	for i, f := range words {
		if !slices.Contains(on, f) {
			words[i] = "no-" + f
		}
	}
	return words
}
