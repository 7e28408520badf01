package kit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

// makeSDK writes the image of an SDK into a layout and returns its lock.
func makeSDK(t *testing.T, below, text string) manifest.LockedImage {
	t.Helper()
	l := oci.Layout{Dir: filepath.Join(below, testSDK.Name)}
	must(t, l.Make())
	var images []spec.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		layer, err := l.Put(spec.MediaTypeImageLayerGzip, func(w io.Writer) error {
			_, err := io.WriteString(w, text+" for "+arch)
			return err
		})
		must(t, err)
		config, err := l.PutJSON(spec.MediaTypeImageConfig, map[string]any{"architecture": arch,
			"os": "linux", "config": map[string]any{"User": "builder"}})
		must(t, err)
		d, err := l.PutJSON(spec.MediaTypeImageManifest, oci.NewManifest(config,
			[]spec.Descriptor{layer}))
		must(t, err)
		d.Platform = &spec.Platform{Architecture: arch, OS: "linux"}
		images = append(images, d)
	}
	index, err := l.PutJSON(spec.MediaTypeImageIndex, oci.NewIndex(images...))
	must(t, err)
	index.Annotations = map[string]string{spec.AnnotationRefName: "v" + testSDK.Version}
	must(t, l.PutIndex(oci.NewIndex(index)))
	data, err := l.Read(index)
	must(t, err)
	digest, err := Digest(data)
	must(t, err)
	return manifest.LockedImage{Image: testSDK, Source: "acme/test-sdk:v0.1.0", Digest: digest}
}

// TestSaveSDK: the image of the locked digest is saved for the engine's architecture, with its
// configuration; another image under the tag is refused before anything is written.
func TestSaveSDK(t *testing.T) {
	dir := t.TempDir()
	lock := makeSDK(t, dir, "layer")
	tr := tree(layoutScheme + dir)
	var saved bytes.Buffer
	must(t, tr.SaveSDK(t.Context(), lock, "aarch64", "acme/test-sdk:v0.1.0", t.TempDir(), &saved))
	files := map[string]string{}
	for r := tar.NewReader(&saved); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		files[h.Name] = string(data)
	}
	var list []struct {
		Config           string
		RepoTags, Layers []string
	}
	must(t, json.Unmarshal([]byte(files["manifest.json"]), &list))
	if len(list) != 1 || len(list[0].Layers) != 1 || files[list[0].Layers[0]] != "layer for arm64" ||
		!strings.Contains(files[list[0].Config], `"User":"builder"`) ||
		strings.Join(list[0].RepoTags, " ") != "acme/test-sdk:v0.1.0" {
		t.Errorf("got %+v, %v", list, files)
	}
	makeSDK(t, dir, "another layer")
	saved.Reset()
	err := tr.SaveSDK(t.Context(), lock, "aarch64", "acme/test-sdk:v0.1.0", t.TempDir(), &saved)
	if errkind.Of(err) != errkind.Integrity || saved.Len() > 0 || !strings.HasPrefix(err.Error(),
		"the SDK test-sdk 0.1.0 of vendor acme: acme/test-sdk:v0.1.0 now leads to a different image") {
		t.Errorf("%d bytes, %v", saved.Len(), err)
	}
}
