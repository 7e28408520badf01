// label: the metadata of a kit, in a label of its image.

package kit

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

const (
	labelPrefix = "dev.bottlerocket.kit."
	// Label is the label of the kits that Pack makes. The older label v1 has the same content.
	Label = labelPrefix + "v2"
)

// Metadata describes a kit.
type Metadata struct {
	Name    string
	Version string
	SDK     manifest.LockedImage // Source and Digest may be empty
	Kits    []manifest.Image     // kits that it needs, sorted by vendor and name
}

// labelImage is an SDK or a kit in the label.
type labelImage struct {
	Digest  string `json:"digest,omitempty"`
	Name    string `json:"name"`
	Source  string `json:"source,omitempty"`
	Vendor  string `json:"vendor"`
	Version string `json:"version"`
}

type labelJSON struct {
	Kits    []labelImage `json:"kit"`
	Name    string       `json:"name"`
	SDK     labelImage   `json:"sdk"`
	Version string       `json:"version"`
}

func (l labelImage) image() manifest.Image {
	return manifest.Image{Name: l.Name, Version: l.Version, Vendor: l.Vendor}
}

// Encode returns the value of Label: JSON in base64.
func (m Metadata) Encode() (string, error) {
	out := labelJSON{
		Kits: []labelImage{}, Name: m.Name, Version: m.Version,
		SDK: labelImage{Name: m.SDK.Name, Version: m.SDK.Version, Vendor: m.SDK.Vendor,
			Source: m.SDK.Source, Digest: m.SDK.Digest},
	}
	for _, k := range m.Kits {
		out.Kits = append(out.Kits, labelImage{Name: k.Name, Version: k.Version, Vendor: k.Vendor})
	}
	data, err := json.Marshal(out)
	return base64.StdEncoding.EncodeToString(append(data, '\n')), err
}

// decodeMetadata reads the labels of an image.
func decodeMetadata(labels map[string]string) (Metadata, error) {
	encoded, ok := labels[Label]
	if !ok {
		encoded, ok = labels[labelPrefix+"v1"]
	}
	if !ok {
		return Metadata{}, noLabel(labels)
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Metadata{}, fmt.Errorf("its label is not base64: %w", err)
	}
	var l labelJSON
	if err := oci.Decode(data, &l); err != nil {
		return Metadata{}, fmt.Errorf("its label is not JSON: %w", err)
	}
	m := Metadata{Name: l.Name, Version: l.Version, SDK: manifest.LockedImage{Image: l.SDK.image(),
		Source: l.SDK.Source, Digest: l.SDK.Digest}}
	if !manifest.ValidIdentifier(l.Name) || !manifest.ValidImageVersion(l.Version) {
		return m, fmt.Errorf("its label has the invalid name or version %.100q %.100q", l.Name,
			l.Version)
	}
	if len(l.Kits) > maxKits {
		return m, fmt.Errorf("its label names %d kits, more than %d", len(l.Kits), maxKits)
	}
	for _, i := range append([]labelImage{l.SDK}, l.Kits...) {
		if !manifest.ValidIdentifier(i.Name) || !manifest.ValidIdentifier(i.Vendor) ||
			!manifest.ValidImageVersion(i.Version) {
			return m, fmt.Errorf("its label needs %.100q %.100q of vendor %.100q, which is not a valid "+
				"image", i.Name, i.Version, i.Vendor)
		}
	}
	for _, k := range l.Kits {
		m.Kits = append(m.Kits, k.image())
	}
	return m, nil
}

// noLabel returns the error for an image without a supported label.
func noLabel(labels map[string]string) error {
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		version, ok := strings.CutPrefix(label, labelPrefix)
		if !ok {
			continue
		}
		age := "another"
		if n, err := strconv.Atoi(strings.TrimPrefix(version, "v")); err == nil && n > 2 {
			age = "a newer"
		} else if err == nil {
			age = "an older"
		}
		return fmt.Errorf("it is a kit of version %.40q, made by %s program that is not compatible: "+
			"this buildsys reads v1 and v2", version, age)
	}
	return errors.New("it has no label " + Label + ": it is not a kit")
}
