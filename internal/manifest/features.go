// features: the image features, which of them an image has, and which exclude each other.

package manifest

import (
	"slices"
	"strings"
)

// The features that this program has to know apart.
const (
	InPlaceUpdates   = "in-place-updates"
	StandaloneImage  = "standalone-image"
	EncryptedStorage = "encrypted-storage"
	ephemeralKeys    = "ephemeral-encryption-keys"
	hostContainers   = "host-containers"
	kmodDevelopment  = "external-kmod-development"
	setPrivateVar    = "grub-set-private-var"
	secureBoot       = "uefi-secure-boot"
	xfsData          = "xfs-data-partition"
)

// The formats of images that need a layout of their own.
const (
	FormatUKI = "uki" // the kernel, its command line and its stub are one program on the ESP
	FormatEIF = "eif" // for enclaves
)

// ImageFeatures returns, sorted, the names that image-features and package-features may have.
func ImageFeatures() []string {
	return []string{
		EncryptedStorage, ephemeralKeys, "erofs-root-partition", kmodDevelopment, "fips",
		setPrivateVar, hostContainers, InPlaceUpdates, "nvidia-dual-branch",
		StandaloneImage, "systemd-networkd", secureBoot, "unified-cgroup-hierarchy", xfsData,
	}
}

func featureProblem(name string) (msg, hint string) {
	if slices.Contains(ImageFeatures(), name) {
		return "", ""
	}
	return "unknown image feature " + quote(name), didYouMean(name, ImageFeatures())
}

// readFeatures reads image-features and the older grub-features, which had another name for one of
// them.
func (v *Variant) readFeatures(t *table) {
	v.ImageFeatures = map[string]bool{}
	if features := t.sub("image-features"); features != nil {
		features.removed(TwoliterKits, "unified-cgroup-hierarchy",
			"remove it: all images have the unified hierarchy")
		for name := range features.vals {
			if msg, hint := featureProblem(name); msg != "" {
				features.tolerate(name, hint, "%s", msg)
				continue
			}
			v.ImageFeatures[name] = features.boolean(name)
		}
	}
	t.removed(InTreeFeatures, "grub-features",
		"write grub-set-private-var = true into [package.metadata.build-variant.image-features]")
	grub, _ := t.strings("grub-features", grubFeatureProblem)
	for _, name := range grub {
		v.ImageFeatures["grub-"+name] = true
	}
}

// alone reports whether the image has nothing beside its root: no data, no bank for updates.
func (v *Variant) alone() bool {
	return v.ImageFeatures[StandaloneImage] || v.ImageFormat == FormatEIF
}

// seed returns the features that an image has unless they are switched off.
func (v *Variant) seed() []string {
	switch {
	case v.alone():
		return []string{StandaloneImage, kmodDevelopment}
	case v.Generation == Native, v.Generation == TwoliterKits:
		return []string{InPlaceUpdates, hostContainers, kmodDevelopment}
	}
	return []string{InPlaceUpdates, hostContainers}
}

// Features returns the features of the image, sorted: those that every image of its kind has unless
// they are switched off, and all that are switched on.
func (v *Variant) Features() []string {
	var out []string
	seed := v.seed()
	for _, f := range ImageFeatures() {
		if on, written := v.ImageFeatures[f]; on || !written && slices.Contains(seed, f) {
			out = append(out, f)
		}
	}
	return out
}

// HasFeature reports whether the image has a feature.
func (v *Variant) HasFeature(name string) bool { return slices.Contains(v.Features(), name) }

// KnowsFeature reports whether images of the variant's generation may lack a feature. Until there
// was external-kmod-development, every image had its kmod kit, its migrations, and the boot
// configuration that it asked for.
func (v *Variant) KnowsFeature(name string) bool {
	return name != kmodDevelopment || v.HasFeature(name) || v.Generation == Native ||
		v.Generation == TwoliterKits
}

// Conflicts returns a sentence for each contradiction among the features and the format, in a fixed
// order.
func (v *Variant) Conflicts() []string {
	var out []string
	if with := v.excluded(); v.alone() && len(with) > 0 {
		what := "feature " + StandaloneImage
		if v.ImageFormat == FormatEIF {
			what = "image-format \"eif\""
		}
		out = append(out, what+" excludes "+strings.Join(with, ", "))
	}
	if v.ImageFormat == FormatEIF && !v.HasFeature(StandaloneImage) {
		out = append(out, "image-format \"eif\" needs feature "+StandaloneImage)
	}
	if v.ImageFormat == FormatUKI && v.HasFeature(InPlaceUpdates) {
		out = append(out, "image-format \"uki\" excludes feature "+InPlaceUpdates)
	}
	if v.Generation == Native && v.HasFeature(setPrivateVar) &&
		(v.ImageFormat == FormatUKI || v.alone()) { // elsewhere it says nothing
		what := "image-format \"uki\""
		if v.ImageFormat != FormatUKI {
			what = "feature " + StandaloneImage
		}
		out = append(out, what+" excludes feature "+setPrivateVar)
	}
	if v.HasFeature(ephemeralKeys) && !v.HasFeature(EncryptedStorage) {
		out = append(out, "feature "+ephemeralKeys+" needs feature "+EncryptedStorage)
	}
	if v.HasFeature(ephemeralKeys) && v.ImageFormat != FormatUKI {
		out = append(out, "feature "+ephemeralKeys+" needs image-format \"uki\"")
	}
	return out
}

// excluded returns what the image has of the things that an image that is alone cannot have.
func (v *Variant) excluded() []string {
	var with []string
	for _, f := range []string{secureBoot, EncryptedStorage, ephemeralKeys, InPlaceUpdates,
		hostContainers, xfsData} {
		if v.HasFeature(f) {
			with = append(with, "feature "+f)
		}
	}
	if v.Layout.PartitionPlan == "split" {
		with = append(with, "partition-plan \"split\" (the default)")
	}
	return with
}
