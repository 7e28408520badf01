// pack: a repository of RPMs as an image in an OCI layout, the same bytes for the same repository.

package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"buildsys"
	"buildsys/internal/atomicfile"
)

// epoch is the date of everything in an image of a kit, as in the RPMs.
var epoch = time.Unix(buildsys.Epoch, 0).UTC()

// Repository is what Pack makes an image of.
type Repository struct {
	Arch    string
	Dir     string // with Packages/<package>/*.rpm and repodata/
	Content string // changes whenever a file in Dir does
	Metadata
	// Fits says whether the image for another architecture is of the same tree; nil means that its label decides.
	Fits func(arch string) bool
}

// Packed is what an OCI layout holds after Pack.
type Packed struct {
	Digest string   // of the index that the tag leads to, as Twoliter.lock has it
	Tag    string   // "v1.2.3"
	Arches []string // that it is for, sorted
	Other  string   // an architecture whose image was dropped, because it is of another tree; empty for none
}

// stamp is <arch>.json in a layout: what its image for an architecture was made of.
type stamp struct {
	Content  string     `json:"content"`
	Label    string     `json:"label"`
	Manifest descriptor `json:"manifest"`
}

func stampName(arch string) string { return "." + arch + ".json" }

// Pack puts the image of a repository into the OCI layout in dir, beside that for the other architecture if it is there, says
// the same of itself, and fits. One layer for each package and one for the metadata: who has most of a kit downloads little.
// What no image needs any more is removed. Nobody else may write to dir meanwhile.
func Pack(r Repository, dir string) (Packed, error) {
	label, err := r.Encode()
	if err != nil {
		return Packed{}, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return Packed{}, err
	}
	p := packer{dir: dir, stamps: map[string]stamp{}}
	p.readStamps()
	if own, ok := p.stamps[r.Arch]; !ok || own.Content != r.Content || own.Label != label || !p.whole(own.Manifest) {
		d, err := p.image(r, label)
		if err != nil {
			return Packed{}, err
		}
		p.stamps[r.Arch] = stamp{r.Content, label, d}
	}
	out := Packed{Tag: "v" + r.Version}
	for arch, s := range p.stamps {
		if arch != r.Arch && (s.Label != label || !p.whole(s.Manifest) || r.Fits != nil && !r.Fits(arch)) {
			delete(p.stamps, arch)
			out.Other = arch
		}
	}
	out.Arches = slices.Sorted(maps.Keys(p.stamps))
	if out.Digest, err = p.writeIndex(out); err != nil {
		return out, err
	}
	return out, p.sweep()
}

type packer struct {
	dir    string
	stamps map[string]stamp // by architecture
}

func (p *packer) readStamps() {
	for _, arch := range []string{"aarch64", "x86_64"} {
		var s stamp
		data, err := os.ReadFile(filepath.Join(p.dir, stampName(arch)))
		if err == nil && json.Unmarshal(data, &s) == nil {
			p.stamps[arch] = s
		}
	}
}

// whole says whether an image and all its blobs are there, by their sizes.
func (p *packer) whole(d descriptor) bool {
	_, err := p.members(d)
	return err == nil
}

// members returns the blobs of an image, its manifest first.
func (p *packer) members(d descriptor) ([]descriptor, error) {
	l := &layout{dir: p.dir}
	data, err := l.read(d)
	if err != nil {
		return nil, err
	}
	var m imageManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	all := append([]descriptor{d, m.Config}, m.Layers...)
	for _, one := range all {
		b, err := one.blob(maxTotal)
		if err != nil {
			return nil, err
		}
		info, err := os.Lstat(filepath.Join(p.dir, blobName(b)))
		if err != nil || info.Size() != b.Size {
			return nil, fmt.Errorf("the blob %s is not there", one.Digest)
		}
	}
	return all, nil
}

// image makes the image of one repository.
func (p *packer) image(r Repository, label string) (descriptor, error) {
	var layers []descriptor
	var ids []string
	parts, err := parts(r.Dir)
	if err != nil {
		return descriptor{}, err
	}
	for _, part := range parts {
		d, err := p.layer(r.Dir, part)
		if err != nil {
			return descriptor{}, err
		}
		layers, ids = append(layers, d), append(ids, d.Digest)
	}
	on := &platform{Architecture: ociArch(r.Arch), OS: "linux"}
	config, err := p.putJSON(configType, imageConfig{
		Architecture: on.Architecture, OS: on.OS, Created: epoch.Format(time.RFC3339), History: []any{},
		Config: innerConfig{Env: []string{}, WorkingDir: "/", Labels: map[string]string{Label: label}},
		Rootfs: rootfs{Type: "layers", DiffIDs: ids},
	})
	if err != nil {
		return descriptor{}, err
	}
	d, err := p.putJSON(manifestType, imageManifest{SchemaVersion: 2, MediaType: manifestType, Config: config, Layers: layers})
	d.Platform = on
	return d, err
}

// writeIndex writes the index of all architectures under its tag, and the records.
func (p *packer) writeIndex(out Packed) (string, error) {
	x := imageIndex{SchemaVersion: 2, MediaType: indexType}
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
	d, err := p.putJSON(indexType, x)
	if err != nil {
		return "", err
	}
	d.Annotations = map[string]string{refName: out.Tag}
	files := map[string]any{
		"oci-layout": map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json": imageIndex{SchemaVersion: 2, MediaType: indexType, Manifests: []descriptor{d}},
	}
	for arch, s := range p.stamps {
		files[stampName(arch)] = s
	}
	for name, v := range files {
		data, err := json.Marshal(v)
		if err == nil {
			err = atomicfile.ReplaceDurable(filepath.Join(p.dir, name), append(data, '\n'), 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	if out.Other != "" {
		return digest, os.Remove(filepath.Join(p.dir, stampName(out.Other)))
	}
	return digest, nil
}

// sweep removes the blobs that nothing in index.json leads to, and what a kill has left.
func (p *packer) sweep() error {
	l := &layout{dir: p.dir}
	_, top, err := l.top()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, d := range top.Manifests {
		keep[path.Base(strings.TrimPrefix(d.Digest, "sha256:"))] = true
	}
	for _, s := range p.stamps {
		members, err := p.members(s.Manifest)
		if err != nil {
			return err
		}
		for _, d := range members {
			keep[strings.TrimPrefix(d.Digest, "sha256:")] = true
		}
	}
	blobs := filepath.Join(p.dir, "blobs", "sha256")
	entries, err := os.ReadDir(blobs)
	for _, e := range entries {
		if !keep[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(blobs, e.Name())))
		}
	}
	return errors.Join(err, atomicfile.Clean(p.dir))
}
