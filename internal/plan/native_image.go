// native_image: the step of our recipe that assembles the disk images of a variant, and what it
// shares with the step that repacks them.

package plan

import (
	"cmp"
	"maps"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/image"
	"buildsys/internal/workspace"
)

func (n *native) imageStep(v *workspace.Variant, packages graph.Set) (Step, error) {
	s, err := n.anyImageStep(Variant, v)
	if err != nil {
		return Step{}, err
	}
	s.Uses = packages
	s.Solve.Args["PACKAGES"] = strings.Join(v.IncludedPackages, " ")
	s.Solve.Contexts["rpms"] = n.m.rpmsContext(packages)
	n.addKmodKit(&s)
	if n.m.r.Identity.Dev {
		n.m.makeDev(&s, v)
	} else {
		id := n.m.r.Identity
		n.m.addBill(&s, n.imageName(v), id.Version, id.PrettyName, packages)
	}
	return s, nil
}

// anyImageStep returns what all steps that make images of a variant have in common.
func (n *native) anyImageStep(kind Kind, v *workspace.Variant) (Step, error) {
	m := n.m
	layout, err := n.layout(v)
	if err != nil {
		return Step{}, &RequestError{What: "variant " + v.Name, Why: err.Error(),
			Hint: "see image-layout in " + v.File}
	}
	files, err := n.imageFiles(v, layout)
	if err != nil {
		return Step{}, err
	}
	s := m.newImageStep(kind, v)
	s.Layout = &layout
	s.Solve = Solve{
		Name:       v.Name + " " + m.r.Arch,
		Dockerfile: section(m.ours.Dockerfile, string(kind)),
		Target:     string(kind),
		Args:       n.imageArgs(v),
		Contexts: map[string]Context{
			"recipe": {Files: recipeFiles(m.ours, string(kind), m.r.Arch), Shared: true},
			"image":  {Files: files},
		},
	}
	err = n.addSigning(&s, v)
	return s, err
}

// layout returns the partition layout of the images of a variant.
func (n *native) layout(v *workspace.Variant) (image.Layout, error) {
	r := n.m.r
	l, err := image.ForVariant(v.Layout, image.FormOf(&v.Variant),
		image.Identity{Name: cmp.Or(n.labels, r.Identity.Name), Variant: v.Name, Arch: r.Arch,
			Version: r.Identity.Version})
	for i, p := range l.Partitions {
		if n.labels != "" && strings.HasPrefix(p.Key, "DATA") {
			l.Partitions[i].Label = ""
		}
	}
	return l, err
}

// imageFiles returns the files that rpm2img gets besides RPMs: the partition layout, the
// description of an appliance, and files that replace those of packages.
func (n *native) imageFiles(v *workspace.Variant, layout image.Layout) ([]File, error) {
	var files []File
	if v.ImageFormat == "vmdk" && !n.m.r.Identity.Dev {
		name := n.imageName(v) + DiskSuffix(v.ImageFormat)
		a := image.Appliance{OSDisk: name}
		a.OSGiB, a.DataGiB = image.PublishSizes(v.Layout.OSImageSizeGiB, v.Layout.DataImageSizeGiB,
			v.Layout.PublishImageSizeHintGiB, v.Layout.PartitionPlan)
		if _, split := layout.Disk(image.DataDisk); split {
			a.DataDisk = n.imageName(v) + "-data" + DiskSuffix(v.ImageFormat)
		}
		var err error
		if a.More, err = n.firmware(v); err != nil {
			return nil, err
		}
		ovf, err := image.RenderOVF(v.Template, a)
		if err != nil {
			return nil, &RequestError{What: "variant " + v.Name, Why: v.Dir + "/" + workspace.TemplateName +
				": " + err.Error()}
		}
		files = append(files, File{Name: "image.ovf", Data: ovf, Mode: 0o644})
	}
	files = append(files, n.m.r.Files.Overrides...)
	files = append(files, File{Name: image.TSVName, Data: layout.TSV(), Mode: 0o644})
	sortFiles(files)
	return files, nil
}

func (n *native) imageName(v *workspace.Variant) string {
	id := n.m.r.Identity
	return ImageName(id.Name, v.Name, n.m.r.Arch, id.Version, id.BuildID)
}

func (n *native) imageArgs(v *workspace.Variant) map[string]string {
	args, id := n.m.commonArgs(), n.m.r.Identity
	maps.Copy(args, variantArgs(v))
	maps.Copy(args, map[string]string{
		"VERSION_ID":        id.Version,
		"BUILD_ID":          id.BuildID,
		"NAME":              id.Name,
		"PRETTY_NAME":       id.PrettyName,
		"IMAGE_NAME":        n.imageName(v),
		"IMAGE_FORMAT":      v.ImageFormat,
		"IMAGE_FEATURES":    strings.Join(featureWords(v), " "),
		"PARTITION_PLAN":    v.Layout.PartitionPlan,
		"KERNEL_PARAMETERS": strings.Join(v.KernelParameters, " "),
	})
	return args
}
