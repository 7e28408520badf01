// image: the parts of OCI images that kits are made of.

package kit

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"buildsys/internal/cache"
)

// Media types.
const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
	refName      = "org.opencontainers.image.ref.name"
)

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type imageIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Manifests     []descriptor `json:"manifests"`
}

type imageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type imageConfig struct {
	Architecture string      `json:"architecture"`
	Config       innerConfig `json:"config"`
	Created      string      `json:"created"`
	History      []any       `json:"history"`
	OS           string      `json:"os"`
	Rootfs       rootfs      `json:"rootfs"`
}

type innerConfig struct {
	Env        []string          `json:"Env"`
	WorkingDir string            `json:"WorkingDir"`
	OnBuild    []string          `json:"OnBuild"`
	Labels     map[string]string `json:"Labels"`
}

type rootfs struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

func digestOf(b cache.Blob) string { return "sha256:" + hex.EncodeToString(b.SHA256[:]) }

// blob returns what d names: only sha256 counts here.
func (d descriptor) blob(most int64) (cache.Blob, error) {
	digits, ok := strings.CutPrefix(d.Digest, "sha256:")
	sum, err := cache.ParseContentID(digits)
	if !ok || err != nil || d.Size < 0 {
		return cache.Blob{}, fmt.Errorf("%.100q of %d bytes is not a blob", d.Digest, d.Size)
	}
	if d.Size > most {
		return cache.Blob{}, fmt.Errorf("the blob %.19s… has %d bytes, more than %d", d.Digest, d.Size, most)
	}
	return cache.Blob{SHA256: sum, Size: d.Size}, nil
}

// arches are the images of an index that can be kits, by the RPM names of their architectures. Attestations and the like
// have platforms that nobody runs on.
func (x imageIndex) arches() (map[string]descriptor, error) {
	if len(x.Manifests) > maxArches {
		return nil, fmt.Errorf("it has %d images", len(x.Manifests))
	}
	out := map[string]descriptor{}
	for _, d := range x.Manifests {
		if d.Platform == nil {
			return nil, fmt.Errorf("its image %.19s… does not say for which architecture it is", d.Digest)
		}
		arch := rpmArch(d.Platform.Architecture)
		if arch == "" {
			continue
		}
		if other, twice := out[arch]; twice && other.Digest != d.Digest {
			return nil, fmt.Errorf("it has two images for %s", arch)
		}
		out[arch] = d
	}
	return out, nil
}

// rpmArch is what RPM calls an architecture of OCI; empty for those that buildsys cannot build for.
func rpmArch(oci string) string {
	switch oci {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return ""
}

func ociArch(rpm string) string {
	if rpm == "aarch64" {
		return "arm64"
	}
	return "amd64"
}

// parseIndex reads what a tag leads to: an index.
func parseIndex(data []byte) (imageIndex, error) {
	var x struct {
		imageIndex
		Layers []any `json:"layers"`
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return x.imageIndex, fmt.Errorf("its index is not JSON: %w", err)
	}
	switch {
	case x.Layers != nil:
		return x.imageIndex, fmt.Errorf("it is an image for one architecture without an index")
	case len(x.Manifests) == 0:
		return x.imageIndex, fmt.Errorf("its index lists no image")
	}
	return x.imageIndex, nil
}
