// Two machines in one, with a real registry between them: another checkout, another cache
// directory, the same results.

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
)

// registry is Debian's docker-registry behind a proxy that counts bytes.
type registry struct {
	*httptest.Server
	down atomic.Int64 // bytes of answers, without headers
	stop func()
}

// startRegistry starts an empty registry.
func startRegistry(t *testing.T) *registry {
	t.Helper()
	behind := buildtest.NewRegistry(t)
	r := &registry{stop: behind.Stop}
	r.Server = httptest.NewServer(behind.Counting(new(atomic.Int64),
		func(string) *atomic.Int64 { return &r.down }))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) place() string {
	return "oci://" + strings.TrimPrefix(r.URL, "http://") + "/skiff/cache"
}

// received runs the function and returns how many bytes were downloaded meanwhile.
func (r *registry) received(run func()) int64 {
	before := r.down.Load()
	run()
	return r.down.Load() - before
}

// machine copies a tree to another place, with an empty cache directory.
func machine(t *testing.T, tree string) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "a b's", "checkout")
	if err := os.CopyFS(root, os.DirFS(tree)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	return root
}

func size(t *testing.T, paths []string) (total int64) {
	t.Helper()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

// TestTwoMachines checks that a second machine builds nothing that the first has built and receives
// no more than it needs, that a poisoned result is rejected, and that a cache that is gone fails
// nothing.
func TestTwoMachines(t *testing.T) {
	needEngine(t)
	reg := startRegistry(t)
	// Bytes that do not compress: the traffic is then the size.
	script := func(name string) string {
		return "head -c 500000 /dev/zero | openssl enc -aes-128-ctr -nosalt -pass pass:" + name +
			" 2>/dev/null >%{buildroot}/" + name
	}
	first := writeTree(t,
		pkg{name: "low", script: script("low")},
		pkg{name: "mid", needs: []string{"low"}, script: script("mid")},
		pkg{name: "top", needs: []string{"mid"}, script: script("top")},
		pkg{name: "aside", script: script("aside")},
	)
	from, both := []string{"BUILDSYS_CACHE_FROM=" + reg.place()}, []string{"BUILDSYS_CACHE_FROM=" +
		reg.place(), "BUILDSYS_CACHE_TO=" + reg.place()}
	buildsys(t, first, both, "build-package", "top", "aside").must(t, 0, "4 uploaded")

	// Without an engine, an SDK image or its own store.
	second := machine(t, first)
	down := reg.received(func() {
		r := buildsys(t, second, append(from, noEngine), "build-package", "top")
		r.must(t, 0, "top fetched from "+reg.place(), "3 steps up to date, nothing to do")
		if got := started(r); len(got) > 0 {
			t.Errorf("built %q", got)
		}
	})
	if outputs := size(t, rpms(t, second, "*")); len(rpms(t, second, "*")) != 1 ||
		down > outputs*11/10 || down < outputs {
		t.Errorf("%d bytes received for outputs of %d: %q", down, outputs, rpms(t, second, "*"))
	}
	if rpmBytes(t, first, "top") != rpmBytes(t, second, "top") {
		t.Error("the RPMs differ")
	}

	// A change in the middle builds that package and those that need it, with the RPMs that these
	// need.
	writePackage(t, second, pkg{name: "mid", needs: []string{"low"}, script: script("mid") +
		"; echo changed >>%{buildroot}/mid"})
	down = reg.received(func() {
		r := buildsys(t, second, from, "build-package", "top", "aside")
		r.must(t, 0, "low fetched", "aside fetched")
		if got := started(r); !slices.Equal(got, []string{"mid", "top"}) {
			t.Errorf("built %q", got)
		}
	})
	if needed := size(t, append(rpms(t, second, "low"),
		rpms(t, second, "aside")...)); down > needed*11/10 {
		t.Errorf("%d bytes received for %d that were needed", down, needed)
	}

	poisonAside(t, reg, first)
	third := machine(t, first)
	buildsys(t, third, from, "build-package", "aside").must(t, 0, "is refused",
		`was built from the spec of "skiff-low", not from that of aside`)
	if rpmBytes(t, first, "aside") != rpmBytes(t, third, "aside") {
		t.Error("the RPMs differ")
	}

	reg.stop() // a cache that is gone fails nothing
	fourth := machine(t, first)
	r := buildsys(t, fourth, both, "build-package", "aside")
	r.must(t, 0, "warning: ", "1 of 1 step done")
}

// poisonAside gives the result of aside the RPM of low.
func poisonAside(t *testing.T, reg *registry, root string) {
	t.Helper()
	reg.forge(t, tagOf(t, root, "aside"), tagOf(t, root, "low"), filepath.Dir(rpms(t, root, "low")[0]))
}

// tagOf returns the tag that a result of a checkout has in registries.
func tagOf(t *testing.T, root, step string) string {
	t.Helper()
	states, _ := filepath.Glob(filepath.Join(root, "build/state/*/package-"+step+".state"))
	if len(states) != 1 {
		t.Fatalf("records of %s: %q", step, states)
	}
	state, err := os.ReadFile(states[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(state))[3]
}

// forge gives the result tag the outputs of the result from, which are also in dir, in a consistent
// form.
func (r *registry) forge(t *testing.T, tag, from, dir string) {
	t.Helper()
	other, result := r.manifest(t, from)["layers"].([]any), r.manifest(t, tag)
	layers := result["layers"].([]any)
	layers[len(layers)-1] = other[len(other)-1]
	files, content, err := cache.ScanDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	result["annotations"].(map[string]any)["invalid.buildsys.content"] = content.String()
	data, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPut, r.URL+"/v2/skiff/cache/manifests/"+tag,
		bytes.NewReader(data))
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
}

// manifest returns the manifest of a result.
func (r *registry) manifest(t *testing.T, tag string) (m map[string]any) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, r.URL+"/v2/skiff/cache/manifests/"+tag, nil)
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}
