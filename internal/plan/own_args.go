// own_args: the arguments by which a tree's own Dockerfile is told what to build.

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

// The arguments of all recipes that are not given to every step. A target that declares one and is
// not given it means by its absence that there is nothing to say.
var optionalArgs = []string{
	"PACKAGE", "PACKAGES", "VARIANT", "VARIANT_PLATFORM", "VARIANT_RUNTIME", "VARIANT_FAMILY",
	"VARIANT_FLAVOR",
	"VERSION_ID", "BUILD_ID", "PRETTY_NAME", "IMAGE_NAME", "IMAGE_FORMAT", "PARTITION_PLAN",
	"KERNEL_PARAMETERS", "GRUB_FEATURES",
	"OS_IMAGE_SIZE_GIB", "DATA_IMAGE_SIZE_GIB", "OS_IMAGE_PUBLISH_SIZE_GIB",
	"DATA_IMAGE_PUBLISH_SIZE_GIB",
	"TOOLCHAIN", "UNIFIED_CGROUP_HIERARCHY", // a feature that there is no more
	// Of every Dockerfile: what the frontend itself knows.
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS",
	"BUILDARCH", "BUILDVARIANT", "TARGETSTAGE",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH",
}

func knownArg(name string) bool {
	return slices.Contains(optionalArgs, name) || slices.Contains(manifest.ImageFeatures(),
		strings.ToLower(strings.ReplaceAll(name, "_", "-")))
}

// addArgs adds to the arguments of ours what only such Dockerfiles have; features are told one by
// one.
func (o *own) addArgs(args map[string]string, features []string) {
	args["REPO"] = o.m.r.Files.Repo
	// It kept the caches of two checkouts apart. Results are shared between them here, so it must be
	// the same in all.
	args["TOKEN"] = "buildsys"
	if o.m.r.Toolchain != "" {
		args["TOOLCHAIN"] = o.m.r.Toolchain
	}
	for _, f := range features {
		args[featureArg(f)] = "1"
	}
}

// noVariant is what a package is told of the variant that is not sensitive to it: recipes write it
// into macros, which may not be empty.
const noVariant = "none"

// hideVariant fills in what a package is not told of the variant.
func hideVariant(args map[string]string) {
	for _, name := range []string{"VARIANT", "VARIANT_PLATFORM", "VARIANT_RUNTIME", "VARIANT_FAMILY",
		"VARIANT_FLAVOR"} {
		if args[name] == "" {
			args[name] = noVariant
		}
	}
}

func featureArg(feature string) string {
	return strings.ToUpper(strings.ReplaceAll(feature, "-", "_"))
}

// imageArgs are those of an image.
func (o *own) imageArgs(v *workspace.Variant) map[string]string {
	id, features := o.m.r.Identity, Features(v)
	args := o.m.commonArgs()
	maps.Copy(args, variantArgs(v))
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
		"IMAGE_NAME":        id.Name, // the recipe adds the rest
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

// line is a place in a file, as the beginning of a sentence.
func line(file string, n int) string { return fmt.Sprintf("%s:%d: ", file, n) }
