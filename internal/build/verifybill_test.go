// verifybill_test: packages that only one of both has are named.

package build

import (
	"strings"
	"testing"

	"buildsys/internal/image"
	"buildsys/internal/sbom"
)

func TestCompareBill(t *testing.T) {
	d := sbom.Document{OS: "my", Packages: []sbom.Package{
		{Name: "my-libc", Version: "1", Release: "2", Arch: "x86_64"},
		{Name: "my-shell", Epoch: "1", Version: "3", Release: "1", Arch: "x86_64"}}}
	libc := image.Package{Name: "libc", Version: "1", Release: "2", Epoch: "0", Architecture: "x86_64"}
	shell := image.Package{Name: "shell", Version: "3", Release: "1", Epoch: "1",
		Architecture: "x86_64"}
	older := shell
	older.Epoch = "0"
	for name, tt := range map[string]struct {
		packages []image.Package
		want     string
	}{
		"same":    {[]image.Package{libc, shell}, ""},
		"missing": {[]image.Package{libc}, "sbom: shell-1:3-1.x86_64: it is in the bill"},
		"more":    {[]image.Package{libc, shell, shell}, "sbom: shell-1:3-1.x86_64: it is in the image"},
		"epoch": {[]image.Package{libc, older}, "sbom: shell-1:3-1.x86_64: it is in the bill of " +
			"materials, and not in the image\nsbom: shell-3-1.x86_64: it is in the image"},
	} {
		t.Run(name, func(t *testing.T) {
			got := compareBill(d, tt.packages).Error()
			if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
