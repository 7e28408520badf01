// variant: the step that assembles a variant's disk images.

package plan

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/image"
)

func (m *maker) addVariant() error {
	v := m.variant
	if err := m.checkVariant(); err != nil {
		return err
	}
	layout, err := image.ForVariant(v.Layout, m.inPlaceUpdates(), image.Identity{
		Name: m.r.Name, Variant: v.Name, Arch: m.r.Arch, Version: m.r.Version,
	})
	if err != nil {
		return &RequestError{What: "variant " + v.Name, Why: err.Error(), Hint: "see image-layout in " + v.File}
	}
	needs := make([]int, len(m.plan.Steps)) // every package here is in the variant's closure
	for i := range needs {
		needs[i] = i
	}
	images := filepath.Join(m.r.BuildDir, "images", m.r.Arch+"-"+v.Name)
	step := Step{
		ID:   string(Variant) + "/" + v.Name,
		Kind: Variant,
		Name: v.Name,
		Deps: needs,
		Out:  filepath.Join(images, m.r.Version+"-"+m.r.BuildID),
		Link: "latest",

		Layout: &layout,
		Solve: Solve{
			Name:       v.Name + " " + m.r.Arch,
			Dockerfile: section(m.recipe.Dockerfile, string(Variant)),
			Target:     string(Variant),
			Args:       m.imageArgs(),
			Contexts: map[string]Context{
				"recipe": {Files: recipeFiles(m.recipe, m.r.Arch, imageTool)},
				"rpms":   {Dirs: m.rpmDirs(needs)},
				"image":  {Files: []File{{Name: image.TSVName, Data: layout.TSV(), Mode: 0o644}}},
			},
		},
	}
	if err := m.addSigning(&step); err != nil {
		return err
	}
	m.plan.Steps = append(m.plan.Steps, step)
	return nil
}

// ImageName is the stem of a variant's files: NAME-VARIANT-ARCH-VERSION-BUILD.
func ImageName(name, variant, arch, version, buildID string) string {
	return strings.Join([]string{name, variant, arch, version, buildID}, "-")
}

// DiskFile is the name among a Variant step's outputs of the image of one disk of its Layout, as tools/rpm2img makes it.
func DiskFile(s Step, disk string) string {
	name := s.Solve.Args["IMAGE_NAME"]
	if disk == image.DataDisk {
		name += "-data"
	}
	return name + ".img.lz4"
}

func (m *maker) imageArgs() map[string]string {
	v, args := m.variant, m.commonArgs()
	maps.Copy(args, m.variantArgs())
	maps.Copy(args, map[string]string{
		"PACKAGES":          strings.Join(v.IncludedPackages, " "),
		"VERSION_ID":        m.r.Version,
		"BUILD_ID":          m.r.BuildID,
		"NAME":              m.r.Name,
		"PRETTY_NAME":       m.r.PrettyName,
		"IMAGE_NAME":        ImageName(m.r.Name, v.Name, m.r.Arch, m.r.Version, m.r.BuildID),
		"IMAGE_FORMAT":      v.ImageFormat,
		"PARTITION_PLAN":    v.Layout.PartitionPlan,
		"KERNEL_PARAMETERS": strings.Join(v.KernelParameters, " "),
	})
	return args
}

// inPlaceUpdates is on unless the variant switches it off.
func (m *maker) inPlaceUpdates() bool {
	on, set := m.variant.ImageFeatures["in-place-updates"]
	return on || !set
}

// checkVariant refuses what the manifest may say but the recipe cannot do yet: better than an image that lacks it.
func (m *maker) checkVariant() error {
	v := m.variant
	refuse := func(why, hint string) error {
		return &RequestError{What: "variant " + v.Name, Why: why, Hint: hint}
	}
	if v.ImageFormat != "raw" {
		return refuse("image-format "+v.ImageFormat+" is not supported yet", "use raw in "+v.File)
	}
	for _, feature := range slices.Sorted(maps.Keys(v.ImageFeatures)) {
		if v.ImageFeatures[feature] && feature != "in-place-updates" && feature != "host-containers" && feature != secureBoot {
			return refuse("image feature "+feature+" is not supported yet", "remove it from "+v.File)
		}
	}
	return nil
}
