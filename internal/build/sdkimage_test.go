package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sdk"
	"buildsys/internal/workspace"
)

// TestLockedSDKWithoutName: an SDK image in an OCI layout of the tree has no name, so no engine can
// have it by that.
func TestLockedSDKWithoutName(t *testing.T) {
	for registry, name := range map[string]string{
		"oci-layout:kits": "", "registry.invalid/x": "registry.invalid/x/sdk:v1.0.0",
	} {
		root := buildtest.Tree(t, `
-- Release.toml --
version = "1.0.0"
-- packages/build.rs --
-- Twoliter.toml --
schema-version = 1
release-version = "1.0.0"
[vendor.v]
registry = "`+registry+`"
[sdk]
name = "sdk"
version = "1.0.0"
vendor = "v"
-- Twoliter.lock --
schema-version = 1
kit = []
[sdk]
name = "sdk"
version = "1.0.0"
vendor = "v"
source = "`+registry+`/sdk:v1.0.0"
digest = "jBhYnvyyI/+bPJ5/ByO/CRN47gXAfLRQXH+uApeS0Qw="
`)
		tree := os.DirFS(root)
		s := &Session{c: Config{Root: root, SDK: SDKConfig{Image: name}}}
		load, err := s.lockedSDK(&workspace.Workspace{Root: root, FS: tree,
			Project: workspace.ReadProject(tree)})
		if err != nil || (load != nil) != (name != "") {
			t.Errorf("%s: it is loaded: %v, %v", registry, load != nil, err)
		}
	}
}

// x86Engine is an engine of which only the architecture is asked.
type x86Engine struct{ engine.Engine }

func (x86Engine) Info(context.Context) (engine.Info, error) {
	return engine.Info{Arch: "x86_64"}, nil
}

// heard keeps what it is told.
type heard struct {
	silent
	warnings string
}

func (h *heard) Event(e progress.Event) { h.warnings += e.Text }

// TestFetchComparesTheSDK: an image that the engine has under the name of the SDK is not taken for
// the one that the lock binds without a word.
func TestFetchComparesTheSDK(t *testing.T) {
	root, out := t.TempDir(), &heard{}
	digest := layoutOfSDK(t, filepath.Join(root, "kits/sdk"))
	image := manifest.Image{Name: "sdk", Version: "1.0.0", Vendor: "v"}
	s := &Session{c: Config{Root: root, SDK: SDKConfig{Image: "sdk:1"}}, out: out}
	l := &lockedSDK{s, kit.Tree{Root: root, Project: &manifest.Project{ReleaseVersion: "1.0.0",
		SDK: &image, Vendors: map[string]manifest.Vendor{"v": {Registry: "oci-layout:kits"}}}},
		manifest.LockedImage{Image: image, Source: "oci-layout:kits/sdk:v1.0.0", Digest: digest}}
	e, images := &engineLink{s: s, eng: x86Engine{}}, s.images(plan.Plan{}, nil, out)
	images.Records = sdk.RecordsIn(t.TempDir())
	right := engine.ImageConfig{Layers: []string{"sha256:a"}, User: "u"}.ID()
	for _, c := range []struct{ id, warning string }{
		{right, ""}, {"sha256:x", "has other content than the image that Twoliter.lock binds"},
	} {
		out.warnings = ""
		if err := l.compare(t.Context(), e, images, c.id); err != nil || (out.warnings != "") !=
			(c.warning != "") || !strings.Contains(out.warnings, c.warning) {
			t.Errorf("%s: %v, %q", c.id, err, out.warnings)
		}
	}
	// What was found out needs no registry any more.
	buildtest.Must(t, os.RemoveAll(filepath.Join(root, "kits")))
	out.warnings = ""
	if err := l.compare(t.Context(), e, images, right); err != nil || out.warnings != "" {
		t.Errorf("no registry: %v, %q", err, out.warnings)
	}
	images.Records = sdk.RecordsIn(t.TempDir())
	if err := l.compare(t.Context(), e, images, "sha256:x"); err != nil ||
		!strings.Contains(out.warnings, "nothing says whether") {
		t.Errorf("no registry: %v, %q", err, out.warnings)
	}
}

// layoutOfSDK makes the layout of an SDK image and returns its digest in a lock.
func layoutOfSDK(t *testing.T, dir string) string {
	t.Helper()
	l := oci.Layout{Dir: dir}
	buildtest.Must(t, l.Make())
	config, err := l.PutJSON(spec.MediaTypeImageConfig, map[string]any{"architecture": "amd64",
		"rootfs": map[string]any{"diff_ids": []string{"sha256:a"}},
		"config": map[string]any{"User": "u"}})
	buildtest.Must(t, err)
	image, err := l.PutJSON(spec.MediaTypeImageManifest, oci.NewManifest(config, nil))
	buildtest.Must(t, err)
	image.Platform = &spec.Platform{Architecture: "amd64", OS: "linux"}
	index, err := l.PutJSON(spec.MediaTypeImageIndex, oci.NewIndex(image))
	buildtest.Must(t, err)
	index.Annotations = map[string]string{spec.AnnotationRefName: "v1.0.0"}
	buildtest.Must(t, l.PutIndex(oci.NewIndex(index)))
	data, err := l.Read(index)
	buildtest.Must(t, err)
	digest, err := kit.Digest(data)
	buildtest.Must(t, err)
	return digest
}
