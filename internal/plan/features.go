// features: which image features an image has, and which of them reach a package's build.

package plan

import (
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Features returns the image features that the images of v have, sorted: in-place-updates and
// host-containers unless v switches them off, and whatever it switches on. It is what `Provides`,
// build arguments and packages go by.
func Features(v *workspace.Variant) []string { return v.Features() }

// addPackageFeatures adds the argument that tells a package's build of image features: those that
// the package lists and the variant has. Where there is none there is no argument, so that all
// variants without them share the package.
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
	on := slices.DeleteFunc(Features(m.variant),
		func(f string) bool { return !slices.Contains(pkg.PackageFeatures, f) })
	if len(on) > 0 {
		args["PACKAGE_FEATURES"] = strings.Join(on, " ")
	}
	return nil
}

// featureWords has a word for each feature there is: its name when v has it, "no-" and its name
// when not.
func featureWords(v *workspace.Variant) []string {
	on := Features(v)
	words := manifest.ImageFeatures()
	for i, f := range words {
		if !slices.Contains(on, f) {
			words[i] = "no-" + f
		}
	}
	return words
}
