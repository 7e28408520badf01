package manifest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

const goodVariant = `[package]
name = "aws-k8s-1_31-nvidia"
version = "0.1.0"

[package.metadata.build-variant.image-layout]
os-image-size-gib = 4
partition-plan = "unified"

[package.metadata.build-variant]
included-packages = ["release", "kubelet-1.31", "libX11"]
image-format = "qcow2"
supported-arches = ["x86_64"]
kernel-parameters = ["console=ttyS0,115200n8", "netdog.default-interface=eth0:dhcp4,dhcp6?", "crashkernel=2G-:256M"]
grub-features = ["set-private-var"]
image-features = { fips = true, host-containers = false, erofs-root-partition = false }

[build-dependencies]
release = { path = "../../packages/release" }
`

func TestParseVariant(t *testing.T) {
	got, problems := ParseVariant("variants/aws-k8s-1.31-nvidia/Cargo.toml", []byte(goodVariant),
		Rules{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &Variant{
		Name: "aws-k8s-1.31-nvidia", IncludedLines: []int{10, 10, 10},
		Crate: "aws-k8s-1_31-nvidia", File: "variants/aws-k8s-1.31-nvidia/Cargo.toml",
		IncludedPackages: []string{"release", "kubelet-1.31", "libX11"}, ImageFormat: "qcow2",
		SupportedArches: []string{"x86_64"},
		Layout: ImageLayout{OSImageSizeGiB: 4, DataImageSizeGiB: 1, PublishImageSizeHintGiB: 22,
			PartitionPlan: "unified"},
		KernelParameters: []string{"console=ttyS0,115200n8", "netdog.default-interface=eth0:dhcp4,dhcp6?",
			"crashkernel=2G-:256M"},
		ImageFeatures: map[string]bool{"grub-set-private-var": true, "fips": true,
			"host-containers": false, "erofs-root-partition": false},
		BuildDeps: []Dependency{{"release", "../../packages/release", 18}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if features := got.Features(); !slices.Equal(features,
		[]string{"external-kmod-development", "fips", "grub-set-private-var", "in-place-updates"}) {
		t.Errorf("features %q", features)
	}
	if !got.Supports("x86_64") || got.Supports("aarch64") || !(&Variant{}).Supports("aarch64") {
		t.Error("wrong architectures supported")
	}
}

func TestVariantDefaults(t *testing.T) {
	text := "[package]\nname = \"a\"\n[package.metadata.build-variant]\nincluded-packages = " +
		"[\"x\"]\n[build-dependencies]\nx.path = \"../../packages/x\"\n"
	v, problems := ParseVariant("variants/qemu-dev/Cargo.toml", []byte(text), Rules{})
	want := ImageLayout{OSImageSizeGiB: 2, DataImageSizeGiB: 1, PublishImageSizeHintGiB: 22,
		PartitionPlan: "split"}
	if len(problems) > 0 || v.Layout != want || v.ImageFormat != "raw" {
		t.Errorf("got %+v and %v", v, problems)
	}
	if !slices.Equal(v.Features(),
		[]string{"external-kmod-development", "host-containers", "in-place-updates"}) {
		t.Errorf("features %q", v.Features())
	}
}

func TestVariantParts(t *testing.T) {
	for name, want := range map[string]string{
		"qemu-dev":                "qemu dev qemu-dev latest none",
		"aws-k8s-1.31":            "aws k8s aws-k8s 1.31 none",
		"aws-ecs-1-nvidia":        "aws ecs aws-ecs 1 nvidia",
		"aws-k8s-1.31-nvidia-old": "aws k8s aws-k8s 1.31 nvidia",
	} {
		v := &Variant{Name: name}
		if got := strings.Join([]string{v.Platform(), v.Runtime(), v.Family(), v.Version(), v.Flavor()},
			" "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// variantOf reads a variant named aws-k8s-1.31-nvidia with more lines in its table.
func variantOf(t *testing.T, more string, rules Rules) (*Variant, Problems) {
	t.Helper()
	return ParseVariant("variants/aws-k8s-1.31-nvidia/Cargo.toml", []byte("[package]\nname = \"me\"\n"+
		"[package.metadata.build-variant]\nincluded-packages = [\"x\"]\n"+more+
		"\n[build-dependencies]\nx.path = \"../../packages/x\"\n"), rules)
}

func TestVariantPartsInManifest(t *testing.T) {
	for more, want := range map[string]string{
		`platform = "vmware"`:                        "vmware k8s vmware-k8s 1.31 nvidia",
		"runtime = \"ecs\"\nversion = \"2\"":         "aws ecs aws-ecs 2 nvidia",
		"family = \"other\"\nflavor = \"fips\"":      "aws k8s other 1.31 fips",
		"platform = \"metal\"\nfamily = \"aws-k8s\"": "metal k8s aws-k8s 1.31 nvidia",
	} {
		v, problems := variantOf(t, more, Rules{})
		if got := strings.Join([]string{v.Platform(), v.Runtime(), v.Family(), v.Version(), v.Flavor()},
			" "); got != want || len(problems) > 0 {
			t.Errorf("%s: got %q and %v, want %q", more, got, problems, want)
		}
	}
	if v := (&Variant{Name: "aws-k8s", Generation: TwoliterKits}); v.Version() != "0" {
		t.Errorf("in a tree with kits the version is %q", v.Version())
	}
}

func TestVariantsOfToday(t *testing.T) {
	kits := Rules{Generation: TwoliterKits, Lenient: true}
	for _, c := range []struct {
		more     string
		rules    Rules
		features string
		size     int
		want     string // of the problems
	}{
		{"", kits, "external-kmod-development host-containers in-place-updates", 2, ""},
		{"", Rules{Generation: InTree}, "host-containers in-place-updates", 2, ""},
		{"image-format = \"uki\"\nimage-features.in-place-updates = false", kits,
			"external-kmod-development host-containers", 2, ""},
		{"image-format = \"eif\"\neif-pcie-flags = \"0x240\"\neif-kernel-format = \"vmlinux\"", kits,
			"external-kmod-development standalone-image", 1, ""},
		{"eif-pcie-flags = 576", kits, "external-kmod-development host-containers in-place-updates", 2,
			""},
		{"image-features.standalone-image = true\nimage-layout.os-image-size-gib = 3", kits,
			"external-kmod-development standalone-image", 3, ""},
		{"image-features.standalone-image = true", kits, "external-kmod-development standalone-image", 1,
			""},
		{"image-features.new-thing = true", kits,
			"external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: warning: unknown image feature "new-thing"`},
		{"image-features.new-thing = true", Rules{},
			"external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: unknown image feature "new-thing"`},
		{"eif-pcie-flags = \"0x10000\"", kits,
			"external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: "eif-pcie-flags" in [package.metadata.build-variant] must be a number of 16 bits`},
		{"platform = \"\"", kits, "external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: "" cannot be the platform of a variant`},
		{"guest-images.me = \"/x\"", kits,
			"external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: variant aws-k8s-1.31-nvidia cannot be a guest of itself`},
		{"guest-images.a = \"/x/../y\"", kits,
			"external-kmod-development host-containers in-place-updates", 2,
			`Cargo.toml:5: "/x/../y" cannot be the directory of guest "a"`},
		{"guest-images.a = \"/x\"\nimage-format = \"eif\"", kits,
			"external-kmod-development standalone-image", 1,
			`Cargo.toml:5: "guest-images" in [package.metadata.build-variant]: an enclave`},
	} {
		v, problems := variantOf(t, c.more, c.rules)
		got := strings.TrimPrefix(problems.Error(), "variants/aws-k8s-1.31-nvidia/")
		if strings.Join(v.Features(), " ") != c.features || v.Layout.OSImageSizeGiB != c.size ||
			(c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: features %q, %d GiB, %s", c.more, v.Features(), v.Layout.OSImageSizeGiB, got)
		}
	}
}

func TestConflicts(t *testing.T) {
	for more, want := range map[string]string{
		"": "",
		"image-features.standalone-image = true": `feature standalone-image excludes ` +
			`partition-plan "split" (the default)`,
		"image-features.standalone-image = true\nimage-layout.partition-plan = \"unified\"": "",
		"image-features.standalone-image = true\nimage-layout.partition-plan = \"unified\"\n" +
			"image-features.xfs-data-partition = true\nimage-features.uefi-secure-boot = true": "feature " +
			"standalone-image excludes feature uefi-secure-boot, feature xfs-data-partition",
		"image-format = \"eif\"": "",
		"image-format = \"eif\"\nimage-features.standalone-image = false": `image-format "eif" needs ` +
			"feature standalone-image",
		"image-format = \"uki\"": `image-format "uki" excludes feature in-place-updates`,
		"image-format = \"uki\"\nimage-features.in-place-updates = false\n" +
			"image-features.encrypted-storage = true\n" +
			"image-features.ephemeral-encryption-keys = true": "",
		"image-format = \"uki\"\nimage-features.in-place-updates = false\n" +
			"image-features.grub-set-private-var = true": `image-format "uki" excludes feature ` +
			"grub-set-private-var",
		"image-features.standalone-image = true\nimage-layout.partition-plan = \"unified\"\n" +
			"image-features.grub-set-private-var = true": "feature standalone-image excludes feature " +
			"grub-set-private-var",
		"image-features.ephemeral-encryption-keys = true": "feature ephemeral-encryption-keys needs " +
			`feature encrypted-storage; feature ephemeral-encryption-keys needs image-format "uki"`,
	} {
		v, problems := variantOf(t, more, Rules{})
		if got := strings.Join(v.Conflicts(), "; "); got != want || len(problems) > 0 {
			t.Errorf("%q: got %q and %v, want %q", more, got, problems, want)
		}
	}
}

func TestParseRelease(t *testing.T) {
	for text, want := range map[string]string{
		`version = "1.20.3"`:                          "1.20.3",
		`version = "0.1.0-rc.1"`:                      "0.1.0-rc.1",
		"version = \"1.0.0\"\n[migrations]\n\"a\"=[]": "1.0.0",
		`version = "01.0.0"`:                          "",
		`version = "1.0.0-"`:                          "",
		`version = "1.0.0\n"`:                         "",
		`version = "1.0.0+b"`:                         "",
		`version = "1.0.0 "`:                          "",
		`version = ""`:                                "",
		`version = "$(id)"`:                           "",
		`version = "1.0.0"` + "\nx = 1":               "1.0.0",
	} {
		r, problems := ParseRelease("Release.toml", []byte(text), Rules{})
		if r.Version != want || (want == "") != (len(problems) > 0) && !strings.HasSuffix(text, "x = 1") {
			t.Errorf("%s: got %q and %v, want %q", text, r.Version, problems, want)
		}
	}
}

func TestParseMakefile(t *testing.T) {
	text := `
[config]
skip_core_tasks = true

[env]
ROOT = "${CARGO_MAKE_WORKING_DIRECTORY}/."
PLAIN = "a b"
NUMBER = 8
FRACTION = 1.5
YES = true
COMPOSITE = "${PLAIN}-${NUMBER}-${YES}"
DEFAULTED = "${NOBODY:fallback}-${PLAIN:unused}"
OVERRIDDEN = "from the file"
FROM_ENVIRONMENT = "${OVERRIDDEN}"
SCRIPT = { script = ["uname -m"] }
LATER = "${LAST}"
NEEDS_SCRIPT = "x-${SCRIPT}"
LIST = ["a"]
OPEN = "a ${ b"
DOLLAR = "$PLAIN $$"
LAST = "last"

[env.development]
PLAIN = "in the profile"
COMPOSED = "${NUMBER}-${PLAIN}"
IMAGE = { script = [ "echo registry.example.com/${LAST}/sdk-${NUMBER}:v1" ] }
TWO_WORDS = { script = ["echo a b"] }
SHELL = { script = ["echo ${LAST};id"] }
TWO_LINES = { script = ["echo a", "echo b"] }
MAYBE = { script = ["echo a"], condition = { platforms = ["linux"] } }

[env.production]
PLAIN = "no"

[tasks.build]
script = "echo ${PLAIN}"
`
	env := map[string]string{"OVERRIDDEN": "from outside", "CARGO_MAKE_WORKING_DIRECTORY": "/tree"}
	got, problems := ParseMakefile("Makefile.toml", []byte(text),
		func(name string) string { return env[name] })
	want := map[string]string{
		"ROOT": "/tree/.", "PLAIN": "in the profile", "NUMBER": "8", "FRACTION": "1.5", "YES": "true",
		"COMPOSITE": "a b-8-true",
		"DEFAULTED": "fallback-a b", "OVERRIDDEN": "from the file", "FROM_ENVIRONMENT": "from outside",
		"OPEN": "a ${ b", "DOLLAR": "$PLAIN $$", "LAST": "last",
		"COMPOSED": "8-in the profile", "IMAGE": "registry.example.com/last/sdk-8:v1",
	}
	if len(problems) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q\n%v", got, want, problems)
	}
	env["CARGO_MAKE_PROFILE"] = "production"
	if got, _ = ParseMakefile("Makefile.toml", []byte(text),
		func(name string) string { return env[name] }); got["PLAIN"] != "no" || got["IMAGE"] != "" {
		t.Errorf("in another profile got %q", got)
	}
	for text, want := range map[string]string{
		"\nenv = 3\n":              `Makefile.toml:2: "env" must be a table, not a number`,
		"[env]\n\"\" = \"\"\n":     "Makefile.toml:2: a variable in [env] has no name",
		"[env]\nA = \"\\u0000\"\n": `Makefile.toml:2: "A" in [env] holds a NUL byte`,
	} {
		_, problems = ParseMakefile("Makefile.toml", []byte(text), func(string) string { return "" })
		if problems.Error() != want {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
	if got, problems = ParseMakefile("Makefile.toml", nil,
		func(string) string { return "" }); len(got)+len(problems) > 0 {
		t.Errorf("an empty file gives %v and %v", got, problems)
	}
}
