// features_test: image features reach the packages that list them, and no others.

package plan

import (
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// featureTree is tree with package-features in the package data and image-features in the variant.
func featureTree(packageFeatures, imageFeatures string) fstest.MapFS {
	files := tree()
	files["packages/data/Cargo.toml"] = &fstest.MapFile{Mode: 0o644, Data: []byte(
		"[package]\nname = \"data\"\n[package.metadata.build-package]\npackage-features = [" +
			packageFeatures + "]\n")}
	const table = "[package.metadata.build-variant]\n"
	variant := files["variants/qemu-dev/Cargo.toml"]
	variant.Data = []byte(strings.Replace(string(variant.Data), table,
		"[package.metadata.build-variant.image-features]\n"+imageFeatures+"\n"+table, 1))
	return files
}

func TestPackageFeatures(t *testing.T) {
	tests := []struct{ name, packageFeatures, imageFeatures, want string }{
		{"listed and on", `"fips"`, "fips = true", "fips"},
		{"listed and off", `"fips"`, "fips = false", ""},
		{"listed and not written", `"fips"`, "", ""},
		{"on but not listed", `"fips"`, "xfs-data-partition = true", ""},
		{"on by default", `"in-place-updates"`, "", "in-place-updates"},
		{"default switched off", `"host-containers", "in-place-updates"`, "in-place-updates = false",
			"host-containers"},
		{"sorted, whatever the manifest's order", `"xfs-data-partition", "systemd-networkd", "fips"`,
			"xfs-data-partition = true\nfips = true\nsystemd-networkd = true",
			"fips systemd-networkd xfs-data-partition"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := request()
			r.Packages = []string{"app"}
			for _, s := range mustMake(t, featureTree(test.packageFeatures, test.imageFeatures), r).Steps {
				got, given := s.Solve.Args["PACKAGE_FEATURES"]
				switch {
				case s.Name != "data" && given:
					t.Errorf("%s does not list features, but gets %q", s.ID, got)
				case s.Name == "data" && (got != test.want || given != (test.want != "")):
					t.Errorf("%s gets %q (given: %v), want %q", s.ID, got, given, test.want)
				}
			}
		})
	}
}

func TestPackageFeaturesNeedAVariant(t *testing.T) {
	r := request()
	r.Packages, r.Variant = []string{"data"}, ""
	_, err := try(t, featureTree(`"fips"`, ""), r)
	const want = "package data: it has package-features (packages/data/Cargo.toml) and no variant " +
		"is named; " +
		"name one with --variant or BUILDSYS_VARIANT"
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

// TestFeatureWordsOfOldTrees: a feature that is younger than a tree is not switched off there.
func TestFeatureWordsOfOldTrees(t *testing.T) {
	for generation, want := range map[manifest.Generation]string{
		manifest.Twoliter: "", manifest.InTree: "",
		manifest.TwoliterKits: "external-kmod-development",
		manifest.Native:       "external-kmod-development",
	} {
		v := &workspace.Variant{Variant: manifest.Variant{Generation: generation}}
		got := ""
		for _, word := range featureWords(v) {
			if strings.HasSuffix(word, "external-kmod-development") {
				got += word
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", generation, got, want)
		}
	}
}
