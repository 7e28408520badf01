// pack: makes an image in an OCI layout from a repository of RPMs, with the same bytes for the same
// repository.

package kit

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys"
	"buildsys/internal/oci"
)

// epoch is the date of everything in the image of a kit, as in its RPMs.
var epoch = time.Unix(buildsys.Epoch, 0).UTC()

// Repository is the input of Pack.
type Repository struct {
	Arch    string
	Dir     string // with Packages/<package>/*.rpm and repodata/
	Content string // identifies the files in Dir: changes whenever one does
	Metadata
	// Top is the checkout, if the layout is in one; see oci.Layout.
	Top  string
	Made Made // images that are not recorded here are made again, or left out
	// Fits reports whether the existing image for another architecture is from the same tree. If it
	// is nil, the labels decide.
	Fits func(arch string) bool
}

// Packed describes an OCI layout after Pack.
type Packed struct {
	Digest string   // of the index that the tag leads to, in the form of Twoliter.lock
	Tag    string   // "v1.2.3"
	Arches []string // architectures of its images, sorted
	// Other is an architecture whose image was removed, because it is from another tree; empty if
	// none.
	Other string
}

// stamp is the file .<arch>.json in a layout: what its image for an architecture was made from.
type stamp struct {
	Content  string          `json:"content"`
	Label    string          `json:"label"` // NAME=VALUE
	Manifest spec.Descriptor `json:"manifest"`
}

func stampName(arch string) string { return "." + arch + ".json" }

// Pack writes the image of a repository into the OCI layout in dir. It keeps the image for another
// architecture if this user has made it, and it is complete, has the same label, and fits. Each
// package is a layer, and so is the metadata, so that a new version of a kit downloads little. Pack
// removes blobs that no image needs. It must be the only writer of dir.
func Pack(r Repository, dir string) (Packed, error) {
	value, err := r.Encode()
	if err != nil {
		return Packed{}, err
	}
	label := r.label() + "=" + value
	p := packer{layout: oci.Layout{Dir: dir, Top: r.Top}, stamps: map[string]stamp{}}
	if err := p.layout.Make(); err != nil {
		return Packed{}, err
	}
	p.readStamps()
	good := func(s stamp) bool {
		return s.Label == label && r.Made.has(s) && p.whole(s.Manifest)
	}
	if own, ok := p.stamps[r.Arch]; !ok || own.Content != r.Content || !good(own) {
		d, err := p.image(r, value)
		if err != nil {
			return Packed{}, err
		}
		p.stamps[r.Arch] = stamp{r.Content, label, d}
		if err := r.Made.add(p.stamps[r.Arch]); err != nil {
			return Packed{}, err
		}
	}
	out := Packed{Tag: "v" + r.Version}
	for arch, s := range p.stamps {
		if arch != r.Arch && (!good(s) || r.Fits != nil && !r.Fits(arch)) {
			delete(p.stamps, arch)
			out.Other = arch
		}
	}
	out.Arches = slices.Sorted(maps.Keys(p.stamps))
	if out.Digest, err = p.writeIndex(out); err != nil {
		return out, err
	}
	return out, p.layout.Sweep()
}

type packer struct {
	layout oci.Layout
	stamps map[string]stamp // by architecture
}

func (p *packer) readStamps() {
	for _, arch := range []string{"aarch64", "x86_64"} {
		var s stamp
		data, err := p.layout.ReadFile(stampName(arch))
		if err == nil && json.Unmarshal(data, &s) == nil {
			p.stamps[arch] = s
		}
	}
}

// whole reports whether an image and all its blobs exist with the right sizes.
func (p *packer) whole(d spec.Descriptor) bool {
	var m spec.Manifest
	if p.layout.ReadJSON(d, &m) != nil {
		return false
	}
	for _, one := range append(m.Layers, m.Config) {
		if !p.layout.Has(one) {
			return false
		}
	}
	return true
}

// image writes the image of one repository.
func (p *packer) image(r Repository, label string) (spec.Descriptor, error) {
	var layers []spec.Descriptor
	var ids []string
	parts, err := parts(r.Dir)
	if err != nil {
		return spec.Descriptor{}, err
	}
	for _, part := range parts {
		d, err := p.layer(r.Dir, part)
		if err != nil {
			return spec.Descriptor{}, err
		}
		layers, ids = append(layers, d), append(ids, d.Digest.String())
	}
	on := &spec.Platform{Architecture: ociArch(r.Arch), OS: "linux"}
	config, err := p.layout.PutJSON(spec.MediaTypeImageConfig, imageConfig{
		Architecture: on.Architecture, OS: on.OS, Created: epoch.Format(time.RFC3339), History: []any{},
		Config: innerConfig{Env: []string{}, WorkingDir: "/",
			Labels: map[string]string{r.label(): label}},
		Rootfs: rootfs{Type: "layers", DiffIDs: ids},
	})
	if err != nil {
		return spec.Descriptor{}, err
	}
	d, err := p.layout.PutJSON(spec.MediaTypeImageManifest, oci.NewManifest(config, layers))
	d.Platform = on
	return d, err
}

// writeIndex writes the index of all architectures under its tag, and the stamps.
func (p *packer) writeIndex(out Packed) (string, error) {
	x := oci.NewIndex()
	for _, arch := range out.Arches {
		x.Manifests = append(x.Manifests, p.stamps[arch].Manifest)
	}
	data, err := json.Marshal(x)
	if err != nil {
		return "", err
	}
	digest, err := Digest(data)
	if err != nil {
		return "", err
	}
	d, err := p.layout.PutJSON(spec.MediaTypeImageIndex, x)
	if err != nil {
		return "", err
	}
	d.Annotations = map[string]string{spec.AnnotationRefName: out.Tag}
	if err := p.layout.PutIndex(oci.NewIndex(d)); err != nil {
		return "", err
	}
	for arch, s := range p.stamps {
		if err := p.layout.PutFile(stampName(arch), s); err != nil {
			return "", err
		}
	}
	if out.Other != "" {
		return digest, p.layout.Remove(stampName(out.Other))
	}
	return digest, nil
}
