// variant: variants/<name>/Cargo.toml.

package manifest

import (
	"cmp"
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
	v := &Variant{Name: path.Base(path.Dir(file)), File: file, Generation: rules.Generation}
	doc, root := open(file, data, rules)
	if root == nil {
		return v, doc.problems
	}
	crate := root.crate("build-variant")
	v.Crate = crate.name
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
	v.ImageFormat = t.choice("image-format", "raw", "raw", "qcow2", "vmdk", FormatUKI, FormatEIF)
	v.readFeatures(t)
	v.readLayout(t.sub("image-layout"))
	v.readParts(t)
	v.readGuests(t)
	t.readEIF()
	check := parameterProblem
	if t.doc.rules.Lenient {
		check = parametersProblem
	}
	v.KernelParameters, _ = t.strings("kernel-parameters", check)
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
	size := 2
	if v.alone() {
		size = 1
	}
	v.Layout = ImageLayout{
		OSImageSizeGiB:          t.integer("os-image-size-gib", 1, maxGiB, size),
		DataImageSizeGiB:        t.integer("data-image-size-gib", 1, maxGiB, 1),
		PublishImageSizeHintGiB: t.integer("publish-image-size-hint-gib", 1, maxGiB, 22),
		PartitionPlan:           t.choice("partition-plan", "split", "split", "unified"),
	}
	if v.ImageFormat == FormatEIF { // an enclave has one disk, whatever is written
		v.Layout.PartitionPlan = "unified"
	}
	t.finish()
}

// readParts reads the keys that say what the name of the variant says, and are right where the two
// differ.
func (v *Variant) readParts(t *table) {
	for _, part := range []struct {
		key string
		to  *string
	}{
		{"platform", &v.Parts.Platform}, {"runtime", &v.Parts.Runtime}, {"family", &v.Parts.Family},
		{"version", &v.Parts.Version}, {"flavor", &v.Parts.Flavor},
	} {
		text, ok := t.str(part.key)
		if ok && !matches(partRule, text) {
			t.fault(part.key, "use letters, digits, '.', '_', '+' and '-'",
				"%s cannot be the %s of a variant", quote(text), part.key)
			continue
		}
		*part.to = text
	}
}

func (v *Variant) part(written string, i int, absent string) string {
	if written != "" {
		return written
	}
	if parts := strings.Split(v.Name, "-"); i < len(parts) {
		return parts[i]
	}
	return absent
}

// Platform returns the first part of the variant's name, "aws" of aws-k8s-1.31-nvidia, or what
// the manifest says instead.
func (v *Variant) Platform() string { return v.part(v.Parts.Platform, 0, "") }

// Runtime returns the second part, "k8s", likewise.
func (v *Variant) Runtime() string { return v.part(v.Parts.Runtime, 1, "") }

// Family returns platform and runtime, "aws-k8s", or what the manifest says instead.
func (v *Variant) Family() string {
	return cmp.Or(v.Parts.Family, v.Platform()+"-"+v.Runtime())
}

// Version returns the third part, "1.31". If there is none it is "latest", as in Bottlerocket, or
// in a tree with kits "0", as in Twoliter.
func (v *Variant) Version() string {
	if v.Generation == TwoliterKits {
		return v.part(v.Parts.Version, 2, "0")
	}
	return v.part(v.Parts.Version, 2, "latest")
}

// Flavor returns the fourth part, "nvidia", or "none", as in Bottlerocket, if there is none.
func (v *Variant) Flavor() string { return v.part(v.Parts.Flavor, 3, "none") }

// Supports reports whether the variant can be built for an architecture.
func (v *Variant) Supports(arch string) bool {
	return len(v.SupportedArches) == 0 || slices.Contains(v.SupportedArches, arch)
}
