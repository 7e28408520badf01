// secureboot: how the keys of an image with uefi-secure-boot reach its build.

package plan

import (
	"slices"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// secureBoot is the image feature of signed programs and boot configuration.
const secureBoot = "uefi-secure-boot"

// SigningKeys are the keys for images with uefi-secure-boot.
type SigningKeys struct {
	// Public are certificates and public keys. The build sees them as files, so another key makes
	// another image.
	Public []File
	// Secrets maps names that the recipe uses to files with private keys.
	Secrets map[string]confined.Path
	// Firmware returns the certificates for the firmware of a virtual machine, by the placeholders of
	// templates. It is called only for an appliance.
	Firmware func() (map[string]string, error)
}

// Signatures is how an image is signed, which decides what keys it takes.
type Signatures struct {
	UKI  bool // one program for the firmware, instead of boot loader, configuration and kernel
	Shim bool // as Twoliter signs: the firmware trusts shim, and shim the vendor of all else
}

// addSigning gives the step of an image with uefi-secure-boot its keys: the public ones below keys/
// in the context "image", the private ones as secrets.
func (n *native) addSigning(s *Step, v *workspace.Variant) error {
	if !HasSecureBoot(v) {
		return nil
	}
	keys, err := n.signingKeys(v)
	if err != nil {
		return err
	}
	image := s.Solve.Contexts["image"]
	for _, f := range keys.Public {
		f.Name = "keys/" + f.Name
		image.Files = append(image.Files, f)
	}
	sortFiles(image.Files)
	s.Solve.Contexts["image"] = image
	s.Solve.Args["UEFI_SECURE_BOOT"] = "signed" // a stage of the recipe
	s.Solve.Secrets = keys.Secrets
	return nil
}

// signingKeys returns the keys for an image with uefi-secure-boot.
func (n *native) signingKeys(v *workspace.Variant) (SigningKeys, error) {
	if n.m.r.Files.Signing == nil {
		return SigningKeys{}, &RequestError{What: "variant " + v.Name, Why: "it has " + secureBoot +
			" (" + v.File + "), but there are no keys"}
	}
	keys, err := n.m.r.Files.Signing(Signatures{UKI: v.ImageFormat == manifest.FormatUKI,
		Shim: n.m.ours.Twoliter})
	if err != nil {
		return keys, noKeys(v, err)
	}
	return keys, nil
}

func noKeys(v *workspace.Variant, err error) error {
	return &RequestError{What: "variant " + v.Name, Why: "it has " + secureBoot + " (" + v.File + ")",
		Hint: err.Error()}
}

// firmware returns the placeholders for certificates in the template of a variant's appliance.
func (n *native) firmware(v *workspace.Variant) (map[string]string, error) {
	if !HasSecureBoot(v) {
		return nil, nil
	}
	keys, err := n.signingKeys(v)
	if err != nil || keys.Firmware == nil {
		return nil, err
	}
	values, err := keys.Firmware()
	if err != nil {
		return nil, noKeys(v, err)
	}
	return values, nil
}

// HasSecureBoot reports whether the images of a variant are signed.
func HasSecureBoot(v *workspace.Variant) bool { return slices.Contains(v.Features(), secureBoot) }

// SecureBoot reports whether the images of a Variant or Repack step are signed.
func SecureBoot(s Step) bool { return s.Solve.Args["UEFI_SECURE_BOOT"] != "" }
