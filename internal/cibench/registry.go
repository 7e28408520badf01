// Debian's docker-registry, behind a proxy that counts the bytes in both directions.

package cibench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/buildtest"
)

// registry counts the bodies of requests and answers.
type registry struct {
	address string // of the proxy, HOST:PORT
	behind  *buildtest.Registry
	proxy   *httptest.Server

	down, up, sdk atomic.Int64

	mu sync.Mutex
	// pushed has the digests of blobs that were uploaded before the call of seeded: the SDK
	// image's.
	pushed map[string]bool
	sealed bool
}

// traffic is the number of bytes transferred since a point in time.
type traffic struct{ down, up, sdk int64 }

func (r *registry) traffic() traffic { return traffic{r.down.Load(), r.up.Load(), r.sdk.Load()} }

func (t traffic) since(before traffic) traffic {
	return traffic{t.down - before.down, t.up - before.up, t.sdk - before.sdk}
}

// place returns the remote cache of buildsys in the registry.
func (r *registry) place() string { return "oci://" + r.address + "/" + cacheName }

// seeded declares that all blobs so far are the SDK image's.
func (r *registry) seeded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
}

func startRegistry(dir string) (*registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	behind, err := buildtest.StartRegistry(dir)
	if err != nil {
		return nil, err
	}
	r := &registry{behind: behind, pushed: map[string]bool{}}
	r.listen()
	return r, nil
}

// listen starts the proxy.
func (r *registry) listen() {
	count := r.behind.Counting(&r.up, func(path string) *atomic.Int64 {
		if r.isSDK(path) {
			return &r.sdk
		}
		return &r.down
	})
	r.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.note(req)
		count.ServeHTTP(w, req)
	}))
	r.address = r.proxy.Listener.Addr().String()
}

// note remembers the digest of a blob whose upload ends, while the SDK image is uploaded.
func (r *registry) note(req *http.Request) {
	digest := req.URL.Query().Get("digest")
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Method == http.MethodPut && digest != "" && !r.sealed {
		r.pushed[digest] = true
	}
}

// isSDK reports whether a path is that of a blob of the SDK image.
func (r *registry) isSDK(path string) bool {
	_, digest, found := strings.Cut(path, "/blobs/")
	r.mu.Lock()
	defer r.mu.Unlock()
	return found && r.pushed[digest]
}

func (r *registry) stop() {
	r.proxy.CloseClientConnections()
	r.proxy.Close()
	r.behind.Stop()
}

// await calls ask until there is no error, for at most the given time.
func await(ctx context.Context, limit time.Duration, ask func() error) error {
	for begin := time.Now(); ; {
		err := ask()
		if err == nil || time.Since(begin) > limit {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
