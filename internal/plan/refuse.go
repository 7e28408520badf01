// refuse: the images that cannot be made: those whose features contradict each other, and those
// that no recipe makes yet.

package plan

import (
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// unmadeFormats and unmadeFeatures are what manifests may say and no recipe makes. A tree with such
// variants is as good as any other until one of these images is asked for.
var (
	unmadeFormats  = []string{manifest.FormatUKI, manifest.FormatEIF}
	unmadeFeatures = []string{manifest.StandaloneImage, manifest.EncryptedStorage}
)

// checkImage refuses an image that cannot be made, with everything that is in the way.
func checkImage(v *workspace.Variant) error {
	if conflicts := v.Conflicts(); len(conflicts) > 0 {
		return &RequestError{What: "variant " + v.Name, Why: strings.Join(conflicts, "; "),
			Hint: "correct image-features, image-format or image-layout in " + v.File}
	}
	var unmade []string
	if slices.Contains(unmadeFormats, v.ImageFormat) {
		unmade = append(unmade, "image-format \""+v.ImageFormat+"\"")
	}
	for _, f := range unmadeFeatures {
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
