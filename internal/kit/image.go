// image: the configuration and index of a kit's OCI image.

package kit

import (
	"fmt"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/oci"
)

// imageConfig is the configuration of a kit's image. The order of its fields is part of the digests
// of kits; that of spec.Image differs.
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
// It ignores others, such as attestations and signatures, whose platforms are unknown or not given.
func arches(x spec.Index) (map[string]spec.Descriptor, error) {
	if len(x.Manifests) > maxArches {
		return nil, fmt.Errorf("it has %d images, more than %d", len(x.Manifests), maxArches)
	}
	out, nameless := map[string]spec.Descriptor{}, 0
	for _, d := range x.Manifests {
		if d.Platform == nil {
			nameless++
			continue
		}
		arch := rpmArch(d.Platform.Architecture)
		if arch == "" {
			continue
		}
		if _, err := oci.Blob(d, oci.MaxDocument); err != nil { // the digest becomes a path
			return nil, err
		}
		if other, twice := out[arch]; twice && other.Digest != d.Digest {
			return nil, fmt.Errorf("it has two images for %s", arch)
		}
		out[arch] = d
	}
	if len(out) == 0 && nameless > 0 {
		return nil, fmt.Errorf("none of its %d images states an architecture", nameless)
	}
	return out, nil
}

// rpmArch returns RPM's name of an architecture of OCI; empty if buildsys cannot build for it.
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

// parseIndex reads the index that a tag leads to.
func parseIndex(data []byte) (spec.Index, error) {
	var x struct {
		spec.Index
		Layers []any `json:"layers"`
	}
	if err := oci.Decode(data, &x); err != nil {
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
