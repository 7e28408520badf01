// native_repack_test: what the step that repacks an image sees.

package plan

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestMakeRepack(t *testing.T) {
	files := tree()
	for _, tool := range []string{"repack/img2img", "disk/imgassemble", "repack/unpack-ext4"} {
		files["tools/"+tool] = &fstest.MapFile{Data: []byte("#!/bin/sh\n")}
	}
	const disk, inventory = "tiny-qemu-dev-x86_64-0.9-old", "application-inventory.json"
	for _, tt := range []struct {
		name, files string
		want        string // of the context "source"
		fault       string
	}{
		{"all", disk + "-data.img.lz4 " + disk + "-kmod-kit.tar.xz " + disk + "-migrations.tar " + disk +
			"-root.ext4.lz4 " + disk + ".img.lz4 " + inventory,
			"application-inventory.json kmod-kit.tar.xz migrations.tar os.img.lz4", ""},
		{"build ID data", "tiny-qemu-dev-x86_64-1.0-data.img.lz4 " + inventory,
			"application-inventory.json os.img.lz4", ""},
		{"two", disk + ".img.lz4 tiny-qemu-dev-x86_64-1.0-abc.img.lz4 " + inventory, "",
			"has several images"},
		{"none", disk + ".qcow2 tiny-qemu-prod-x86_64-1.0-abc.img.lz4 " + inventory, "",
			"has no image of it for x86_64"},
		{"alone", disk + ".img.lz4", "", "there is no application-inventory.json beside it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request()
			r.Files.Overrides = []File{{Name: "root.json", Host: "/root.json"},
				{Name: "ca-bundle.crt", Host: "/certs"}}
			r.Repack = &RepackSource{Dir: "/old", Names: strings.Fields(tt.files)}
			p, err := try(t, files, r)
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Fatalf("error %v, want %q", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := "repack/qemu-dev: | image ca-bundle.crt partitions.tsv root.json | recipe " +
				"tools/disk/imgassemble tools/repack/img2img tools/repack/unpack-ext4" +
				" | source " + tt.want + "\n"
			if got := outline(p); got != want {
				t.Errorf("got  %swant %s", got, want)
			}
		})
	}
}
