// A new version of a package, fetched, written, built and compared on a real engine.

package e2e

import (
	"archive/tar"
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
)

// thingSource is the source of the package thing in another version.
func thingSource(t *testing.T, version string, files map[string]string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, text := range files {
		buildtest.Must(t, w.WriteHeader(&tar.Header{Name: "thing-" + version + "/" + name, Mode: 0o644,
			Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		buildtest.Must(t, err)
	}
	buildtest.Must(t, w.Close())
	return archive.Bytes()
}

// TestBump takes a version that has the patch already, which a build shows to be one too many, and
// then one with another file.
func TestBump(t *testing.T) {
	needEngine(t)
	root, env := devTree(t)
	web := map[string][]byte{
		"/thing-1.1.tar": thingSource(t, "1.1", map[string]string{"hello": "hello, world\nend\n",
			"numbers": "seven\n"}),
		"/thing-1.2.tar": thingSource(t, "1.2", map[string]string{"hello": "hello, world\nend\n",
			"numbers": "seven\n", "extra": "more\n"}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := web[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		for name := range web {
			_, _ = w.Write([]byte("<a href='" + name + "'>"))
		}
	}))
	defer server.Close()
	manifest := "packages/thing/Cargo.toml"
	text := strings.Replace(read(t, root, manifest), "https://upstream.invalid", server.URL, 1)
	write(t, root, manifest, strings.Replace(text, "build-package]\n",
		"build-package]\nreleases-url = \""+server.URL+"/\"\n", 1))

	buildsys(t, root, env, "outdated", "--trust-tree").must(t, 0)
	r := buildsys(t, root, env, "bump", "--trust-tree", "--check", "thing", "1.1")
	r.must(t, 3, "0001-first.patch is in the new source already", "0001-first.patch does not apply",
		"the spec and the manifest of thing stay at 1.1")
	spec := strings.Replace(thingSpec, "Patch0001: 0001-first.patch\n", "", 1)
	want := strings.NewReplacer("Version: 1.0", "Version: 1.1", "thing-1.0", "thing-1.1")
	if got := read(t, root, "packages/thing/thing.spec"); got != want.Replace(thingSpec) {
		t.Errorf("spec:\n%s", got)
	}
	write(t, root, "packages/thing/thing.spec", want.Replace(spec))

	r = buildsys(t, root, env, "bump", "--trust-tree", "--check", "thing")
	r.must(t, 0, "thing: from 1.1 to 1.2", "thing-1.2.tar", "nothing, not even TLS")
	for _, line := range []string{"+5 bytes skiff-thing 1.1-1 → 1.2-1; files: 1 added, 0 removed",
		"    + /thing/extra"} {
		if !strings.Contains(r.stdout, line+"\n") && !strings.Contains(r.stdout, line+", ") {
			t.Errorf("%q is missing in\n%s", line, r.stdout)
		}
	}
	buildsys(t, root, []string{noEngine}, "build-package", "thing").must(t, 0, "nothing to do")
	noDebris(t, root)
}
