// fetch_test: what a fetch does with its places, with real files and real HTTP servers on this
// machine.

package fetch

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"buildsys/internal/manifest"
	"buildsys/internal/progress"
)

const step = "package/musl"

// world is a Store that waits virtually, with a record of its events.
type world struct {
	*Store
	t      *testing.T
	mu     sync.Mutex
	events []progress.Event
	slept  []time.Duration
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, Store: &Store{Dir: filepath.Join(t.TempDir(), "sources"), Upstream: true,
		Private: true}} // the servers of tests are on this machine
	w.Report = w
	w.tuned.sleep = func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.slept = append(w.slept, d)
		return ctx.Err()
	}
	return w
}

func (w *world) Event(e progress.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// texts returns the texts of events of kind k.
func (w *world) texts(k progress.Kind) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, e := range w.events {
		if e.Kind == k {
			all = append(all, e.Text)
		}
	}
	return all
}

// good fetches f and fails the test unless the store then has exactly content, and nothing else.
func (w *world) good(f manifest.ExternalFile, content []byte) {
	w.t.Helper()
	if err := w.Fetch(w.t.Context(), step, []manifest.ExternalFile{f}); err != nil {
		w.t.Fatal(err)
	}
	got, err := os.ReadFile(w.Path(f))
	if err != nil || string(got) != string(content) {
		w.t.Fatalf("store holds %d bytes (%v), want %d", len(got), err, len(content))
	}
}

// files returns the base names of everything in the store.
func (w *world) files() []string {
	var all []string
	_ = filepath.WalkDir(w.Dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, d.Name())
		}
		return nil
	})
	return all
}

func (w *world) wantFiles(want ...string) {
	w.t.Helper()
	if got := w.files(); strings.Join(got, " ") != strings.Join(want, " ") {
		w.t.Errorf("store holds %q, want %q", got, want)
	}
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i/251)
	}
	return b
}

func sum(b []byte) string {
	h := sha512.Sum512(b)
	return hex.EncodeToString(h[:])
}

func source(base string, b []byte) manifest.ExternalFile {
	return manifest.ExternalFile{URL: base + "/musl-1.2.5.tar.gz", SHA512: sum(b), Line: 12}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// lookaside returns a lookaside directory that has b for f.
func lookaside(t *testing.T, f manifest.ExternalFile, b []byte) string {
	dir := t.TempDir()
	p := filepath.Join(dir, f.Name(), f.SHA512, f.Name())
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFetchFromUpstream(t *testing.T) {
	b := content(100_000)
	var asked []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprint(r.URL.Path, " ", r.Header.Get("User-Agent"), " ",
			r.Header.Get("Accept-Encoding")))
		_, _ = w.Write(b)
	})
	w := newWorld(t)
	f := source(url, b)
	w.good(f, b)
	w.good(f, b)
	if want := "/musl-1.2.5.tar.gz buildsys identity"; len(asked) != 1 || asked[0] != want {
		t.Errorf("server was asked %q, want once %q", asked, want)
	}
	w.wantFiles("musl-1.2.5.tar.gz")
	if want := filepath.Join(w.Dir, f.Name(), f.SHA512, f.Name()); w.Path(f) != want {
		t.Errorf("Path = %s, want %s", w.Path(f), want)
	}
	if s, d := w.texts(progress.FetchStart), w.texts(progress.FetchDone); len(s) != 1 || len(d) != 1 ||
		d[0] != f.Name() {
		t.Errorf("events: start %q, done %q", s, d)
	}
}

func TestLookasides(t *testing.T) {
	b := content(5000)
	fail := func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("upstream was asked for %s", r.URL)
		http.NotFound(w, r)
	}
	f := source(serve(t, fail), b)
	dir := lookaside(t, f, b)
	tests := map[string][]string{
		"directory":         {dir},
		"file URL":          {"file://" + dir},
		"miss, then hit":    {t.TempDir(), dir},
		"no such directory": {"/nonexistent/lookaside", dir},
		"http":              {serve(t, http.FileServer(http.Dir(dir)).ServeHTTP)},
		"http below a path": {serve(t, http.StripPrefix("/deep",
			http.FileServer(http.Dir(dir))).ServeHTTP) + "/deep/"},
		"http miss, then hit":   {serve(t, http.NotFound), dir},
		"empty entries ignored": {"", " ", dir},
	}
	for name, las := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Lookaside = las
			w.good(f, b)
			if len(w.slept) != 0 {
				t.Errorf("waited %v for a plain miss", w.slept)
			}
		})
	}
}
