// secureboot: how the keys of an image with uefi-secure-boot reach its build.

package plan

import (
	"slices"

	"buildsys/internal/workspace"
)

// secureBoot is the image feature that has programs and boot configuration signed.
const secureBoot = "uefi-secure-boot"

// SigningKeys are what images with uefi-secure-boot are signed with.
type SigningKeys struct {
	// Public are certificates and public keys. The build sees them as files, so another key is another
	// image.
	Public []File
	// Secrets are files with private keys, by the name that the recipe knows them by.
	Secrets map[string]string
}

// addSigning gives the step of an image with uefi-secure-boot its keys: the public ones below keys/
// in the context "image", the private ones as secrets.
func (n *native) addSigning(s *Step, v *workspace.Variant) error {
	if !HasSecureBoot(v) {
		return nil
	}
	if n.m.r.Files.Signing == nil {
		return &RequestError{What: "variant " + v.Name, Why: "it has " + secureBoot + " (" +
			v.File + ") and there are no keys"}
	}
	keys, err := n.m.r.Files.Signing()
	if err != nil {
		return &RequestError{What: "variant " + v.Name, Why: "it has " + secureBoot + " (" +
			v.File + ")", Hint: err.Error()}
	}
	image := s.Solve.Contexts["image"]
	for _, f := range keys.Public {
		f.Name = "keys/" + f.Name
		image.Files = append(image.Files, f)
	}
	sortFiles(image.Files)
	s.Solve.Contexts["image"] = image
	s.Solve.Args["UEFI_SECURE_BOOT"] = "1"
	s.Solve.Secrets = keys.Secrets
	return nil
}

// HasSecureBoot reports whether the images of a variant are signed.
func HasSecureBoot(v *workspace.Variant) bool { return slices.Contains(Features(v), secureBoot) }

// SecureBoot reports whether the images of a Variant step are to be signed.
func SecureBoot(s Step) bool { return s.Solve.Args["UEFI_SECURE_BOOT"] != "" }
