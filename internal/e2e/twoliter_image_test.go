// Images of trees written for Twoliter: all that RPMs install, labelled, and how they start.

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
)

// twoliterImage builds an image, reads what is in it, and tries RPMs that cannot be in one.
func twoliterImage(t *testing.T, sdk []string) {
	data, err := os.ReadFile("testdata/twoliter-image.txtar")
	buildtest.Must(t, err)
	root := buildtest.Tree(t, string(data))
	sdk = append(slices.Clone(sdk), "BUILDSYS_VERSION_BUILD=abc")
	r := buildsys(t, root, sdk, "build-variant", "metal-lab")
	if r.must(t, 0); r.code != 0 {
		t.FailNow()
	}
	dir := strings.TrimSpace(r.stdout)
	stem := filepath.Join(dir, "bottlerocket-metal-lab-x86_64-1.2.3-abc")
	buildsys(t, root, append(slices.Clone(sdk), noEngine), "build-variant", "metal-lab").must(t, 0,
		"nothing to do")
	buildsys(t, root, sdk, "inspect", stem+".img.lz4").must(t, 0)
	twoliterDev(t, root, sdk)
	twoliterRoot(t, expand(t, stem+"-root.ext4.lz4"))
	twoliterBoot(t, expand(t, stem+"-boot.ext4.lz4"))
	const kit = "metal-lab-x86_64-kmod-kit-v1.2.3"
	list := tool(t, "tar", "-tJf", filepath.Join(dir, kit+".tar.xz"))
	if !strings.Contains(list, kit+"/kernel-devel/config\n") ||
		!strings.Contains(list, kit+"/toolchain/cc\n") {
		t.Errorf("the kmod kit holds\n%s", list)
	}
	want := "lab-base lab-base-bill lab-boot lab-kernel-6.1 lab-metadata lab-metadata-sbom"
	if got := strings.Join(installed(t, dir), " "); got != want {
		t.Errorf("installed: %s", got)
	}
	if r := buildsys(t, root, sdk, "build-variant", "--verify-reproducible", "metal-lab"); r.stdout !=
		"metal-lab is reproducible\n" {
		t.Errorf("got %s%s", r.stdout, r.stderr)
	}
	twoliterRepack(t, root, sdk, "metal-lab", dir)
	twoliterStated(t, root, sdk, "metal-lab", dir)
	const manifest = "variants/metal-lab/Cargo.toml"
	text := read(t, root, manifest)
	for pkg, want := range map[string]string{
		"boot-shell": "lab-boot-shell: %postin /bin/sh",
		"boot-crash": "a fault",
		"boot-bad":   "/boot/boot-config.d/'3':1: 'kernel {' is not of the form key = value",
		"extra-fips": "the packages of variant metal-lab cannot be installed together",
	} {
		write(t, root, manifest, strings.Replace(text, `"boot",`, `"boot", "`+pkg+`",`, 1))
		buildsys(t, root, sdk, "build-variant", "metal-lab").must(t, 3, want)
	}
	twoliterErofs(t, root, sdk)
}

// twoliterRepack makes an image from the one in dir, once as it is, which gives the same bytes, and
// once with other certificates.
func twoliterRepack(t *testing.T, root string, env []string, variant, dir string) {
	t.Helper()
	repack := func(args ...string) string {
		t.Helper()
		r := buildsys(t, root, env, append([]string{"repack-variant", variant}, args...)...)
		if r.must(t, 0); r.code != 0 {
			t.FailNow()
		}
		return strings.TrimSpace(r.stdout)
	}
	same(t, dir, repack("--out", "again"))
	const bundle = "/x86_64-lab-linux-gnu/sys-root/usr/share/factory/etc/pki/tls/certs/ca-bundle.crt"
	write(t, root, "other.pem", certificates(t, 1))
	out := repack("--out", "other", "--cacerts-bundle-override", "other.pem")
	file := expand(t, filepath.Join(out, "bottlerocket-"+variant+"-x86_64-1.2.3-abc-root.ext4.lz4"))
	ask := func(command string) string { return tool(t, "debugfs", "-R", command, file) }
	if got := ask("cat " + bundle); !strings.Contains(got, read(t, root, "other.pem")) {
		t.Errorf("the repacked image has the certificates %s", got)
	}
	got := ask("ea_get " + bundle + " security.selinux")
	if !strings.Contains(got, `"system_u:object_r:os_t:s0"`) {
		t.Errorf("label of the certificates: %s", got)
	}
}

// twoliterErofs builds and repacks an image with another file system in a tree of the time of kits,
// where variants say which archives they have.
func twoliterErofs(t *testing.T, root string, env []string) {
	buildtest.Must(t, os.Remove(filepath.Join(root, "Release.toml")))
	write(t, root, "Twoliter.toml", "schema-version = 1\nrelease-version = \"1.2.3\"\n")
	r := buildsys(t, root, env, "build-variant", "metal-erofs")
	if r.must(t, 0); r.code != 0 {
		t.FailNow()
	}
	dir := strings.TrimSpace(r.stdout)
	got, err := filepath.Glob(filepath.Join(dir, "*kmod-kit*"))
	buildtest.Must(t, err)
	if len(got) != 1 || filepath.Base(got[0]) != ".no-kmod-kit" {
		t.Errorf("archives for modules: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, ".no-migrations")); err == nil {
		t.Error("the image has migrations and says that it has none")
	}
	r = buildsys(t, root, env, "repack-variant", "metal-erofs", "--out", "erofs")
	if r.must(t, 0); r.code == 0 {
		same(t, dir, strings.TrimSpace(r.stdout))
	}
	twoliterStated(t, root, env, "metal-erofs", dir)
}

// twoliterStated checks that the image in dir has the files that its bill of materials lists, but
// for those that its step is known to make.
func twoliterStated(t *testing.T, root string, env []string, variant, dir string) {
	t.Helper()
	key, public := signingKey(t, t.TempDir(), "key")
	buildsys(t, root, env, "build-variant", variant, "--sign-key", key).must(t, 0)
	r := buildsys(t, root, env, "verify", "--key", public, dir)
	r.must(t, 0)
	if !strings.Contains(r.stdout, " files of the image have the bytes that the bill") {
		t.Errorf("%s: %s", variant, r.stdout)
	}
}

// twoliterDev checks that an image of --dev has its disk and nothing that is published.
func twoliterDev(t *testing.T, root string, sdk []string) {
	t.Helper()
	r := buildsys(t, root, sdk, "build-variant", "--dev", "metal-lab")
	r.must(t, 0)
	var names []string
	for file := range buildtest.Snapshot(t, strings.TrimSpace(r.stdout)) {
		names = append(names, file)
	}
	slices.Sort(names)
	want := []string{"application-inventory.json", "dev-metal-lab-x86_64.qcow2"}
	if !slices.Equal(names, want) {
		t.Errorf("an image of --dev has %q, want %q", names, want)
	}
}

// twoliterRoot checks files, modes and labels of a root file system.
func twoliterRoot(t *testing.T, file string) {
	ask := func(command string) string { return tool(t, "debugfs", "-R", command, file) }
	const sysroot = "/x86_64-lab-linux-gnu/sys-root"
	const bundle = sysroot + "/usr/share/factory/etc/pki/tls/certs/ca-bundle.crt"
	for command, want := range map[string]string{
		"stat /usr":                                 `Fast link dest: ".` + sysroot + `/usr"`,
		"stat /root":                                "Mode:  0750",
		"ea_get /root security.selinux":             `"system_u:object_r:os_t:s0"`,
		"ea_get /usr security.selinux":              `"system_u:object_r:os_t:s0"`,
		"ea_get / security.selinux":                 `"system_u:object_r:os_t:s0"`,
		"stat " + sysroot + "/usr/lib/by-scriptlet": `Fast link dest: "os-release"`,
		`ea_get "` + sysroot + `/usr/share/a name" security.selinux`: `"system_u:object_r:os_t:s0"`,
		"cat " + sysroot + "/usr/lib/os-release": "PRETTY_NAME=\"Bottlerocket OS 1.2.3 (metal-lab)\"\n" +
			"VARIANT_ID=metal-lab\nVERSION_ID=1.2.3\nBUILD_ID=abc\nHOME_URL=",
		"cat " + sysroot + "/usr/share/lab/image-features.env": "DATA_PARTITION_FILESYSTEM=ext4\n" +
			"IN_PLACE_UPDATES=true\nENCRYPTED_STORAGE=false\n",
		"cat " + sysroot + "/usr/share/lab/image-format.env": "IMAGE_FORMAT=raw\nUKI_IMAGE=false\n",
		"cat " + sysroot + "/usr/share/updog/root.json":      `"_type": "root"`,
		"cat " + bundle: "certificates\n",
		"stat " + sysroot + "/usr/share/lab/licenses.squashfs":    "Type: regular",
		"stat " + sysroot + "/usr/share/licenses/base":            "File not found",
		"ea_get " + sysroot + "/usr/lib/able security.capability": "security.capability",
		"stat " + sysroot + "/usr/lib/two":                        "Links: 2",
		"stat /boot/vmlinuz":                                      "File not found",
		"stat /var/lib":                                           "File not found",
	} {
		if got := ask(command); !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %q", command, got, want)
		}
	}
}

// twoliterBoot checks what a BOOT partition has for GRUB and the kernel.
func twoliterBoot(t *testing.T, file string) {
	config := tool(t, "debugfs", "-R", "cat grub/grub.cfg", file)
	for _, want := range []string{
		"linux ($root)/vmlinuz console=ttyS0 bootconfig root=/dev/dm-0 rootwait ro ",
		`selinux=1 enforcing=1 dm-mod.create="$dm_verity_root" -- systemd.log_target=`,
		"initrd ($private)/bootconfig.data\n", "PARTUUID=$boot_uuid/PARTNROFF=1 ",
		`menuentry "Bottlerocket OS 1.2.3" --unrestricted {`,
	} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg has no %q:\n%s", want, config)
		}
	}
	got := tool(t, "debugfs", "-R", "ea_get /vmlinuz security.selinux", file)
	if !strings.Contains(got, `"system_u:object_r:os_t:s0"`) {
		t.Errorf("label of the kernel: %s", got)
	}
}
