// download_test: servers that cut, stall, redirect, refuse or never end.

package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/manifest"
	"buildsys/internal/progress"
)

// flaky serves b with ETag tag, but ends the first responses after the given numbers of bytes. It
// records each Range header.
type flaky struct {
	b      []byte
	mu     sync.Mutex
	tags   []string // ETag of the n-th response; the last one stays
	cuts   []int
	ranges []string
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := len(f.ranges)
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	f.mu.Unlock()
	if tag := f.tags[min(n, len(f.tags)-1)]; tag != "" {
		w.Header().Set("ETag", tag)
	}
	if n < len(f.cuts) {
		w = &cutter{w, f.cuts[n]}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.b))
}

// cutter drops the connection after left bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestCutDownloads(t *testing.T) {
	b := content(200_000)
	tests := map[string]struct {
		tags   []string
		cuts   []int
		ranges string
	}{
		"resumed":              {[]string{`"a"`}, []int{100_000}, " bytes=100000-"},
		"resumed twice":        {[]string{`"a"`}, []int{100_000, 50_000}, " bytes=100000- bytes=150000-"},
		"changed ETag":         {[]string{`"a"`, `"b"`}, []int{100_000}, " bytes=100000-"},
		"no validator":         {[]string{""}, []int{100_000}, " "},
		"weak ETag":            {[]string{`W/"a"`}, []int{100_000}, " "},
		"cut before any bytes": {[]string{`"a"`}, []int{0}, " "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv := &flaky{b: b, tags: tt.tags, cuts: tt.cuts}
			w := newWorld(t)
			f := source(serve(t, srv.ServeHTTP), b)
			w.good(f, b)
			if got := strings.Join(srv.ranges, " "); got != tt.ranges {
				t.Errorf("Range headers %q, want %q", got, tt.ranges)
			}
			w.wantFiles(f.Name())
			if n := len(w.texts(progress.FetchRetry)); n != len(tt.cuts) {
				t.Errorf("%d retries reported, want %d", n, len(tt.cuts))
			}
		})
	}
}

// A later run resumes what an earlier one kept, even if it asks other places first. Damage to the
// kept bytes costs only a restart.
func TestResumeAcrossRuns(t *testing.T) {
	b := content(200_000)
	for name, damage := range map[string]bool{"intact": false, "damaged": true} {
		t.Run(name, func(t *testing.T) {
			srv := &flaky{b: b, tags: []string{`"a"`}, cuts: []int{50_000, 50_000, 50_000}}
			f := source(serve(t, srv.ServeHTTP), b)
			w := newWorld(t)
			w.Lookaside = []string{t.TempDir(), serve(t, http.NotFound)}
			err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
			var missing *MissingError
			if !errors.As(err, &missing) || !strings.Contains(err.Error(),
				"cut off after 150000 of 200000 bytes") {
				t.Fatalf("first run: %v", err)
			}
			w.wantFiles(f.Name()+".part", f.Name()+".part.json")
			if damage {
				if err := os.WriteFile(w.Path(f)+".part", make([]byte, 150_000), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			w.good(f, b)
			want := "bytes=150000-"
			if damage {
				want += " "
			}
			if got := strings.Join(srv.ranges[3:], " "); got != want {
				t.Errorf("second run asked for %q, want %q", got, want)
			}
			w.wantFiles(f.Name())
		})
	}
}

// After a crash between the last byte and the rename, nothing is downloaded again.
func TestCompletePartNeedsNoDownload(t *testing.T) {
	b := content(5000)
	w := newWorld(t)
	f := source(serve(t, func(w http.ResponseWriter, r *http.Request) { t.Error("server was asked") }),
		b)
	p, err := openPart(t.Context(), w.Path(f), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.remember(validator{URL: f.URL, Range: `"a"`, Total: 5000}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
	p.release(context.Canceled)
	w.good(f, b)
}

func TestRetries(t *testing.T) {
	b := content(1000)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		status   int
		header   string // Retry-After
		failures int
		asked    int
		waits    time.Duration // at least, for each wait
		err      string
	}{
		"429 with seconds": {429, "7", 2, 3, 7 * time.Second, ""},
		"503 with a date":  {503, now.Add(time.Minute).Format(http.TimeFormat), 1, 2, time.Minute, ""},
		"429 for too long": {429, "86400", 9, 1, 0,
			"the server answered 429 Too Many Requests and requested a wait of 24h0m0s"},
		"503 for ever":      {503, "", 9, 3, 0, "the server answered 503 Service Unavailable"},
		"500 once":          {500, "", 1, 2, 0, ""},
		"404":               {404, "", 9, 1, 0, "the server answered 404 Not Found"},
		"403":               {403, "5", 9, 1, 0, "the server answered 403 Forbidden"},
		"401":               {401, "", 9, 1, 0, "the server answered 401 Unauthorized"},
		"garbled header":    {503, "soon", 1, 2, 0, ""},
		"304 without cause": {304, "", 9, 1, 0, "the server answered 304 Not Modified"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := 0
			f := source(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked <= tt.failures {
					w.Header().Set("Retry-After", tt.header)
					w.WriteHeader(tt.status)
					return
				}
				_, _ = w.Write(b)
			}), b)
			w := newWorld(t)
			w.tuned.now = func() time.Time { return now }
			err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
			if tt.err == "" && err != nil || tt.err != "" &&
				(err == nil || !strings.Contains(err.Error(), f.URL+": "+tt.err+"\n")) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if asked != tt.asked || len(w.slept) != tt.asked-1 {
				t.Errorf("asked %d times, waited %v; want %d requests", asked, w.slept, tt.asked)
			}
			for i, d := range w.slept {
				if d < tt.waits || d > tt.waits+backoffBase<<(i+1) {
					t.Errorf("wait %d was %s", i, d)
				}
			}
		})
	}
}

func TestRefusedAnswers(t *testing.T) {
	b := content(1000)
	tests := map[string]struct {
		serve http.HandlerFunc
		err   string
	}{
		"redirect to a file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "refused a redirect to a file URL"},
		"redirect to the metadata service": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		}, "refused to ask 169.254.169.254: it is a link-local address"},
		"redirect loop": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}, "more than 10 redirects"},
		"10 TB": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10995116277760")
			w.WriteHeader(200)
		}, "is 10 TiB, larger than the limit of 1.9 KiB"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "is larger than the limit of 1.9 KiB"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tuned.maxBytes = 2000
			err := w.Fetch(t.Context(), step, []manifest.ExternalFile{source(serve(t, tt.serve), b)})
			var missing *MissingError
			if !errors.As(err, &missing) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			w.wantFiles()
			if len(w.slept) != 0 {
				t.Errorf("retried what cannot change: %v", w.slept)
			}
		})
	}
}

func TestRedirectToAnotherServer(t *testing.T) {
	b := content(1000)
	mirror := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(b) })
	w := newWorld(t)
	w.good(source(serve(t, http.RedirectHandler(mirror, http.StatusFound).ServeHTTP), b), b)
}

// A server that labels a tarball as gzip-encoded must not cause it to be unpacked.
func TestContentEncodingChangesNothing(t *testing.T) {
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	_, _ = zw.Write(content(5000))
	_ = zw.Close()
	w := newWorld(t)
	w.good(source(serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(z.Bytes())
	}), z.Bytes()), z.Bytes())
}

// Here the server is the watchdog's clock: it decides when it has stalled.
func TestStalledServer(t *testing.T) {
	b := content(1000)
	for name, head := range map[string]bool{"before the answer": false, "in the body": true} {
		t.Run(name, func(t *testing.T) {
			asked, alive := 0, 0
			stall := make(chan func(), maxAttempts)
			f := source(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked > 1 {
					_, _ = w.Write(b)
					return
				}
				if head {
					_, _ = w.Write(b[:10])
					_ = http.NewResponseController(w).Flush()
				}
				(<-stall)()
				<-r.Context().Done()
			}), b)
			w := newWorld(t)
			w.tuned.watch = func(stalled func()) (func(), func()) {
				stall <- stalled
				return func() { alive++ }, func() {}
			}
			w.good(f, b)
			if r := w.texts(progress.FetchRetry); len(r) != 1 || asked != 2 || alive == 0 {
				t.Errorf("retries %q, asked %d times, %d signs of life", r, asked, alive)
			}
		})
	}
}

func TestIdleTimeoutIsBounded(t *testing.T) {
	f := source(serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		content(10))
	w := newWorld(t)
	w.tuned.idle = time.Millisecond
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "no bytes for 1ms") ||
		len(w.slept) != maxAttempts-1 {
		t.Errorf("error %v after waits %v", err, w.slept)
	}
}

// Each byte must give the server another full idle time.
func TestWatchdogIsFedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled atomic.Bool
		alive, stop := timerWatchdog(30 * time.Second)(func() { stalled.Store(true) })
		defer stop()
		for range 10 {
			time.Sleep(29 * time.Second) // virtual
			alive()
		}
		if stalled.Load() {
			t.Error("stalled although bytes came")
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if !stalled.Load() {
			t.Error("not stalled after 31 s without a byte")
		}
	})
}

func TestStrongValidator(t *testing.T) {
	const mod, soon, later = "Mon, 05 Jan 2026 10:00:00 GMT", "Mon, 05 Jan 2026 10:00:30 GMT",
		"Mon, 05 Jan 2026 10:01:00 GMT"
	for _, tt := range []struct{ etag, mod, date, want string }{
		{`"x"`, mod, later, `"x"`},
		{`W/"x"`, mod, later, mod},
		{"", mod, later, mod},
		{"", mod, soon, ""},
		{"", mod, "", ""},
		{`""`, "", later, ""},
		{"x", "", later, ""},
	} {
		h := http.Header{"Etag": {tt.etag}, "Last-Modified": {tt.mod}, "Date": {tt.date}}
		if got := strongValidator(h); got != tt.want {
			t.Errorf("%q %q %q: %q, want %q", tt.etag, tt.mod, tt.date, got, tt.want)
		}
	}
}
