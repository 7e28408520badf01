// verifybill_test: packages that only one of both has are named.

package build

import (
	"strings"
	"testing"

	"buildsys/internal/image"
	"buildsys/internal/provenance"
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

// TestVerifiedIsWhatWasAskedFor: a good statement of another image is none of this one, and what
// nothing was compared with is said.
func TestVerifiedIsWhatWasAskedFor(t *testing.T) {
	v := Verified{Paper: &provenance.Paper{Image: provenance.Claim{Building: provenance.Building{
		Variant: "other", Arch: "x86_64"}}}}
	if err := v.Of("other", "x86_64"); err != nil {
		t.Error(err)
	}
	for _, of := range [][2]string{{"mine", "x86_64"}, {"other", "aarch64"}} {
		if err := v.Of(of[0], of[1]); err == nil || !strings.Contains(err.Error(), of[0]) {
			t.Errorf("%v: %v", of, err)
		}
	}
	if faults, err := v.checkDisks(t.Context(), t.TempDir()); len(faults) > 0 || err != nil ||
		len(v.Checked) > 0 || len(v.Missed) != 2 {
		t.Errorf("%v, %v; checked %q, missed %q", faults, err, v.Checked, v.Missed)
	}
}
