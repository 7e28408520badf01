// image: the parts of OCI images that kits are made of.

package kit

import (
	"encoding/json"
	"fmt"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/oci"
)

// imageConfig is the configuration of a kit's image. The order of its fields is part of the digests
// of kits, so it is not spec.Image, which has another.
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

// arches returns the images of an index that can be kits, by the RPM names of their architectures.
// Attestations and the like have platforms that nobody runs on.
func arches(x spec.Index) (map[string]spec.Descriptor, error) {
	if len(x.Manifests) > maxArches {
		return nil, fmt.Errorf("it has %d images", len(x.Manifests))
	}
	out := map[string]spec.Descriptor{}
	for _, d := range x.Manifests {
		if d.Platform == nil {
			return nil, fmt.Errorf("its image %.19s… does not say for which architecture it is", d.Digest)
		}
		arch := rpmArch(d.Platform.Architecture)
		if arch == "" {
			continue
		}
		if _, err := oci.Blob(d, oci.MaxDocument); err != nil { // its digest becomes a path
			return nil, err
		}
		if other, twice := out[arch]; twice && other.Digest != d.Digest {
			return nil, fmt.Errorf("it has two images for %s", arch)
		}
		out[arch] = d
	}
	return out, nil
}

// rpmArch is what RPM calls an architecture of OCI; empty for those that buildsys cannot build for.
func rpmArch(name string) string {
	switch name {
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
func parseIndex(data []byte) (spec.Index, error) {
	var x struct {
		spec.Index
		Layers []any `json:"layers"`
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return x.Index, fmt.Errorf("its index is not JSON: %w", err)
	}
	switch {
	case x.Layers != nil:
		return x.Index, fmt.Errorf("it is an image for one architecture without an index")
	case len(x.Manifests) == 0:
		return x.Index, fmt.Errorf("its index lists no image")
	}
	return x.Index, nil
}
