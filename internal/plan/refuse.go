// refuse: the images that cannot be made: those whose features contradict each other, and those
// that no recipe makes yet.

package plan

import (
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// unmadeFormats are what manifests may say and no recipe makes, unmadeFeatures what only the recipe
// for Twoliter's trees makes, unmadeByOwn what a Dockerfile of the tree's own does not make. A tree
// with such variants is as good as any other until one of these images is asked for.
var (
	unmadeFormats  = []string{manifest.FormatEIF}
	unmadeFeatures = []string{manifest.EncryptedStorage}
	unmadeByOwn    = []string{manifest.FormatUKI, manifest.StandaloneImage}
)

// checkImage refuses an image that cannot be made, with everything that is in the way.
func (m *maker) checkImage(v *workspace.Variant) error {
	if conflicts := v.Conflicts(); len(conflicts) > 0 {
		return &RequestError{What: "variant " + v.Name, Why: strings.Join(conflicts, "; "),
			Hint: "correct image-features, image-format or image-layout in " + v.File}
	}
	formats, features := unmadeFormats, unmadeFeatures
	if m.ours.Twoliter {
		features = nil
	}
	if m.ours.Own != nil {
		formats = append(formats[:len(formats):len(formats)], unmadeByOwn...)
		features = append(features[:len(features):len(features)], unmadeByOwn...)
	}
	var unmade []string
	if slices.Contains(formats, v.ImageFormat) {
		unmade = append(unmade, "image-format \""+v.ImageFormat+"\"")
	}
	for _, f := range features {
		if v.HasFeature(f) {
			unmade = append(unmade, "image feature "+f)
		}
	}
	for _, g := range v.Guests {
		unmade = append(unmade, "guest "+g.Crate+" (guest-images)")
	}
	if len(unmade) > 0 {
		return &RequestError{What: "variant " + v.Name, Why: "this buildsys cannot make an image with " +
			strings.Join(unmade, ", "), Hint: "the variant's packages can be built (build-package); see " +
			v.File}
	}
	return nil
}
