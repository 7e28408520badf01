// registry_test: a registry in this process that can fail in every way that registries do.

package remote

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// fakeRegistry keeps manifests by tag and blobs by digest.
type fakeRegistry struct {
	*httptest.Server
	// fault, if set, may answer instead of the registry; it then returns true. n counts the
	// requests, from 1.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool

	mu        sync.Mutex
	requests  []string
	manifests map[string][]byte
	blobs     map[string][]byte
}

func newFakeRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	f := &fakeRegistry{manifests: map[string][]byte{}, blobs: map[string][]byte{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *fakeRegistry) place() Location {
	return Location{Host: strings.TrimPrefix(f.URL, "http://"), Repo: "team/cache", Plain: true,
		Named: true}
}

func (f *fakeRegistry) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	n := len(f.requests)
	f.mu.Unlock()
	if f.fault != nil && f.fault(w, r, n) {
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/team/cache/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind, ref, _ := strings.Cut(path, "/")
	switch {
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/team/cache/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		f.put(w, r, kind, ref)
	default:
		f.get(w, r, kind, ref)
	}
}

func (f *fakeRegistry) put(w http.ResponseWriter, r *http.Request, kind, ref string) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	digest := oci.Describe("", oci.BlobOf(data)).Digest.String()
	if kind == "manifests" {
		f.manifests[ref] = data
	} else if want := r.URL.Query().Get("digest"); want != digest {
		http.Error(w, "digest", http.StatusBadRequest)
		return
	} else {
		f.blobs[digest] = data
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

func (f *fakeRegistry) get(w http.ResponseWriter, r *http.Request, kind, ref string) {
	f.mu.Lock()
	data, ok := f.manifests[ref]
	if kind == "blobs" {
		data, ok = f.blobs[ref]
	}
	f.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", manifestType)
	if kind == "manifests" {
		w.Header().Set("Docker-Content-Digest", oci.Describe("", oci.BlobOf(data)).Digest.String())
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(data)
	}
}

// quick are limits for tests, with shorter waits than the real ones.
var quick = Limits{Backoff: time.Millisecond, RetryAfter: 2 * time.Second, Idle: 10 * time.Second,
	Budget: 30 * time.Second, Drain: 30 * time.Second}

// client is one run on one machine.
type client struct {
	*Cache
	mu       sync.Mutex
	warnings []string
}

func newClient(t *testing.T, place Location, limits Limits) *client {
	t.Helper()
	c := &client{}
	var err error
	c.Cache, err = Open(Options{From: []Location{place}, To: place, Limits: limits,
		Warn: func(text string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.warnings = append(c.warnings, text)
		}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// said fails the test unless there was exactly one warning, containing all the words.
func (c *client) said(t *testing.T, words ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.warnings) != 1 {
		t.Errorf("%d warnings, want one with %q: %q", len(c.warnings), words, c.warnings)
		return
	}
	for _, word := range words {
		if !strings.Contains(c.warnings[0], word) {
			t.Errorf("the warning lacks %q: %s", word, c.warnings[0])
		}
	}
}

// result is a stored step with an executable, a link and a log.
type result struct {
	cache.Entry
	store *cache.Store
}

func newResult(t *testing.T, name string, files map[string]string) result {
	t.Helper()
	store, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("it was built\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var transcript cache.Transcript
	transcript.Restart("package/" + name + " x86_64")
	transcript.Add("external", "package", name+".tar", strings.Repeat("0", 128))
	e, err := store.Put(cache.Entry{
		Action: transcript.ID(), Step: "package/" + name + " x86_64", Transcript: transcript.String(),
		Took: time.Minute,
	}, dir, log)
	if err != nil {
		t.Fatal(err)
	}
	return result{e, store}
}

func (r result) push(t *testing.T, c *client) {
	t.Helper()
	c.Push(r.Entry, r.store.OpenBlob)
	c.Close(t.Context(), nil)
}

func (r result) lookup(t *testing.T, c *client) (cache.Entry, bool) {
	t.Helper()
	return c.Lookup(t.Context(), r.Action, r.Step, r.Transcript)
}

// credentials writes a Docker config with a password for the registry.
func (f *fakeRegistry) credentials(t *testing.T, password string) {
	t.Helper()
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, f.place().Host,
		base64.StdEncoding.EncodeToString([]byte("AWS:"+password)))
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config),
		0o600); err != nil {
		t.Fatal(err)
	}
}
