// sdk_test: an SDK image is found by its name, and never confused with another of that name.

package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

const (
	sdkName = "buildsys.invalid/sdk:0123456789ab"
	sdkID   = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
	otherID = "sha256:00000000000000000000000000000000000000000000000000000000000000bb"
)

func TestSDK(t *testing.T) {
	places(t, func(t *testing.T, place Location) {
		c := newClient(t, place, quick)
		if sdk, ok := c.FindSDK(t.Context(), sdkName); ok {
			t.Errorf("found %+v", sdk)
		}
		// A build uploads only the ID, and only the first of two that differ.
		c.ShareSDK(sdkName, sdkID)
		c.Close(t.Context(), nil)
		c = newClient(t, place, quick)
		c.ShareSDK(sdkName, otherID)
		c.Close(t.Context(), nil)
		c.said(t, sdkName, "not shared", "sdk fetch")
		c = newClient(t, place, quick)
		sdk, ok := c.FindSDK(t.Context(), sdkName)
		if !ok || sdk.ID != sdkID || !sdk.Rootfs.IsZero() {
			t.Fatalf("found %+v, %v", sdk, ok)
		}
		to, err := os.Create(filepath.Join(t.TempDir(), "rootfs"))
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		if err := c.FetchSDK(t.Context(), sdk, to); err == nil ||
			!strings.Contains(err.Error(), "but not the image") {
			t.Errorf("%v", err)
		}
		// The image itself is added later.
		rootfs := filepath.Join(t.TempDir(), "rootfs")
		if err := os.WriteFile(rootfs, []byte("packed"), 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(rootfs)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		here := SDK{Image: sdkName, ID: sdkID, Rootfs: oci.BlobOf([]byte("packed"))}
		if err := c.PushSDK(t.Context(), here, file, false); err != nil {
			t.Fatal(err)
		}
		if sdk, ok = c.FindSDK(t.Context(), sdkName); !ok || sdk.Rootfs != here.Rootfs {
			t.Fatalf("found %+v, %v", sdk, ok)
		}
		if err := c.FetchSDK(t.Context(), sdk, to); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(to.Name()); string(got) != "packed" {
			t.Errorf("fetched %q, %v", got, err)
		}
		// Another image replaces it only on request.
		other := SDK{Image: sdkName, ID: otherID, Rootfs: here.Rootfs}
		if err := c.PushSDK(t.Context(), other, file, false); !errkind.Is[*OtherSDKError](err) {
			t.Errorf("%v", err)
		}
		if err := c.PushSDK(t.Context(), other, file, true); err != nil {
			t.Error(err)
		}
		if sdk, _ := c.FindSDK(t.Context(), sdkName); sdk.ID != otherID {
			t.Errorf("found %+v", sdk)
		}
	})
}

func TestPoisonedSDK(t *testing.T) {
	f := newFakeRegistry(t)
	for _, text := range []string{"", "{}", "[]", `{"mediaType":"` + manifestType +
		`","artifactType":"` + sdkType + `"}`,
		`{"mediaType":"` + manifestType + `","artifactType":"` + sdkType + `","annotations":{"invalid.buildsys.image":"` + sdkName + `","invalid.buildsys.sdk":"latest"}}`,
		`{"mediaType":"` + manifestType + `","artifactType":"` + sdkType + `","annotations":{"invalid.buildsys.image":"other","invalid.buildsys.sdk":"` + sdkID + `"}}`,
	} {
		f.manifests[sdkTag(sdkName)] = []byte(text)
		c := newClient(t, f.place(), quick)
		if sdk, ok := c.FindSDK(t.Context(), sdkName); ok {
			t.Errorf("%s: %+v", text, sdk)
		}
		c.said(t, sdkName, "refused")
	}
}
