// Inspects a sample image of this checkout, untouched and damaged.

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/image"
)

// TestInspectSampleImage reads the outputs of build-variant.
func TestInspectSampleImage(t *testing.T) {
	needEngine(t)
	root := repository(t)
	images, err := diskImages(buildSample(t, "x86_64", "qemu-dev"))
	if err != nil || len(images) != 1 {
		t.Fatalf("images %q, %v; want one", images, err)
	}
	r := buildsys(t, root, nil, "inspect", "--arch", "x86_64", "--json", "qemu-dev")
	r.must(t, 0)
	var got struct {
		Format int
		Images []struct {
			Image string
			image.Report
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || got.Format != 1 ||
		len(got.Images) != 1 {
		t.Fatalf("%v\n%s", err, r.stdout)
	}
	one := got.Images[0]
	if len(one.Faults)+len(one.Notes) > 0 || len(one.Roots) != 1 || !one.Roots[0].Verified ||
		!one.Roots[0].CommandLine {
		t.Errorf("faults %q, notes %q, roots %+v", one.Faults, one.Notes, one.Roots)
	}
	if one.OSRelease["VARIANT_ID"] != "qemu-dev" {
		t.Errorf("os-release says variant %q", one.OSRelease["VARIANT_ID"])
	}
	beside, err := os.ReadFile(filepath.Join(filepath.Dir(images[0]), "application-inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	var inventory struct{ Content []json.RawMessage }
	if err := json.Unmarshal(beside, &inventory); err != nil || len(one.Packages) == 0 ||
		len(one.Packages) != len(inventory.Content) {
		t.Errorf("%d packages in the image, %d in the file beside it, %v", len(one.Packages),
			len(inventory.Content), err)
	}
	raw := expand(t, images[0])
	flipByte(t, raw, "SKIFF-ROOT-A", 1<<20)
	r = buildsys(t, root, nil, "inspect", raw)
	r.must(t, 5, "1 fault, listed in the report")
	want := "FAULT: partition SKIFF-ROOT-A: does not verify: data: block 256 "
	if !strings.Contains(r.stdout, want) {
		t.Errorf("the report lacks %q:\n%s", want, r.stdout)
	}
}
