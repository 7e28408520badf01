// label: the metadata of a kit, in a label of its image.

package kit

import (
	"cmp"
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
	"buildsys/internal/safetext"
)

const (
	labelPrefix = "dev.bottlerocket.kit.v"
	// NewestLabel is the newest version of the label. All versions have the same content: they stand
	// for changes in the RPMs, and Twoliter takes only kits of the version that it writes.
	NewestLabel = 4
)

// labelName returns the name of the label of a version.
func labelName(version int) string { return labelPrefix + strconv.Itoa(version) }

// Metadata describes a kit.
type Metadata struct {
	Name    string
	Version string
	SDK     manifest.LockedImage // Source and Digest may be empty
	Kits    []manifest.Image     // kits that it needs, sorted by vendor and name
	Label   int                  // version of the label that says this; 0 means NewestLabel
}

// label returns the name of the label.
func (m Metadata) label() string { return labelName(cmp.Or(m.Label, NewestLabel)) }

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

// Encode returns the value of the label: JSON in base64.
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
	version, encoded := findLabel(labels)
	if version == 0 {
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
	m := Metadata{Label: version, Name: l.Name, Version: l.Version, SDK: manifest.LockedImage{
		Image: l.SDK.image(), Source: l.SDK.Source, Digest: l.SDK.Digest}}
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

// findLabel returns the newest label that is known; version is 0 if there is none.
func findLabel(labels map[string]string) (version int, encoded string) {
	for version = NewestLabel; version > 0; version-- {
		if encoded, ok := labels[labelName(version)]; ok {
			return version, encoded
		}
	}
	return 0, ""
}

// noLabel returns the error for an image without a supported label.
func noLabel(labels map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		version, ok := strings.CutPrefix(key, labelPrefix)
		if !ok {
			continue
		}
		age := "another"
		if n, err := strconv.Atoi(version); err == nil && n > NewestLabel {
			age = "a newer"
		}
		return fmt.Errorf("it is a kit of version \"v%.40s\", made by %s program that is not "+
			"compatible: this buildsys reads v1 to v%d", safetext.Line(version), age, NewestLabel)
	}
	return errors.New("it has no label " + labelName(NewestLabel) + ": it is not a kit")
}
