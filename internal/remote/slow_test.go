// slow_test: a registry that sends just enough to be waited for.

package remote

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/network"
)

// TestTrickleIsTooSlow: a byte now and then feeds the timer of silence, and the announced size the
// budget; neither helps.
func TestTrickleIsTooSlow(t *testing.T) {
	f, r := stored(t)
	known := newClient(t, f.place(), quick)
	e, ok := r.lookup(t, known)
	if !ok {
		t.Fatal("not found")
	}
	for i := range e.Files {
		e.Files[i].Size = 64 << 30
	}
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(64<<30))
		_, _ = w.Write([]byte("a"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	before := f.count()
	c := newClient(t, f.place(), Limits{Idle: time.Hour,
		Floor: network.Floor{Bytes: 1000, Window: 20 * time.Millisecond}})
	err := c.Fetch(t.Context(), e, t.TempDir())
	if !errkind.Is[*network.SlowError](err) {
		t.Errorf("%v", err)
	}
	if n := f.count() - before; n > len(e.Files) {
		t.Errorf("%d requests for %d files: slow ones were repeated", n, len(e.Files))
	}
}

// TestAnnouncedSizeBuysLittleTime: what a manifest says about sizes is nobody's word yet.
func TestAnnouncedSizeBuysLittleTime(t *testing.T) {
	l := Limits{}.withDefaults()
	var e cache.Entry
	for range 100 {
		e.Files = append(e.Files, cache.File{Size: math.MaxInt64})
	}
	for _, size := range []int64{64 << 30, math.MaxInt64, sizeOf(e)} {
		if got := l.budget(size); got != time.Hour {
			t.Errorf("%v for %d bytes", got, size)
		}
	}
	if got := l.budget(256 << 20); got != time.Minute+1024*time.Second {
		t.Errorf("%v for 256 MiB", got)
	}
}

// TestResultHasAnEnd: the time of a result is that of all its files together, and a cache that
// exceeds it has failed.
func TestResultHasAnEnd(t *testing.T) {
	f, r := stored(t)
	e, ok := r.lookup(t, newClient(t, f.place(), quick))
	if !ok {
		t.Fatal("not found")
	}
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		<-r.Context().Done()
		return true
	}
	c := newClient(t, f.place(), Limits{Idle: time.Hour, Longest: 20 * time.Millisecond,
		Budget: 20 * time.Millisecond, Failures: 1})
	if err := c.Fetch(t.Context(), e, t.TempDir()); !errkind.Is[slowError](err) {
		t.Errorf("%v", err)
	}
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "no longer read") {
		t.Errorf("warnings %q", c.warnings)
	}
}

// TestRegistryDoesNotRedirectToMetadata: a registry may be anywhere, and so may its storage, but
// the service that gives the machine's credentials is not its storage.
func TestRegistryDoesNotRedirectToMetadata(t *testing.T) {
	f, r := stored(t)
	e, ok := r.lookup(t, newClient(t, f.place(), quick))
	if !ok {
		t.Fatal("not found")
	}
	for _, host := range []string{"169.254.169.254", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"} {
		f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "http://"+host+"/latest/meta-data/", http.StatusTemporaryRedirect)
			return true
		}
		before := f.count()
		err := newClient(t, f.place(), quick).Fetch(t.Context(), e, t.TempDir())
		if !errkind.Is[*network.AddressError](err) || f.count() > before+len(e.Files) {
			t.Errorf("%s: %d requests, %v", host, f.count()-before, err)
		}
	}
}

// TestCacheThatIsSlowEachTimeIsLeft: answers just below each limit add up.
func TestCacheThatIsSlowEachTimeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var warnings []string
		o := Options{Limits: Limits{}.withDefaults(),
			Warn: func(text string) { warnings = append(warnings, text) }}
		target, err := newTarget(Location{Dir: "/nowhere"}, o, "read")
		if err != nil {
			t.Fatal(err)
		}
		defer target.close()
		requests := 0
		slowly := func(context.Context) error {
			requests++
			time.Sleep(29 * time.Second) // virtual
			return nil
		}
		for range 5 { // at the same time, they are one
			var group sync.WaitGroup
			for range 10 {
				group.Go(func() {
					_ = target.do(t.Context(), 1, func(context.Context) error {
						time.Sleep(29 * time.Second)
						return nil
					})
				})
			}
			group.Wait()
		}
		for range 100 {
			_ = target.do(t.Context(), 1, slowly)
			_ = target.do(t.Context(), 100<<20, slowly) // for which that is quick
		}
		if requests != 2*(maxSlow-5)-1 || target.off() == nil || len(warnings) != 1 {
			t.Errorf("%d requests, off because %v, warnings %q", requests, target.off(), warnings)
		}
	})
}

// TestRegistryNamesNoMetadata: where a registry says that its tokens are is asked no more than what
// it redirects to. The answer would be sent to the registry.
func TestRegistryNamesNoMetadata(t *testing.T) {
	f := newFakeRegistry(t)
	for _, host := range []string{"100.100.100.200", "169.254.169.254", "[fd00:ec2::254]"} {
		f.fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+host+`/latest/",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		images, err := OpenImages(f.place(), quick)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := images.Manifest(t.Context(), "v1"); !errkind.Is[*network.AddressError](err) {
			t.Errorf("%s: %v", host, err)
		}
		images.Close()
	}
}

// TestTreeNamesNoMetadata: a registry that only a tree names is no metadata service either.
func TestTreeNamesNoMetadata(t *testing.T) {
	place, err := ParseLocation("oci+http://169.254.169.254/latest", "/")
	if err != nil {
		t.Fatal(err)
	}
	images, err := OpenImages(place, quick)
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	if _, err := images.Manifest(t.Context(), "v1"); !errkind.Is[*network.AddressError](err) {
		t.Error(err)
	}
}
