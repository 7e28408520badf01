// verifymade: which files of an image the step that makes it makes itself, changes or takes away.
// The scripts in tools/image, tools/disk and twoliter/tools do that; docs/verify.md lists them.

package build

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/contents"
	"buildsys/internal/image"
)

// madeImage is what decides which files the step of an image makes.
type madeImage struct {
	os       string            // the directory in /usr/share with the inventory
	bill     map[string]string // the files of the bill of materials, with their sums
	linked   bool              // made by the recipe for trees written for Twoliter: /usr is a link
	repacked bool
	signed   bool
	uki      bool
	erofs    bool
	squashed bool // the licences are in a file system of their own
	// beside is the sum of the inventory beside the image, trust those of files that settings name, by
	// their names.
	beside string
	trust  map[string]string
}

// madeRule says of files that they may be otherwise than RPMs have them.
type madeRule struct {
	name string // a regular expression, in which OS stands for the name of the OS
	how  string // changes that are made, by their first letters
	when func(m madeImage) bool
	// good returns what is wrong with such a file, as far as that can be known.
	good func(m madeImage, u contents.Unlike) error
}

func always(madeImage) bool           { return true }
func (m madeImage) isLinked() bool    { return m.linked }
func (m madeImage) isUKI() bool       { return m.uki }
func (m madeImage) hasGRUB() bool     { return !m.uki }
func (m madeImage) isSquashed() bool  { return m.linked && m.squashed }
func (m madeImage) unpacks() bool     { return m.linked && m.erofs }
func (m madeImage) otherEFI() bool    { return m.signed || m.linked }
func (m madeImage) linkedUKI() bool   { return m.linked && m.uki }
func (m madeImage) signedGRUB() bool  { return m.signed && !m.uki }
func (m madeImage) linkedSigns() bool { return m.linked && m.signed }

// madeRules are all of them: what none allows is a fault.
var madeRules = []madeRule{
	{`/usr/share/OS/application-inventory\.json`, "ac", always, madeImage.isInventory},
	{`/usr/lib/os-release`, "c", always, hasLines("VERSION", "PRETTY_NAME", "VARIANT_ID", "VERSION_ID",
		"BUILD_ID", "VENDOR_NAME", "HOME_URL", "SUPPORT_URL", "BUG_REPORT_URL", "DOCUMENTATION_URL")},
	{`/usr/share/OS/image-features\.env`, "ac", always, hasLines("DATA_PARTITION_FILESYSTEM",
		"IN_PLACE_UPDATES", "ENCRYPTED_STORAGE", "EPHEMERAL_ENCRYPTION_KEYS", "STANDALONE_IMAGE")},
	{`/usr/share/OS/image-format\.env`, "ac", madeImage.isLinked, hasLines("IMAGE_FORMAT",
		"UKI_IMAGE")},
	{`/usr/lib/modules/[^/]+/modules\.[^/]+`, "ac", always, nil},
	{`/usr/lib/modules/[^/]+/System\.map`, "r", madeImage.isLinked, nil},
	{`/usr/lib/modules/.+\.ko\.(gz|xz|zst)`, "r", madeImage.unpacks, nil},
	{`/usr/lib/modules/.+\.ko`, "a", madeImage.unpacks, madeImage.isUnpacked},
	{`/usr/share/licenses/.+`, "r", madeImage.isSquashed, nil},
	{`/usr/share/OS/licenses\.squashfs`, "ac", madeImage.isSquashed, nil},
	{`/var/lib/.+`, "r", madeImage.isLinked, nil},
	{`/usr/share/factory/etc/pki/tls/certs/ca-bundle\.crt`, "ac", always, madeImage.isTrust},
	{`/usr/share/updog/root\.json`, "ac", always, madeImage.isTrust},

	// BOOT and the EFI system partition.
	{`/boot/(grub/grub\.cfg|\.vmlinuz\.hmac)`, "ac", madeImage.hasGRUB, nil},
	{`/boot/(vmlinuz|grub/grub\.cfg|efi/EFI/BOOT/grub\.cfg)\.sig`, "a", madeImage.signedGRUB, nil},
	{`/boot/vmlinuz`, "c", madeImage.signedGRUB, nil},
	{`/boot/efi/EFI/BOOT/grub\.cfg`, "ac", madeImage.hasGRUB, nil},
	{`/boot/efi/EFI/BOOT/[^/]+\.efi`, "c", madeImage.otherEFI, nil},
	{`/boot/efi/EFI/BOOT/db\.(crt|cer)`, "a", madeImage.linkedSigns, nil},
	{`/boot/efi/EFI/BOOT/BOOT(X64|AA64)\.EFI`, "a", madeImage.isUKI, madeImage.hasKernel},
	{`/boot/efi/EFI/BOOT/\.[^/]+\.hmac`, "a", madeImage.isUKI, nil},
	{`/boot/efi/EFI/BOOT/[^/]+\.efi`, "r", madeImage.linkedUKI, nil},
	{`/boot/(bios|boot-config\.d|efi-secure)/.+`, "r", always, nil},
	{`/boot/grub/.+`, "r", madeImage.isLinked, nil},
}

// allowed returns what says whether the step of an image does that to a file. Its error is what is
// wrong with a file that the step makes.
func (m madeImage) allowed() func(u contents.Unlike) (bool, error) {
	names := make([]*regexp.Regexp, len(madeRules))
	for i, r := range madeRules {
		of := strings.ReplaceAll(r.name, "/OS/", "/"+regexp.QuoteMeta(m.os)+"/")
		names[i] = regexp.MustCompile(`^(?:` + of + `)$`)
	}
	return func(u contents.Unlike) (bool, error) {
		name := contents.InImage(u.Path)
		if m.uki && u.Change == contents.Removed && strings.HasPrefix(name, "/boot/") &&
			!strings.HasPrefix(name, "/boot/efi/") {
			return true, nil // there is no BOOT
		}
		for i, r := range madeRules {
			if strings.Contains(r.how, u.Change[:1]) && r.when(m) && names[i].MatchString(name) {
				if r.good == nil {
					return true, nil
				}
				return true, r.good(m, u)
			}
		}
		return false, nil
	}
}

// isInventory holds the inventory against the one beside the image.
func (m madeImage) isInventory(u contents.Unlike) error {
	if u.Sum != m.beside {
		return errors.New("it is not the " + inventoryName + " beside the image")
	}
	return nil
}

// isTrust holds a file that a setting names against what the statement says of it. A repacked image
// may have one of the image that it was made from.
func (m madeImage) isTrust(u contents.Unlike) error {
	want := m.trust[path.Base(u.Path)]
	switch {
	case want == u.Sum,
		want == "" && (m.repacked || m.linked && u.Change == contents.Added): // the latter is of the SDK
		return nil
	case want == "":
		return errUnlike(u)
	}
	return fmt.Errorf("its sha256 is %.12s, and the statement says that it was made from %.12s", u.Sum,
		want)
}

// isUnpacked looks for the module that a kernel module was unpacked from.
func (m madeImage) isUnpacked(u contents.Unlike) error {
	for _, packed := range []string{".gz", ".xz", ".zst"} {
		if _, ok := m.bill[contents.InImage(u.Path)+packed]; ok {
			return nil
		}
	}
	return errUnlike(u)
}

// hasKernel holds the kernel in a unified kernel image against that of its package.
func (m madeImage) hasKernel(u contents.Unlike) error {
	raw, err := image.ReadFile(u.Part.Files, u.File.Path, maxUKI)
	if err != nil {
		return err
	}
	kernel, err := image.UnifiedKernel(raw)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(kernel); hex.EncodeToString(sum[:]) != m.bill["/boot/vmlinuz"] {
		return errors.New("the kernel in it is not the /boot/vmlinuz of the bill of materials")
	}
	return nil
}

const (
	maxUKI   = 512 << 20
	maxAdded = 1 << 20 // bytes of a file that lines are added to
)

// hasLines returns what holds a file to be what a package has of it, and after that lines that
// assign to the named variables.
func hasLines(names ...string) func(m madeImage, u contents.Unlike) error {
	return func(_ madeImage, u contents.Unlike) error {
		text, err := image.ReadFile(u.Part.Files, u.File.Path, maxAdded)
		if err != nil {
			return err
		}
		return onlyAdds(text, u.Want, names)
	}
}

// onlyAdds returns an error unless a text is one with the sum want, or none, followed by lines that
// assign to the named variables.
func onlyAdds(text []byte, want string, names []string) error {
	rest, sum := text, sha256.New()
	done := 0
	for line := range bytes.Lines(text) {
		sum.Write(line)
		if done += len(line); hex.EncodeToString(sum.Sum(nil)) == want {
			rest = text[done:]
		}
	}
	for line := range bytes.Lines(rest) {
		name, _, ok := bytes.Cut(line, []byte("="))
		if !ok || !slices.Contains(names, string(name)) {
			return fmt.Errorf("its line %.80q is neither of its package nor of the step that makes the "+
				"image", bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return nil
}
