// Tests of the OCI layout that keeps SDK images for a buildkitd, and of an SDK from a registry.

package buildkit

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/oci"
)

func TestLayout(t *testing.T) {
	l := sdkLayout{oci.Layout{Dir: filepath.Join(t.TempDir(), "not", "there")}}
	if _, ok, err := l.find("a:1"); ok || err != nil {
		t.Fatal(ok, err)
	}
	put := func(ref, data string) string {
		t.Helper()
		must(t, l.put(ref, strings.NewReader(data)))
		img, ok, err := l.find(ref)
		if err != nil || !ok {
			t.Fatal(ref, ok, err)
		}
		return img.manifest.String()
	}
	first := put("a:1", "one")
	if put("b:1", "one") != first {
		t.Error("equal tars are not equal images")
	}
	second := put("a:1", "two")
	if second == first {
		t.Error("another tar is the same image")
	}
	if n := l.count(t); n != 6 {
		t.Errorf("%d blobs of two images, want 6", n)
	}
	if put("b:1", "two") != second || l.count(t) != 3 {
		t.Errorf("%d blobs, want the 3 of one image", l.count(t))
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write([]byte("one"))
	w.Close()
	if put("c:1", packed.String()) != first {
		t.Error("a compressed tar gives another image than the same tar uncompressed")
	}
	if err := l.put("d:1", strings.NewReader("\xfd7zXZ\x00...")); err == nil ||
		!strings.Contains(err.Error(), "decompress it") {
		t.Errorf("xz: %v", err)
	}
	if err := l.put("d:1", strings.NewReader("")); err == nil {
		t.Error("an empty tar was accepted")
	}
	if _, ok, _ := l.find("d:1"); ok {
		t.Error("a failed import left an image")
	}
	left, err := filepath.Glob(l.Dir + "/*-*")
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "oci-layout" {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func (l sdkLayout) count(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(l.Dir, "blobs", "sha256"))
	must(t, err)
	return len(entries)
}

// TestDamagedLayout checks that an image whose layer is gone counts as missing, and that a damaged
// manifest is reported.
func TestDamagedLayout(t *testing.T) {
	l := sdkLayout{oci.Layout{Dir: t.TempDir()}}
	must(t, l.put("a:1", strings.NewReader("layer")))
	img, _, err := l.find("a:1")
	must(t, err)
	must(t, os.Remove(l.Path(img.config.RootFS.DiffIDs[0])))
	if _, ok, err := l.find("a:1"); ok || err != nil {
		t.Error(ok, err)
	}
	writeFile(t, l.Path(img.manifest), "{}", 0o644)
	if _, _, err := l.find("a:1"); err == nil || !strings.Contains(err.Error(),
		"import the image again") {
		t.Errorf("%v", err)
	}
}

func TestImageID(t *testing.T) {
	base := engine.ImageConfig{Layers: []string{"a", "b"}, Env: []string{"X=1", "Y=2"}}
	same := base
	same.Env, same.Shell = []string{"Y=2", "X=1"}, []string{}
	if base.ID() != same.ID() {
		t.Error("the order of the environment counts")
	}
	for _, other := range []engine.ImageConfig{
		{Layers: []string{"b", "a"}, Env: base.Env}, {Layers: base.Layers}, {Layers: base.Layers,
			Env: base.Env, User: "u"},
		{Layers: base.Layers, Env: base.Env, WorkDir: "/u"}, {Layers: base.Layers, Env: base.Env,
			OnBuild: []string{"RUN x"}},
		{Layers: []string{"a\" \"b"}, Env: base.Env},
	} {
		if base.ID() == other.ID() {
			t.Errorf("%+v has the same ID", other)
		}
	}
}

// TestBuildkitdRegistry checks that the SDK comes from the registry in its name if it was not
// imported, and that the registry is asked once per run.
func TestBuildkitdRegistry(t *testing.T) {
	d := buildtest.NewBuildkitd(t)
	l := sdkLayout{oci.Layout{Dir: t.TempDir()}}
	must(t, l.put("sdk", bytes.NewReader(buildtest.ToolImage(t))))
	img, _, err := l.find("sdk")
	must(t, err)
	reg := &registry{layout: l, manifest: img.manifest.String(), asked: map[string]int{}}
	srv := httptest.NewServer(reg)
	defer srv.Close()
	d.Start(t)
	sdk := strings.TrimPrefix(srv.URL, "http://") + "/os/sdk:v1"
	e := &engineTest{b: dialDaemon(t, d, engine.Options{}), sdk: sdk}
	id, ok, err := e.b.HasImage(t.Context(), sdk)
	if err != nil || !ok || id != fromOCI(img.config).ID() {
		t.Fatalf("%q, %v, %v", id, ok, err)
	}
	e.outputs(t)
	e.contexts(t)
	if n := reg.count("/v2/os/sdk/manifests/v1"); n != 1 {
		t.Errorf("the registry was asked %d times what the tag stands for", n)
	}
	if _, ok, err := e.b.HasImage(t.Context(), sdk+"2"); ok || err != nil {
		t.Errorf("a tag that the registry does not have: %v, %v", ok, err)
	}
	if err := e.b.Build(t.Context(), e.request(rand.Text(), "", "print", "x"), t.TempDir(),
		nil); err == nil {
		t.Error("a build without output went well") // and the image is still known
	}
}

func TestFamiliarName(t *testing.T) {
	for ref, want := range map[string]string{
		"docker.io/library/sdk:latest": "sdk", "sdk": "sdk", "sdk:1": "sdk:1",
		"buildsys.invalid/sdk:0a": "buildsys.invalid/sdk:0a", "A B": "A B",
	} {
		if got := familiarName(ref); got != want {
			t.Errorf("%q: %q, want %q", ref, got, want)
		}
	}
}

// registry serves one image, with what a pull needs.
type registry struct {
	layout   sdkLayout
	manifest string

	mu    sync.Mutex
	asked map[string]int
}

func (r *registry) count(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[path]
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked[req.URL.Path]++
	r.mu.Unlock()
	name := filepath.Base(req.URL.Path)
	if name == "v1" {
		name = r.manifest
	}
	if name == r.manifest {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", r.manifest)
	}
	http.ServeFile(w, req, filepath.Join(r.layout.Dir, "blobs", "sha256",
		strings.TrimPrefix(name, "sha256:")))
}
