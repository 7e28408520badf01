// variant: variants/<name>/Cargo.toml.

package manifest

import (
	"path"
	"slices"
	"strings"
)

// maxGiB bounds every image size: 16 TiB, the largest volume of the clouds that run such images.
const maxGiB = 16 << 10

// ParseVariant reads a variant's manifest. file is its path relative to the root; the name of its
// directory is the variant's name. If there are problems, the variant holds what could be read.
// Warnings do not affect the result.
func ParseVariant(file string, data []byte, rules Rules) (*Variant, Problems) {
	v := &Variant{Name: path.Base(path.Dir(file)), File: file}
	doc, root := open(file, data, rules)
	if root == nil {
		return v, doc.problems
	}
	crate := root.crate("build-variant")
	v.Crate, v.NameLine = crate.name, crate.nameLine
	v.checkName(doc)
	switch t := crate.metadata; {
	case t != nil:
		v.readBuildVariant(t)
	case root.vals["package"] != nil:
		doc.problems.add(file, 0, "", "[package.metadata.build-variant] is missing")
	}
	v.BuildDeps, v.Deps = root.dependencies("build-dependencies"), root.dependencies("dependencies")
	if deps, ok := root.vals["build-dependencies"].(map[string]any); !rules.WholeTree &&
		len(deps) == 0 && (ok || !root.has("build-dependencies")) {
		doc.problems.add(file, doc.lines["build-dependencies"], "list the packages its image is made of",
			"the variant has no [build-dependencies]")
	}
	root.finish()
	return v, doc.problems.Sorted()
}

func (v *Variant) checkName(doc *document) {
	parts := strings.Split(v.Name, "-")
	if len(parts) < 2 || slices.Contains(parts, "") || !ValidName(v.Name) {
		doc.problems.add(v.File, 0, "rename the directory, as in qemu-dev or aws-k8s-1.31",
			"%s is not a variant's name: platform-runtime, optionally followed by -version and -flavor",
			quote(v.Name))
	}
}

func (v *Variant) readBuildVariant(t *table) {
	const included, arches = "included-packages", "supported-arches"
	v.IncludedPackages, v.IncludedLines = t.strings(included, rpmProblem)
	if !t.has(included) || emptyList(t.vals[included]) {
		t.fault(included, "list the RPMs the image holds", "\"included-packages\" is empty or missing%s",
			t.in())
	}
	v.SupportedArches, _ = t.strings(arches, archProblem)
	if emptyList(t.vals[arches]) {
		t.fault(arches, "leave the key out to support all", "\"supported-arches\"%s is empty", t.in())
	}
	v.ImageFormat = t.choice("image-format", "raw", "raw", "qcow2", "vmdk")
	v.readLayout(t.sub("image-layout"))
	check := parameterProblem
	if t.doc.rules.Lenient {
		check = parametersProblem
	}
	v.KernelParameters, _ = t.strings("kernel-parameters", check)
	v.readFeatures(t)
	t.finish()
}

func emptyList(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

func (v *Variant) readLayout(t *table) {
	if t == nil {
		t = &table{doc: &document{}}
	}
	v.Layout = ImageLayout{
		OSImageSizeGiB:          t.integer("os-image-size-gib", 1, maxGiB, 2),
		DataImageSizeGiB:        t.integer("data-image-size-gib", 1, maxGiB, 1),
		PublishImageSizeHintGiB: t.integer("publish-image-size-hint-gib", 1, maxGiB, 22),
		PartitionPlan:           t.choice("partition-plan", "split", "split", "unified"),
	}
	t.finish()
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
				features.fault(name, hint, "%s", msg)
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

// Features returns the features of the image, sorted: in-place-updates and host-containers unless
// switched off, and all that are switched on.
func (v *Variant) Features() []string {
	var out []string
	for _, f := range ImageFeatures() {
		on, written := v.ImageFeatures[f]
		if on || (!written && (f == "in-place-updates" || f == "host-containers")) {
			out = append(out, f)
		}
	}
	return out
}

func (v *Variant) part(i int, absent string) string {
	if parts := strings.Split(v.Name, "-"); i < len(parts) {
		return parts[i]
	}
	return absent
}

// Platform returns the first part of the variant's name: "aws" of aws-k8s-1.31-nvidia.
func (v *Variant) Platform() string { return v.part(0, "") }

// Runtime returns the second part: "k8s".
func (v *Variant) Runtime() string { return v.part(1, "") }

// Family returns platform and runtime: "aws-k8s".
func (v *Variant) Family() string { return v.Platform() + "-" + v.Runtime() }

// Version returns the third part, "1.31", or "latest", as in Bottlerocket, if there is none.
func (v *Variant) Version() string { return v.part(2, "latest") }

// Flavor returns the fourth part, "nvidia", or "none", as in Bottlerocket, if there is none.
func (v *Variant) Flavor() string { return v.part(3, "none") }

// Supports reports whether the variant can be built for an architecture.
func (v *Variant) Supports(arch string) bool {
	return len(v.SupportedArches) == 0 || slices.Contains(v.SupportedArches, arch)
}
