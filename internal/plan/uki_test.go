// uki_test: the steps of images that firmware starts without a boot loader.

package plan

import (
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/confined"
)

// ukiVariant makes the variant of a tree one of the format uki.
func ukiVariant(files fstest.MapFS, manifest string, more string) {
	const table = "[package.metadata.build-variant]\n"
	text := strings.Replace(string(files[manifest].Data), table, table+"image-format = \"uki\"\n"+
		"image-features.in-place-updates = false\n"+more, 1)
	files[manifest] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
}

func TestUKI(t *testing.T) {
	files, r := tree(), request()
	ukiVariant(files, "variants/qemu-dev/Cargo.toml", "image-features.uefi-secure-boot = true\n")
	r.Image = true
	r.Files.Signing = func(how Signatures) (SigningKeys, error) {
		if how != (Signatures{UKI: true}) {
			t.Errorf("asked for %+v", how)
		}
		return SigningKeys{Public: []File{{Name: "db.crt"}},
			Secrets: map[string]confined.Path{"code-sign.key": {Name: "/k"}}}, nil
	}
	s := step(t, mustMake(t, files, r), "variant/qemu-dev")
	if _, boot := s.Layout.Partition("BOOT-A"); boot {
		t.Error("there is a BOOT partition")
	}
	if name := DiskFile(s, "os"); !strings.HasSuffix(name, ".img.lz4") {
		t.Errorf("the disk is in %s", name)
	}
	if len(s.Solve.Secrets) != 1 || !SecureBoot(s) {
		t.Errorf("secrets %v", s.Solve.Secrets)
	}
}

// TestUnmade: what a recipe does not make is refused by name, when that image is asked for.
func TestUnmade(t *testing.T) {
	const manifest, table = "variants/echo-dev/Cargo.toml", "[package.metadata.build-variant]\n"
	for _, c := range []struct{ more, want string }{
		{"image-format = \"uki\"\nimage-features.in-place-updates = false\n",
			`variant echo-dev: this buildsys cannot make an image with image-format "uki"; the variant's`},
		{"image-features.standalone-image = true\n",
			"cannot make an image with image feature standalone-image"},
		{"image-format = \"eif\"\n", `cannot make an image with image-format "eif"`},
	} {
		files, r := g1(t), ownRequest()
		edit(files, manifest, table, table+c.more)
		r.Variant, r.Packages = "echo-dev", []string{"base"}
		if _, err := try(t, files, r); err != nil {
			t.Errorf("%s: packages: %v", c.more, err)
		}
		r.Image = true
		if _, err := try(t, files, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.more, err, c.want)
		}
	}
}
