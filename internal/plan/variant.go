// variant: the step that assembles a variant's disk images.

package plan

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/image"
	"buildsys/internal/workspace"
)

func (m *maker) addVariant() error {
	if m.foreign != nil {
		return m.addForeignVariant()
	}
	step, err := m.imageStep(Variant)
	if err != nil {
		return err
	}
	step.Solve.Args["PACKAGES"] = strings.Join(m.variant.IncludedPackages, " ")
	step.Solve.Contexts["rpms"] = m.rpmsContext(m.all) // all are in the variant's closure
	m.add(step, m.all)
	return nil
}

// imageStep is what all steps that make the variant's images have in common.
func (m *maker) imageStep(kind Kind) (Step, error) {
	v := m.variant
	layout, err := image.ForVariant(v.Layout, slices.Contains(Features(v), "in-place-updates"),
		image.Identity{
			Name: m.r.Name, Variant: v.Name, Arch: m.r.Arch, Version: m.r.Version,
		})
	if err != nil {
		return Step{}, &RequestError{What: "variant " + v.Name, Why: err.Error(),
			Hint: "see image-layout in " + v.File}
	}
	files, err := m.imageFiles(layout)
	if err != nil {
		return Step{}, err
	}
	step := Step{
		ID:   string(kind) + "/" + v.Name,
		Kind: kind,
		Name: v.Name,
		Out:  m.imageDir(v.Name),
		Link: builddir.Latest,

		Layout: &layout,
		Solve: Solve{
			Name:       v.Name + " " + m.r.Arch,
			Dockerfile: section(m.recipe.Dockerfile, string(kind)),
			Target:     string(kind),
			Args:       m.imageArgs(),
			Contexts: map[string]Context{
				"recipe": {Files: recipeFiles(m.recipe, string(kind), m.r.Arch), Shared: true},
				"image":  {Files: files},
			},
		},
	}
	return step, m.addSigning(&step)
}

// imageDir is where the images of this version of a variant go.
func (m *maker) imageDir(variant string) string {
	return filepath.Join(m.dir().Images(variant), m.r.Version+"-"+m.r.BuildID)
}

// ImageName is the stem of a variant's files: NAME-VARIANT-ARCH-VERSION-BUILD.
func ImageName(name, variant, arch, version, buildID string) string {
	return strings.Join([]string{name, variant, arch, version, buildID}, "-")
}

// DiskFile is the name among an image step's outputs of the image of one disk of its Layout, as
// tools/disk/imgassemble makes it.
func DiskFile(s Step, disk string) string {
	name := s.Solve.Args["IMAGE_NAME"]
	if disk == image.DataDisk {
		name += "-data"
	}
	return name + DiskSuffix(s.Solve.Args["IMAGE_FORMAT"])
}

// DiskSuffix is what the names of disk images of an image-format end in.
func DiskSuffix(format string) string {
	if format == "raw" {
		return ".img.lz4"
	}
	return "." + format
}

// ApplianceFile is the name among an image step's outputs of its appliance; empty when it makes
// none.
func ApplianceFile(s Step) string {
	if s.Solve.Args["IMAGE_FORMAT"] != "vmdk" {
		return ""
	}
	return s.Solve.Args["IMAGE_NAME"] + ".ova"
}

// imageFiles are what rpm2img gets beside RPMs: the layout, the description of an appliance, and
// files that replace those of packages.
func (m *maker) imageFiles(layout image.Layout) ([]File, error) {
	v := m.variant
	var files []File
	if v.ImageFormat == "vmdk" {
		name := m.imageName() + DiskSuffix(v.ImageFormat)
		a := image.Appliance{OSDisk: name}
		a.OSGiB, a.DataGiB = image.PublishSizes(v.Layout.OSImageSizeGiB, v.Layout.DataImageSizeGiB,
			v.Layout.PublishImageSizeHintGiB, v.Layout.PartitionPlan)
		if _, split := layout.Disk(image.DataDisk); split {
			a.DataDisk = m.imageName() + "-data" + DiskSuffix(v.ImageFormat)
		}
		ovf, err := image.RenderOVF(v.Template, a)
		if err != nil {
			return nil, &RequestError{What: "variant " + v.Name, Why: v.Dir + "/" + workspace.TemplateName +
				": " + err.Error()}
		}
		files = append(files, File{Name: "image.ovf", Data: ovf, Mode: 0o644})
	}
	files = append(files, m.r.Overrides...)
	files = append(files, File{Name: image.TSVName, Data: layout.TSV(), Mode: 0o644})
	sortFiles(files)
	return files, nil
}

func (m *maker) imageName() string {
	return ImageName(m.r.Name, m.variant.Name, m.r.Arch, m.r.Version, m.r.BuildID)
}

func (m *maker) imageArgs() map[string]string {
	v, args := m.variant, m.commonArgs()
	maps.Copy(args, m.variantArgs())
	maps.Copy(args, map[string]string{
		"VERSION_ID":        m.r.Version,
		"BUILD_ID":          m.r.BuildID,
		"NAME":              m.r.Name,
		"PRETTY_NAME":       m.r.PrettyName,
		"IMAGE_NAME":        m.imageName(),
		"IMAGE_FORMAT":      v.ImageFormat,
		"IMAGE_FEATURES":    strings.Join(featureWords(v), " "),
		"PARTITION_PLAN":    v.Layout.PartitionPlan,
		"KERNEL_PARAMETERS": strings.Join(v.KernelParameters, " "),
	})
	return args
}
