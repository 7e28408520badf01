// verifyfiles_test: what the step of an image may do to files, and what is a fault.

package build

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/contents"
	"buildsys/internal/image"
	"buildsys/internal/provenance"
	"buildsys/internal/sbom"
)

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestAllowed: what one image's step makes is a fault of another's.
func TestAllowed(t *testing.T) {
	plain := madeImage{os: "my.os"}
	signed, uki := plain, plain
	signed.signed, uki.uki = true, true
	linked := plain
	linked.linked, linked.squashed = true, true
	erofs := linked
	erofs.squashed, erofs.erofs = false, true
	erofs.bill = map[string]string{"/usr/lib/modules/6/a.ko.xz": ""}
	trusting := plain
	trusting.trust = map[string]string{"ca-bundle.crt": "1", "root.json": "2"}
	repacked := plain
	repacked.repacked = true
	const certs = "/usr/share/factory/etc/pki/tls/certs/ca-bundle.crt"
	for _, tt := range []struct {
		name string
		m    madeImage
		good string // changes with paths, separated by spaces
		bad  string
	}{
		{"plain", plain, "added/usr/lib/modules/6/modules.dep changed/usr/lib/modules/6/modules.alias " +
			"added/boot/grub/grub.cfg added/boot/.vmlinuz.hmac added/boot/efi/EFI/BOOT/grub.cfg " +
			"removed/boot/bios/core.img removed/boot/efi-secure/EFI/BOOT/bootx64.efi",
			"changed/boot/vmlinuz removed/boot/vmlinuz changed/boot/efi/EFI/BOOT/bootx64.efi " +
				"added/boot/vmlinuz.sig removed/usr/lib/os-release added/usr/bin/sh changed/usr/bin/sh " +
				"removed/usr/lib/modules/6/modules.dep added/usr/lib/modules/6/a.ko " +
				"added" + certs + " removed/usr/share/licenses/a/COPYING added/usr/share/licenses.squashfs " +
				"added/usr/share/my-os/application-inventory.json added/boot/efi/EFI/BOOT/BOOTX64.EFI " +
				"added/boot/grub/grub.cfg/x removed/boot/grub/core.img"},
		{"signed", signed, "changed/boot/vmlinuz changed/boot/efi/EFI/BOOT/bootx64.efi " +
			"added/boot/vmlinuz.sig added/boot/efi/EFI/BOOT/grub.cfg.sig",
			"added/boot/efi/EFI/BOOT/shim.efi removed/boot/efi/EFI/BOOT/bootx64.efi " +
				"added/boot/efi/EFI/BOOT/db.cer changed/boot/config"},
		{"unified", uki, "removed/boot/vmlinuz removed/boot/config " +
			"added/boot/efi/EFI/BOOT/.BOOTX64.EFI.hmac", "removed/boot/efi/x changed/boot/vmlinuz " +
			"added/boot/grub/grub.cfg added/boot/.vmlinuz.hmac"},
		{"linked", linked, "removed/usr/share/licenses/a/COPYING removed/var/lib/x " +
			"added/usr/share/my.os/licenses.squashfs changed/boot/efi/EFI/BOOT/grubx64.efi added" + certs +
			" removed/boot/grub/core.img removed/usr/lib/modules/6/System.map",
			"changed" + certs + " removed/usr/lib/modules/6/a.ko.xz removed/usr/share/x"},
		{"erofs", erofs, "removed/usr/lib/modules/6/a.ko.xz added/usr/lib/modules/6/a.ko",
			"added/usr/lib/modules/6/b.ko removed/usr/share/licenses/a/COPYING"},
		{"trusting", trusting, "", "changed" + certs + " added/usr/share/updog/root.json"},
		{"repacked", repacked, "changed" + certs, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			allowed := tt.m.allowed()
			for i, list := range []string{tt.good, tt.bad} {
				for word := range strings.FieldsSeq(list) {
					change, name, _ := strings.Cut(word, "/")
					ok, err := allowed(contents.Unlike{Path: "/" + name, Change: change, Sum: "3"})
					if (ok && err == nil) != (i == 0) {
						t.Errorf("%s: %v, %v", word, ok, err)
					}
				}
			}
		})
	}
	if ok, err := trusting.allowed()(contents.Unlike{Path: certs, Change: contents.Changed,
		Sum: "1"}); !ok || err != nil {
		t.Errorf("the file of the statement: %v, %v", ok, err)
	}
}

func TestOnlyAdds(t *testing.T) {
	const own = "NAME=x\nID=y\n"
	for _, tt := range []struct{ text, want, fault string }{
		{own + "VERSION=1\n", hexSum(own), ""},
		{own + "VERSION=1\nVARIANT_ID=2", hexSum(own), ""},
		{"VERSION=1\n", hexSum(own), ""}, // of image-features.env, which is replaced
		{"", "", ""},
		{own + "VERSION=1\nOTHER=1\n", hexSum(own), `"OTHER=1"`},
		{"NAME=z\n" + own, hexSum(own), `"NAME=z"`},
		{own + "VERSION\n", hexSum(own), `"VERSION"`},
	} {
		err := onlyAdds([]byte(tt.text), tt.want, []string{"VERSION", "VARIANT_ID"})
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil ||
			!strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.fault)
		}
	}
}

// TestCheckFiles: the first thing that a bill of materials says wrongly of an image is named.
func TestCheckFiles(t *testing.T) {
	need.Program(t, "mke2fs")
	dir := t.TempDir()
	const release = "NAME=my\n"
	files := map[string]string{"usr/bin/sh": "sh", "usr/lib/os-release": release + "VERSION=1\n",
		"usr/share/my/application-inventory.json": `{"Content": []}`}
	for name, text := range files {
		buildtest.Must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		buildtest.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	file := filepath.Join(t.TempDir(), "root.img")
	if out, err := exec.CommandContext(t.Context(), "mke2fs", "-q", "-t", "ext4", "-O",
		"^metadata_csum,^has_journal,^dir_index", "-d", dir, file, "2m").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	inventory := sha256.Sum256([]byte(files["usr/share/my/application-inventory.json"]))
	for name, tt := range map[string]struct {
		bill  map[string]string
		other bool // another inventory is beside the image
		want  string
	}{
		"good": {bill: map[string]string{"/usr/bin/sh": "sh", "/usr/lib/os-release": release}},
		"changed": {map[string]string{"/usr/bin/sh": "bash", "/usr/lib/os-release": release}, false,
			"sbom: /usr/bin/sh: its sha256 is "},
		"missing": {map[string]string{"/usr/bin/sh": "sh", "/usr/bin/x": "",
			"/usr/lib/os-release": release}, false,
			"sbom: /usr/bin/x: it is in the bill of materials with the sha256 e3b0"},
		"added": {map[string]string{"/usr/lib/os-release": release}, false,
			"sbom: /usr/bin/sh: it is in the image, and no package"},
		"os-release": {map[string]string{"/usr/bin/sh": "sh",
			"/usr/lib/os-release": "NAME=other\n"}, false,
			`sbom: /usr/lib/os-release: its line "NAME=my" is neither`},
		"inventory": {map[string]string{"/usr/bin/sh": "sh", "/usr/lib/os-release": release}, true,
			"sbom: /usr/share/my/application-inventory.json: it is not the "},
	} {
		t.Run(name, func(t *testing.T) {
			var d sbom.Document
			d.Packages = append(d.Packages, sbom.Package{Name: "my-all"})
			for at, text := range tt.bill {
				d.Packages[0].Files = append(d.Packages[0].Files, sbom.File{Path: at, SHA256: hexSum(text)})
			}
			beside := inventory
			beside[0] ^= map[bool]byte{true: 1}[tt.other]
			v := Verified{Paper: &provenance.Paper{Image: provenance.Claim{
				Subjects: map[string][32]byte{inventoryName: beside}}}}
			disk, err := image.Open(t.Context(), file, t.TempDir())
			buildtest.Must(t, err)
			defer disk.Close()
			faults, err := v.checkFiles(t.Context(), "root.img", disk, d)
			buildtest.Must(t, err)
			if got := faults.Error(); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
