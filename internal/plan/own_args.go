// own_args: the arguments that a tree's own Dockerfile gets.

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/image"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// optionalArgs are arguments known to some recipe that not every step gets. A target that declares
// one and does not get it works without.
var optionalArgs = []string{
	"PACKAGE", "PACKAGES", "VARIANT", "VARIANT_PLATFORM", "VARIANT_RUNTIME", "VARIANT_FAMILY",
	"VARIANT_FLAVOR",
	"VERSION_ID", "BUILD_ID", "PRETTY_NAME", "IMAGE_NAME", "IMAGE_FORMAT", "PARTITION_PLAN",
	"KERNEL_PARAMETERS", "GRUB_FEATURES",
	"OS_IMAGE_SIZE_GIB", "DATA_IMAGE_SIZE_GIB", "OS_IMAGE_PUBLISH_SIZE_GIB",
	"DATA_IMAGE_PUBLISH_SIZE_GIB",
	"TOOLCHAIN", "UNIFIED_CGROUP_HIERARCHY", // the latter for a feature that no longer exists
	// These are known to the frontend, for every Dockerfile.
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS",
	"BUILDARCH", "BUILDVARIANT", "TARGETSTAGE",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH",
}

func knownArg(name string) bool {
	return slices.Contains(optionalArgs, name) || slices.Contains(manifest.ImageFeatures(),
		strings.ToLower(strings.ReplaceAll(name, "_", "-")))
}

// addArgs adds the arguments that only own Dockerfiles have, with one for each feature.
func (o *own) addArgs(args map[string]string, features []string) {
	args["REPO"] = o.m.r.Files.Repo
	// TOKEN kept the caches of two checkouts apart. Here checkouts share results, so it must be the
	// same in all.
	args["TOKEN"] = "buildsys"
	if o.m.r.Toolchain != "" {
		args["TOOLCHAIN"] = o.m.r.Toolchain
	}
	for _, f := range features {
		args[featureArg(f)] = "1"
	}
}

// noVariant stands for the variant in packages that are not sensitive to it. Recipes write it into
// macros, which cannot be empty.
const noVariant = "none"

// hideVariant sets the arguments of the variant that a package does not get. A flavor that is not
// given or that the variant does not have is empty: Bottlerocket's buildsys gave that, and its
// recipes make no_flavor of it.
func hideVariant(args map[string]string) {
	for _, name := range []string{"VARIANT", "VARIANT_PLATFORM", "VARIANT_RUNTIME", "VARIANT_FAMILY"} {
		if args[name] == "" {
			args[name] = noVariant
		}
	}
	if args["VARIANT_FLAVOR"] == noVariant {
		args["VARIANT_FLAVOR"] = ""
	}
}

func featureArg(feature string) string {
	return strings.ToUpper(strings.ReplaceAll(feature, "-", "_"))
}

// imageArgs returns the arguments of an image.
func (o *own) imageArgs(v *workspace.Variant) map[string]string {
	id, features := o.m.r.Identity, v.Features()
	args := o.m.commonArgs()
	maps.Copy(args, variantArgs(v))
	hideVariant(args)
	o.addArgs(args, features)
	grub := ""
	if slices.Contains(features, "grub-set-private-var") {
		grub = featureArg("grub-set-private-var")
	}
	l := v.Layout
	osGiB, dataGiB := image.PublishSizes(l.OSImageSizeGiB, l.DataImageSizeGiB,
		l.PublishImageSizeHintGiB, l.PartitionPlan)
	maps.Copy(args, map[string]string{
		"PACKAGES":          strings.Join(v.IncludedPackages, " "),
		"VERSION_ID":        id.Version,
		"BUILD_ID":          id.BuildID,
		"NAME":              id.Name,
		"PRETTY_NAME":       id.PrettyName,
		"IMAGE_NAME":        id.Name, // the recipe appends the rest
		"IMAGE_FORMAT":      v.ImageFormat,
		"PARTITION_PLAN":    l.PartitionPlan,
		"KERNEL_PARAMETERS": strings.Join(v.KernelParameters, " "),
		"GRUB_FEATURES":     grub,

		"OS_IMAGE_SIZE_GIB":           strconv.Itoa(l.OSImageSizeGiB),
		"DATA_IMAGE_SIZE_GIB":         strconv.Itoa(l.DataImageSizeGiB),
		"OS_IMAGE_PUBLISH_SIZE_GIB":   strconv.Itoa(osGiB),
		"DATA_IMAGE_PUBLISH_SIZE_GIB": strconv.Itoa(dataGiB),
	})
	return args
}

// line returns a position in a file, to begin a sentence with.
func line(file string, n int) string { return fmt.Sprintf("%s:%d: ", file, n) }
