// Signed images of trees written for Twoliter: with keys as Bottlerocket's programs make them,
// through shim and GRUB or as one program.

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// makeProfile makes keys in a directory: certificates by openssl and an OpenPGP key by gpg.
const makeProfile = `set -eu
cd "$1"
authority() {
	openssl req -newkey rsa:2048 -batch -noenc -x509 -days 999 -subj "/CN=$1/" -keyout "$1.key" -out "$1.crt"
}
issue() { # $1 authority, $2 key
	openssl req -newkey rsa:2048 -batch -noenc -subj "/CN=$2/" -keyout "$2.key" -out request
	openssl x509 -req -in request -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 999 -out "$2.crt"
}
for name in PK KEK db vendor; do
	authority $name
done
issue db shim-sign
issue db uki-sign
issue vendor code-sign
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
gpg() { command gpg --homedir "$home" --batch --pinentry-mode loopback --passphrase '' "$@"; }
gpg --quick-generate-key config-sign rsa2048 sign never
gpg --armor --export-secret-keys >config-sign.key
gpg --export >public.pgp
gpgconf --homedir "$home" --kill all
`

// twoliterSigned builds both kinds of signed images. A build reads all signatures back.
func twoliterSigned(t *testing.T, sdk []string) {
	need.Programs(t, "openssl", "gpg", "gpgv")
	data, err := os.ReadFile("testdata/twoliter-image.txtar")
	buildtest.Must(t, err)
	root, keys := buildtest.Tree(t, string(data)), t.TempDir()
	env := append(slices.Clone(sdk), "BUILDSYS_VERSION_BUILD=abc",
		"BUILDSYS_SBKEYS_PROFILE_DIR="+keys)
	buildsys(t, root, env, "build-variant", "metal-signed").must(t, 2, "are incomplete: "+
		"code-sign.crt, config-sign.key, db.crt, shim-sign.crt, vendor.crt missing; make them with "+
		"sbkeys/")
	tool(t, "bash", "-c", makeProfile, "keys", keys)
	t.Run("shim", func(t *testing.T) { twoliterShim(t, root, env, keys) })
	t.Run("uki", func(t *testing.T) { twoliterUKI(t, root, env) })

	key, err := os.ReadFile(filepath.Join(keys, "db.key"))
	buildtest.Must(t, err)
	write(t, keys, "uki-sign.key", string(key))
	write(t, root, "variants/metal-uki/Cargo.toml", strings.Replace(read(t, root,
		"variants/metal-uki/Cargo.toml"), "ttyS0", "ttyS1", 1))
	buildsys(t, root, env, "build-variant", "metal-uki").must(t, 3,
		"uki-sign.key and uki-sign.crt do not belong together")
	write(t, keys, "kms-sign.json", "{}")
	buildsys(t, root, env, "build-variant", "metal-uki").must(t, 2, "says that they are in AWS KMS")
}

func twoliterShim(t *testing.T, root string, env []string, keys string) {
	r := buildsys(t, root, env, "build-variant", "metal-signed")
	if r.must(t, 0); r.code != 0 {
		t.FailNow()
	}
	dir := strings.TrimSpace(r.stdout)
	noSecret(t, keys, dir, filepath.Join(root, "build/logs/x86_64"))
	stem := filepath.Join(dir, "bottlerocket-metal-signed-x86_64-1.2.3-abc")
	disk := inspectDisk(t, stem+".img.lz4")
	var signed []string
	for _, f := range disk.Firmware {
		signed = append(signed, strings.Join(append([]string{filepath.Base(f.Path)}, f.SignedBy...), " "))
	}
	slices.Sort(signed)
	if want := []string{"bootx64.efi CN=shim-sign", "db.cer", "db.crt", "grubx64.efi CN=code-sign",
		"mmx64.efi CN=code-sign"}; !slices.Equal(signed, want) {
		t.Errorf("the ESP has %q, want %q", signed, want)
	}
	if by := disk.Boot[0].KernelSignedBy; !slices.Equal(by, []string{"CN=code-sign"}) {
		t.Errorf("the kernel is signed by %q", by)
	}
	boot, out := expand(t, stem+"-boot.ext4.lz4"), t.TempDir()
	for _, name := range []string{"grub.cfg", "grub.cfg.sig"} {
		tool(t, "debugfs", "-R", "dump grub/"+name+" "+filepath.Join(out, name), boot)
	}
	tool(t, "gpgv", "--keyring", filepath.Join(keys, "public.pgp"),
		filepath.Join(out, "grub.cfg.sig"), filepath.Join(out, "grub.cfg"))
	if config := read(t, out, "grub.cfg"); !strings.Contains(config, "  reboot\n}") ||
		!strings.HasPrefix(config, "set superusers=\"\"\nset check_signatures=\"no\"\n") {
		t.Errorf("grub.cfg:\n%s", config)
	}
	label := tool(t, "debugfs", "-R", "ea_get /vmlinuz security.selinux", boot)
	if !strings.Contains(label, `"system_u:object_r:os_t:s0"`) {
		t.Errorf("label of the kernel: %s", label)
	}
	for _, name := range []string{"artifact-metadata.json",
		"metal-signed-x86_64-kmod-kit-v1.2.3.tar.xz"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	r = buildsys(t, root, env, "repack-variant", "metal-signed", "--out", "signed-again")
	if r.must(t, 0); r.code == 0 {
		same(t, dir, strings.TrimSpace(r.stdout))
	}
}

// twoliterEncrypted checks an image whose OS encrypts its data with keys for one boot: it is told
// so, and PRIVATE, which it makes anew, is empty.
func twoliterEncrypted(t *testing.T, parts map[string]string) {
	t.Helper()
	if list := tool(t, "debugfs", "-R", "ls -p", parts["BOTTLEROCKET-PRIVATE"]); strings.Contains(list,
		"bootconfig.data") {
		t.Errorf("PRIVATE has\n%s", list)
	}
	features := tool(t, "debugfs", "-R", "cat "+
		"/x86_64-lab-linux-gnu/sys-root/usr/share/lab/image-features.env", parts["BOTTLEROCKET-ROOT-A"])
	if !strings.Contains(features, "ENCRYPTED_STORAGE=true\nEPHEMERAL_ENCRYPTION_KEYS=true\n") {
		t.Errorf("the OS is told\n%s", features)
	}
}

func twoliterUKI(t *testing.T, root string, env []string) {
	const manifest = "variants/metal-uki/Cargo.toml"
	r := buildsys(t, root, env, "build-variant", "metal-uki")
	if r.must(t, 0); r.code != 0 {
		t.FailNow()
	}
	dir := strings.TrimSpace(r.stdout)
	file := filepath.Join(dir, "bottlerocket-metal-uki-x86_64-1.2.3-abc.img.lz4")
	disk := inspectDisk(t, file)
	twoliterEncrypted(t, splitDisk(t, expand(t, file)))
	var files []string
	for _, f := range disk.Firmware {
		files = append(files, filepath.Base(f.Path))
	}
	slices.Sort(files)
	if want := []string{".bottlerocket.efi.hmac", "BOOTX64.EFI", "db.cer", "db.crt"}; !slices.Equal(
		files, want) {
		t.Errorf("the ESP has %q, want %q", files, want)
	}
	if by := disk.Boot[0].KernelSignedBy; !slices.Equal(by, []string{"CN=uki-sign"}) {
		t.Errorf("signed by %q", by)
	}
	line := disk.Boot[0].Entries[0].CommandLine
	if !strings.HasPrefix(line, "console=ttyS0 root=/dev/dm-0 rootwait ro raid=noautodetect ") ||
		!strings.HasSuffix(line, ` a b=1 b=2 -- systemd.log_target=journal-or-kmsg systemd.log_color=0 `+
			`systemd.show_status=true a="x y"`) {
		t.Errorf("command line %s", line)
	}
	r = buildsys(t, root, env, "repack-variant", "metal-uki", "--out", "uki-again")
	if r.must(t, 0); r.code == 0 {
		same(t, dir, strings.TrimSpace(r.stdout))
	}
	text := read(t, root, manifest)
	write(t, root, manifest, strings.Replace(text, `"boot",`, `"boot", "boot-other",`, 1))
	buildsys(t, root, env, "build-variant", "metal-uki").must(t, 3,
		"'other.a = 1' is for neither the kernel nor init")
	write(t, root, manifest, text)
}
