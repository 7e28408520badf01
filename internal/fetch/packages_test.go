// packages_test: files that are known by their sha256, from places that may have others.

package fetch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
)

// packageOf returns a package with some data, which places have.
func packageOf(name, data string, urls ...string) Package {
	return Package{Name: name, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(data))),
		Size: int64(len(data)), URLs: urls}
}

func TestFetchPackages(t *testing.T) {
	var asked, sent atomic.Int64
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.Path {
		case "/good":
			_, _ = io.WriteString(w, "good")
		case "/wrong":
			_, _ = io.WriteString(w, "evil")
		case "/endless":
			for {
				n, err := w.Write(make([]byte, 1<<16))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer mirror.Close()
	lookaside, dir := t.TempDir(), t.TempDir()
	near := packageOf("near_1_all.deb", "near", mirror.URL+"/good")
	buildtest.Must(t, os.MkdirAll(filepath.Join(lookaside, near.Name, near.SHA256), 0o755))
	buildtest.Must(t, os.WriteFile(filepath.Join(lookaside, near.Name, near.SHA256, near.Name),
		[]byte("near"), 0o644))
	good := packageOf("good_1_all.deb", "good", mirror.URL+"/none", mirror.URL+"/wrong",
		mirror.URL+"/good")
	s := &Store{Lookaside: []string{lookaside}}
	if err := s.FetchPackages(t.Context(), dir, "packages", []Package{near, good}); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{near.In(dir): "near", good.In(dir): "good"} {
		if data, err := os.ReadFile(p); err != nil || string(data) != want {
			t.Errorf("%s: %q %v", p, data, err)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("%d requests, not the three for one package", n)
	}
	// What is kept needs no place, and what is damaged is fetched again.
	buildtest.Must(t, os.WriteFile(near.In(dir), []byte("fear"), 0o644))
	if err := s.FetchPackages(t.Context(), dir, "packages", []Package{near, good}); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("%d requests", n)
	}
	for name, c := range map[string]struct {
		list []Package
		kind errkind.Kind
		want string
	}{
		"nowhere": {[]Package{packageOf("a.deb", "a", mirror.URL+"/none"), packageOf("b.deb", "b"), near},
			errkind.Environment, "packages: no place has 2 of 3 with the bytes that are wanted\n  a.deb"},
		"wrong": {[]Package{packageOf("a.deb", "good", mirror.URL+"/wrong")}, errkind.Integrity,
			"/wrong: has the sum "},
		"endless": {[]Package{packageOf("a.deb", "good", mirror.URL+"/endless")}, errkind.Environment,
			"larger than the limit of 4 bytes"},
		"a name": {[]Package{packageOf("../a.deb", "good", mirror.URL+"/good")}, errkind.Usage,
			`"../a.deb" is not the name`},
	} {
		err := s.FetchPackages(t.Context(), t.TempDir(), "packages", c.list)
		if err == nil || errkind.Of(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%v)", name, err, errkind.Of(err))
		}
		if missing, ok := errors.AsType[*PackagesError](err); ok != (c.kind != errkind.Usage) ||
			ok && missing.Bad != (c.kind == errkind.Integrity) {
			t.Errorf("%s: %#v", name, missing)
		}
	}
	if n := sent.Load(); n > 16<<20 {
		t.Errorf("%d bytes of an answer without an end", n)
	}
}
