// fault_test: a registry that is slow, full, broken or locked costs a bounded number of requests
// and one warning.

package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

// stored returns a registry that holds a result, before anything fails.
func stored(t *testing.T) (*fakeRegistry, result) {
	t.Helper()
	f := newFakeRegistry(t)
	r := newResult(t, "bash", files)
	r.push(t, newClient(t, f.place(), quick))
	f.mu.Lock()
	f.requests = nil
	f.mu.Unlock()
	return f, r
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// reset closes the connection without an answer.
func reset(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// cut promises more bytes than it sends.
func cut(w http.ResponseWriter) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
	_ = buf.Flush()
}

// A transient fault is waited out: the result arrives, with no warning and few requests.
func TestFaultThatPasses(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter){
		"429": status(429, "Retry-After", "1"), "503": status(503), "500": status(500), "reset": reset,
		"cut": cut,
	} {
		t.Run(name, func(t *testing.T) {
			f, r := stored(t)
			var mu sync.Mutex
			times := map[string]int{}
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				mu.Lock()
				defer mu.Unlock()
				if times[r.URL.Path]++; times[r.URL.Path] > 2 || name == "cut" &&
					!strings.Contains(r.URL.Path, "blobs") {
					return false
				}
				fault(w)
				return true
			}
			c := newClient(t, f.place(), quick)
			e, ok := r.lookup(t, c)
			if !ok {
				t.Fatalf("not found: %q", c.warnings)
			}
			if err := c.Fetch(t.Context(), e, t.TempDir()); err != nil {
				t.Error(err)
			}
			c.Close(t.Context(), nil)
			if n := f.count(); n > 3*4 || len(c.warnings) > 0 { // a manifest and three files
				t.Errorf("%d requests, warnings %q", n, c.warnings)
			}
		})
	}
}

// A server that asks for a wait of a second gets it.
func TestRetryAfter(t *testing.T) {
	f, r := stored(t)
	var mu sync.Mutex
	var told time.Time
	f.fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		if told.IsZero() {
			told = time.Now()
			status(429, "Retry-After", "1")(w)
			return true
		}
		if early := time.Second - time.Since(told); early > 50*time.Millisecond {
			t.Errorf("a request came %v too early", early)
		}
		return false
	}
	c := newClient(t, f.place(), quick)
	if _, ok := r.lookup(t, c); !ok {
		t.Error("not found")
	}
}

// A permanent fault makes everything a miss; after three failed requests no more are made.
func TestFaultThatStays(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(http.ResponseWriter)
		most  int // requests
		says  string
	}{
		"429":        {status(429, "Retry-After", "0"), 9, "429"},
		"429 longer": {status(429, "Retry-After", "3600"), 1, "1h0m0s"},
		"503":        {status(503), 9, "503"},
		// net/http itself repeats a request on a connection that it had used before
		"reset":   {reset, 18, ""},
		"bad":     {status(400), 9, "400"},
		"not OCI": {func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }, 9, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := stored(t)
			f.fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool { test.fault(w); return true }
			c := newClient(t, f.place(), quick)
			for range 10 {
				if _, ok := r.lookup(t, c); ok {
					t.Fatal("found")
				}
			}
			if n := f.count(); n > test.most {
				t.Errorf("%d requests, at most %d wanted", n, test.most)
			}
			c.Close(t.Context(), nil)
			c.said(t, f.place().Host, test.says)
		})
	}
}

// A single failed request neither switches the cache off nor goes unreported.
func TestOneFailure(t *testing.T) {
	f, r := stored(t)
	bad := newResult(t, "other", files)
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, bad.Action.String()) {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	}
	c := newClient(t, f.place(), quick)
	bad.lookup(t, c)
	if _, ok := r.lookup(t, c); !ok {
		t.Error("the good result is not found")
	}
	c.Close(t.Context(), nil)
	c.said(t, "1 request", "500")
}

// A server that stops in the middle of its answer, or sends a byte now and then, is abandoned in
// bounded time.
func TestSlowServer(t *testing.T) {
	for name, limits := range map[string]Limits{
		"silent": {Idle: 50 * time.Millisecond, Backoff: time.Millisecond, Budget: time.Minute},
		"slow": {Idle: time.Minute, Backoff: time.Millisecond, Budget: 100 * time.Millisecond,
			Rate: 1 << 30},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := stored(t)
			over := make(chan struct{})
			defer close(over)
			digest := oci.Describe("", oci.BlobOf([]byte(files["a.rpm"]))).Digest.String()
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				if !strings.HasSuffix(r.URL.Path, digest) {
					<-over
					return true
				}
				w.WriteHeader(http.StatusOK)
				for {
					_, _ = w.Write([]byte("a"))
					w.(http.Flusher).Flush()
					pause := time.After(10 * time.Millisecond)
					if name == "silent" {
						pause = nil
					}
					select {
					case <-over:
						return true
					case <-r.Context().Done():
						return true
					case <-pause:
					}
				}
			}
			known := newClient(t, f.place(), quick)
			e, ok := r.lookup(t, known)
			if !ok {
				t.Fatal("not found")
			}
			c := newClient(t, f.place(), limits)
			if err := c.Fetch(t.Context(), e, t.TempDir()); err == nil || errkind.Is[*RefusedError](err) ||
				errkind.Is[*oci.LocalError](err) {
				t.Errorf("%v", err)
			}
		})
	}
}

// No server listens there.
func TestNoServer(t *testing.T) {
	f, r := stored(t)
	f.Close()
	c := newClient(t, f.place(), quick)
	for range 5 {
		r.lookup(t, c)
	}
	c.Push(r.Entry, r.store.OpenBlob)
	c.Close(t.Context(), nil)
	if len(c.warnings) != 2 { // one about reading, one about the upload
		t.Errorf("warnings: %q", c.warnings)
	}
	for _, text := range c.warnings {
		if !strings.Contains(text, f.place().Host) {
			t.Error(text)
		}
	}
}

// A full registry reports that on uploads, and is still read.
func TestFullRegistry(t *testing.T) {
	for code, off := range map[int]bool{http.StatusInsufficientStorage: true,
		http.StatusRequestEntityTooLarge: false} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			f, r := stored(t)
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if r.Method == http.MethodPost {
					w.WriteHeader(code)
				}
				return r.Method == http.MethodPost
			}
			c := newClient(t, f.place(), quick)
			newResult(t, "other", map[string]string{"o.rpm": "other"}).push(t, c)
			c.said(t, f.place().Host, fmt.Sprint(code))
			if c.push.target.off() == nil || strings.Contains(c.warnings[0], "no longer") != off {
				t.Errorf("%q", c.warnings)
			}
			if _, ok := r.lookup(t, newClient(t, f.place(), quick)); !ok {
				t.Error("it can no longer be read")
			}
		})
	}
}

// A directory that is on a full disk or missing is a failure of the remote cache, not of this
// machine.
func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Location{Dir: file}, quick)
	r := newResult(t, "bash", files)
	c.Push(r.Entry, r.store.OpenBlob)
	c.Close(t.Context(), nil)
	c.said(t, file, "not a directory")
}

// Wrong, missing or insufficient credentials: one answer, one warning that names host, file and
// remedy, and no retry.
func TestCredentials(t *testing.T) {
	for name, test := range map[string]struct {
		password string
		code     int
		says     string
	}{
		"wrong":     {"wrong", 401, "401"},
		"none":      {"", 401, "there are none"},
		"forbidden": {"right", 403, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := stored(t)
			if test.password != "" {
				f.credentials(t, test.password)
			}
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				_, password, ok := r.BasicAuth()
				code := http.StatusUnauthorized
				if ok && password == "right" {
					code = test.code
				}
				status(code, "WWW-Authenticate", `Basic realm="registry"`)(w)
				return true
			}
			c := newClient(t, f.place(), quick)
			for range 5 {
				if _, ok := r.lookup(t, c); ok {
					t.Fatal("found")
				}
			}
			if n := f.count(); n > 2 {
				t.Errorf("%d requests", n)
			}
			c.said(t, f.place().Host, test.says, "docker login", os.Getenv("DOCKER_CONFIG"))
		})
	}
}

// Credentials from a helper are used, and a failing helper is named.
func TestCredentialHelper(t *testing.T) {
	f, r := stored(t)
	bin := t.TempDir()
	helper := "#!/bin/sh\necho '{\"Username\":\"AWS\",\"Secret\":\"right\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helper),
		0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	config := fmt.Sprintf(`{"credHelpers":{%q:"test"}}`, f.place().Host)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config),
		0o600); err != nil {
		t.Fatal(err)
	}
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if _, password, _ := r.BasicAuth(); password == "right" {
			return false
		}
		status(401, "WWW-Authenticate", `Basic realm="registry"`)(w)
		return true
	}
	if _, ok := r.lookup(t, newClient(t, f.place(), quick)); !ok {
		t.Error("not found with the helper's credentials")
	}
	if err := os.Remove(filepath.Join(bin, "docker-credential-test")); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, f.place(), quick)
	r.lookup(t, c)
	c.said(t, f.place().Host, "docker-credential-test")
}

// A token that expires during a run is renewed once, by reads and by an upload already opened.
func TestTokenExpires(t *testing.T) {
	f, r := stored(t)
	f.credentials(t, "right")
	var token atomic.Int64
	var asked atomic.Int64
	token.Store(1)
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Path == "/token" {
			asked.Add(1)
			_ = json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprint("t", token.Load()),
				"expires_in": 3600})
			return true
		}
		if r.Header.Get("Authorization") == fmt.Sprint("Bearer t", token.Load()) {
			return false
		}
		status(401, "WWW-Authenticate",
			fmt.Sprintf(`Bearer realm="%s/token",service="registry",scope="repository:team/cache:pull,push"`,
				f.URL))(w)
		return true
	}
	c := newClient(t, f.place(), quick)
	e, ok := r.lookup(t, c)
	if !ok {
		t.Fatalf("not found: %q", c.warnings)
	}
	first := asked.Load()
	token.Store(2)
	if err := c.Fetch(t.Context(), e, t.TempDir()); err != nil {
		t.Error(err)
	}
	if n := asked.Load() - first; n < 1 || n > fetchAtOnce {
		t.Errorf("the token was renewed %d times", n)
	}
	good := f.fault
	var once sync.Once
	f.fault = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.Method == http.MethodPut { // the upload was opened with the old token
			once.Do(func() { token.Add(1) })
		}
		return good(w, r, n)
	}
	newResult(t, "other", map[string]string{"o.rpm": "other"}).push(t, c)
	if s := c.Stats(); s.Pushed != 1 || len(c.warnings) > 0 {
		t.Errorf("%+v, %q", s, c.warnings)
	}
}

// The end of a run waits for uploads, but not for ever, and not after the user interrupts it.
func TestDrain(t *testing.T) {
	for name, leave := range map[string]bool{"limit": false, "interrupt": true} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRegistry(t)
			over, began := make(chan struct{}), make(chan struct{}, 9)
			defer close(over)
			f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				began <- struct{}{}
				<-over
				return true
			}
			limits := quick
			if !leave {
				limits.Drain = 10 * time.Millisecond
			}
			c := newClient(t, f.place(), limits)
			r := newResult(t, "bash", files)
			c.Push(r.Entry, r.store.OpenBlob)
			<-began
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if leave {
				cancel()
			}
			told := 0
			c.Close(ctx, func(left int) { told = left })
			if told != 1 {
				t.Errorf("told of %d uploads", told)
			}
			if !leave {
				c.said(t, "1 results were not uploaded", f.place().Host)
			}
		})
	}
}

// A full local disk is not blamed on the remote cache or the result.
func TestLocalFailure(t *testing.T) {
	f, r := stored(t)
	c := newClient(t, f.place(), quick)
	e, _ := r.lookup(t, c)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a.rpm"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(t.Context(), e, dir); !errkind.Is[*oci.LocalError](err) {
		t.Errorf("%v", err)
	}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		defer full.Close()
		w := bufio.NewWriterSize(full, 1)
		_, err := w.WriteString("x")
		if err == nil {
			err = copyBlob(oci.LocalWriter{Writer: full}, strings.NewReader("x"), oci.BlobOf([]byte("x")))
		}
		if !errkind.Is[*oci.LocalError](err) {
			t.Errorf("%v", err)
		}
	}
}

// TestNamesThatThisFileSystemLacks: such a result is a miss, not this machine's fault. No file
// system that names have to be wrong for is mounted here, so its errors are made.
func TestNamesThatThisFileSystemLacks(t *testing.T) {
	f, r := stored(t)
	c := newClient(t, f.place(), quick)
	e, _ := r.lookup(t, c)
	create := func(number syscall.Errno) error {
		return c.notCreated(e, &os.PathError{Op: "openat", Path: "a.rpm", Err: number})
	}
	for _, number := range []syscall.Errno{syscall.ENAMETOOLONG, syscall.EILSEQ, syscall.EINVAL} {
		if err := create(number); !errkind.Is[*RefusedError](err) {
			t.Errorf("%v: %v", number, err)
		}
	}
	if err := create(syscall.ENOSPC); !errkind.Is[*oci.LocalError](err) {
		t.Errorf("a full disk: %v", err)
	}
	for _, files := range [][]cache.File{{{Name: "A.rpm"}, {Name: "a.rpm"}},
		{{Name: "e\u0301.rpm"}, {Name: "\u00e9.rpm"}}} {
		e.Files = files
		if err := create(syscall.EEXIST); !errkind.Is[*RefusedError](err) {
			t.Errorf("names that are one: %v", err)
		}
	}
}

// unreadable is a blob of a broken disk.
type unreadable struct {
	memory
	closed bool
}

func (*unreadable) Seek(int64, int) (int64, error) { return 0, syscall.EIO }
func (u *unreadable) Close() error                 { u.closed = true; return nil }

// A blob that cannot be uploaded is closed.
func TestUnreadableBlob(t *testing.T) {
	to, err := newTarget(Location{Dir: t.TempDir()}, Options{Limits: quick.withDefaults()}, "written")
	if err != nil {
		t.Fatal(err)
	}
	u := &unreadable{}
	err = to.uploadBlob(t.Context(), oci.BlobOf([]byte("x")),
		func() (io.ReadSeekCloser, error) { return u, nil }, true)
	if !errkind.Is[*oci.LocalError](err) || !u.closed {
		t.Errorf("%v, closed: %v", err, u.closed)
	}
}

// Redirects are followed, but never from TLS to plain HTTP.
func TestRedirect(t *testing.T) {
	f, r := stored(t)
	other := newFakeRegistry(t)
	other.manifests, other.blobs = f.manifests, f.blobs
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	c := newClient(t, f.place(), quick)
	e, _ := r.lookup(t, c)
	if err := c.Fetch(t.Context(), e, t.TempDir()); err != nil || other.count() == 0 {
		t.Errorf("%v, %d requests", err, other.count())
	}
	from, _ := http.NewRequest(http.MethodGet, "https://registry/v2/", nil)
	to, _ := http.NewRequest(http.MethodGet, "http://elsewhere/v2/", nil)
	if err := checkRedirect(to, []*http.Request{from}); !errkind.Is[finalError](err) {
		t.Errorf("from TLS to none: %v", err)
	}
	for n := maxRedirects; n <= maxRedirects+1; n++ { // via has the first request too
		err := checkRedirect(from, slices.Repeat([]*http.Request{from}, n))
		if (err != nil) != (n > maxRedirects) {
			t.Errorf("redirect %d: %v", n, err)
		}
	}
}

// TestUploadElsewhere: a registry may not send an upload, and the login with it, to another host.
func TestUploadElsewhere(t *testing.T) {
	f, other := newFakeRegistry(t), newFakeRegistry(t)
	f.credentials(t, "right")
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if _, password, _ := r.BasicAuth(); password != "right" {
			status(http.StatusUnauthorized, "WWW-Authenticate", `Basic realm="registry"`)(w)
			return true
		}
		if r.Method == http.MethodPost {
			status(http.StatusAccepted, "Location", other.URL+"/v2/team/cache/blobs/uploads/1")(w)
			return true
		}
		return false
	}
	c := newClient(t, f.place(), quick)
	newResult(t, "bash", files).push(t, c)
	c.said(t, "is on a different host than the registry")
	if n := other.count(); n > 0 {
		t.Errorf("%d requests to another host", n)
	}
}
