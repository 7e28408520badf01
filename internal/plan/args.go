// args: the build arguments that every recipe gets.

package plan

import (
	"maps"
	"strings"

	"buildsys/internal/workspace"
)

// packageArgs returns the build arguments of a package. Only a variant-sensitive package gets any
// of the variant, and only the part that it is sensitive to. All other packages are the same in
// every variant.
func (m *maker) packageArgs(pkg *workspace.Package) (map[string]string, error) {
	args := m.commonArgs()
	args["PACKAGE"] = pkg.Name
	if err := m.addPackageFeatures(pkg, args); err != nil {
		return nil, err
	}
	if pkg.VariantSensitive == "" {
		return args, nil
	}
	if m.variant == nil {
		return nil, &RequestError{
			What: "package " + pkg.Name,
			Why:  "it is variant-sensitive (" + pkg.File + ") and no variant is named",
			Hint: "name one with --variant or BUILDSYS_VARIANT",
		}
	}
	all := variantArgs(m.variant)
	if pkg.VariantSensitive == "variant" {
		maps.Copy(args, all)
		return args, nil
	}
	key := "VARIANT_" + strings.ToUpper(pkg.VariantSensitive)
	args[key] = all[key]
	return args, nil
}

func (m *maker) commonArgs() map[string]string {
	return map[string]string{"SDK": m.r.SDK, "ARCH": m.r.Arch, "GOARCH": goArch(m.r.Arch)}
}

// goArch returns the go command's name of an architecture.
func goArch(arch string) string {
	if arch == "aarch64" {
		return "arm64"
	}
	return "amd64"
}

// variantArgs returns the build arguments with the variant's name and its parts.
func variantArgs(v *workspace.Variant) map[string]string {
	return map[string]string{
		"VARIANT":          v.Name,
		"VARIANT_PLATFORM": v.Platform(),
		"VARIANT_RUNTIME":  v.Runtime(),
		"VARIANT_FAMILY":   v.Family(),
		"VARIANT_FLAVOR":   v.Flavor(),
	}
}
