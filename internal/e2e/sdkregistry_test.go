// A buildkitd takes the SDK image from a registry that is busy, breaks off, or serves other bytes.

package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// sdkRegistry serves one image, test/sdk:1, and can be told to fail.
type sdkRegistry struct {
	*httptest.Server
	manifest string // its digest
	layer    string

	mu sync.Mutex
	// fault answers instead of the registry if it returns true; n counts its requests.
	fault    func(w http.ResponseWriter, r *http.Request, n int) bool
	requests int
	content  map[string][]byte // by digest and tag
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func newSDKRegistry(t *testing.T) *sdkRegistry {
	t.Helper()
	r := &sdkRegistry{content: map[string][]byte{}}
	put := func(data []byte) map[string]any {
		r.content[digestOf(data)] = data
		return map[string]any{"digest": digestOf(data), "size": len(data)}
	}
	tar, err := os.ReadFile(toolRoot(t))
	buildtest.Must(t, err)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(tar)
	buildtest.Must(t, err)
	buildtest.Must(t, w.Close())
	layer := put(packed.Bytes())
	layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip"
	text, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(tar)}},
	})
	buildtest.Must(t, err)
	config := put(text)
	config["mediaType"] = "application/vnd.oci.image.config.v1+json"
	text, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType,
		"config": config, "layers": []any{layer}})
	buildtest.Must(t, err)
	put(text)
	r.manifest, r.layer, r.content["1"] = digestOf(text), digestOf(packed.Bytes()), text
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func (r *sdkRegistry) host() string { return strings.TrimPrefix(r.URL, "http://") }

// fail sets the fault from now on, and resets the count of requests.
func (r *sdkRegistry) fail(fault func(http.ResponseWriter, *http.Request, int) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault, r.requests = fault, 0
}

func (r *sdkRegistry) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func (r *sdkRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests++
	n, fault := r.requests, r.fault
	ref := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	data, ok := r.content[ref]
	r.mu.Unlock()
	switch {
	case fault != nil && fault(w, req, n):
		return
	case req.URL.Path == "/v2/":
		return
	case !ok:
		http.NotFound(w, req)
		return
	}
	serveContent(w, req, ref, data)
}

func serveContent(w http.ResponseWriter, req *http.Request, ref string, data []byte) {
	if strings.Contains(req.URL.Path, "/manifests/") {
		w.Header().Set("Content-Type", manifestType)
	}
	if strings.HasPrefix(ref, "sha256:") {
		w.Header().Set("Docker-Content-Digest", ref)
	} else {
		w.Header().Set("Docker-Content-Digest", digestOf(data))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if req.Method == http.MethodGet {
		_, _ = w.Write(data)
	}
}

// TestSDKRegistry checks that a busy registry gets the pause it asks for, within bounds; that one
// that stays busy ends the run with its name; and that bytes that do not match the digest end it as
// damage. Each case has its own daemon, because a daemon keeps what it has.
func TestSDKRegistry(t *testing.T) {
	need.Time(t)
	r := newSDKRegistry(t)
	root := toolTree(t)
	manifests := func(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }
	for _, c := range []struct {
		name  string
		image string // without the host
		fault func(w http.ResponseWriter, req *http.Request, n int) bool
		code  int
		most  int // limit of requests
		says  []string
	}{
		{"429 for a while", "/test/sdk:1", func(w http.ResponseWriter, req *http.Request, n int) bool {
			if n > 12 { // more than the daemon's own quick retries
				return false
			}
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, 0, 40, nil},
		{"429 for ever", "/test/sdk:1", func(w http.ResponseWriter, req *http.Request, _ int) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, 4, 40, []string{r.host() + "/test/sdk:1", "429 Too Many Requests", "buildsys sdk import"}},
		{"503 and reset", "/test/sdk:1", func(w http.ResponseWriter, req *http.Request, n int) bool {
			switch {
			case n == 1 && manifests(req):
				w.WriteHeader(http.StatusServiceUnavailable)
			case n == 3 || n == 5:
				if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
					_ = conn.Close()
				}
			default:
				return false
			}
			return true
		}, 0, 40, nil},
		{"layer cut off once", "/test/sdk:1", cutOnce(r), 0, 40, nil},
		{"other manifest", "/test/sdk@" + r.manifest, func(w http.ResponseWriter, req *http.Request,
			_ int) bool {
			if !manifests(req) {
				return false
			}
			r.mu.Lock()
			other := bytes.Replace(r.content[r.manifest], []byte(`"schemaVersion":2`),
				[]byte(`"schemaVersion": 2`), 1)
			r.mu.Unlock()
			serveContent(w, req, r.manifest, other)
			return true
		}, 5, 40, []string{"serves other bytes", "test/sdk@" + r.manifest}},
		{"other layer", "/test/sdk:1", func(w http.ResponseWriter, req *http.Request, _ int) bool {
			if !strings.HasSuffix(req.URL.Path, r.layer) {
				return false
			}
			r.mu.Lock()
			other := bytes.Clone(r.content[r.layer])
			r.mu.Unlock()
			other[len(other)/2] ^= 1
			serveContent(w, req, r.layer, other)
			return true
		}, 5, 60, []string{"serves other bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := buildtest.NewBuildkitd(t)
			d.Start(t)
			r.fail(nil)
			step(t, root, ",", "print", c.name) // nothing of it is known from an earlier case
			set := append(env(d), "BUILDSYS_CACHE_DIR="+t.TempDir(), "BUILDSYS_SDK_IMAGE="+r.host()+c.image,
				"BUILDSYS_ENGINE_WAIT=60s")
			// and waits for the daemon
			buildsys(t, root, append(set, "BUILDSYS_SDK_IMAGE="+r.host()+"/test/sdk:none"), "sdk",
				"check").must(t, 4)
			r.fail(c.fault)
			if c.code == 4 {
				set = append(set, "BUILDSYS_ENGINE_WAIT=3s")
			}
			got := buildsys(t, root, set, "build-package", "a")
			got.must(t, c.code, c.says...)
			if n := r.asked(); n > c.most {
				t.Errorf("%d requests, want at most %d", n, c.most)
			}
			if c.code != 0 {
				t.Logf("%d requests; it says %s", r.asked(), got.stderr)
			}
			r.fail(nil)
			// buildkitd v0.33 keeps the beginning of what it got, and finds it wrong again
			if c.code != 5 {
				buildsys(t, root, set, "build-package", "a").must(t, 0)
			}
		})
	}
}

// cutOnce cuts off the first answer with the layer in the middle.
func cutOnce(r *sdkRegistry) func(http.ResponseWriter, *http.Request, int) bool {
	var once sync.Once
	return func(w http.ResponseWriter, req *http.Request, _ int) (cut bool) {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, r.layer) {
			return false
		}
		once.Do(func() {
			cut = true
			r.mu.Lock()
			data := r.content[r.layer]
			r.mu.Unlock()
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:len(data)/2])
		})
		return cut
	}
}
