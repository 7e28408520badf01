// crates_test: crates from a server on this machine.

package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/crates"
	"buildsys/internal/manifest"
)

// crateFile returns a .crate file with a Cargo.toml and a library.
func crateFile(t *testing.T, name string) (crates.Crate, []byte) {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	files := map[string]string{"Cargo.toml": "[package]\n", "src/lib.rs": "// " + name}
	for file, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name + "-1.0.0/" + file, Typeflag: tar.TypeReg,
			Mode: 0o644, Size: int64(len(text))})
		if _, e := w.Write([]byte(text)); err != nil || e != nil {
			t.Fatal(err, e)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return crates.Crate{Name: name, Version: "1.0.0",
		SHA256: fmt.Sprintf("%x", sha256.Sum256(buf.Bytes()))}, buf.Bytes()
}

func TestFetchCrates(t *testing.T) {
	a, dataA := crateFile(t, "a")
	b, dataB := crateFile(t, "b")
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		if r.URL.Path != "/b/b-1.0.0.crate" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(dataB)
	}))
	defer server.Close()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "a/a-1.0.0.crate"), dataA, 0o644))
	s := &Store{Crates: t.TempDir(), Proxies: Proxies{Crates: server.URL + ",file://" + dir},
		tuned: tuning{jobs: 1}}
	get := func() error {
		return s.FetchCrates(t.Context(), "package/os", "sources/Cargo.lock", []crates.Crate{a, b})
	}
	must(get())
	for _, c := range []crates.Crate{a, b} {
		text, err := os.ReadFile(filepath.Join(s.CratePath(c), "src/lib.rs"))
		if string(text) != "// "+c.Name || err != nil {
			t.Errorf("%s: %q, %v", c, text, err)
		}
	}
	must(get())
	if asked["/b/b-1.0.0.crate"] != 1 {
		t.Errorf("asked for %v", asked)
	}
	// What is damaged is made again, without a download.
	lib := filepath.Join(s.CratePath(b), "src/lib.rs")
	must(os.WriteFile(lib, []byte("// evil"), 0o644))
	must(get())
	if text, _ := os.ReadFile(lib); string(text) != "// b" || asked["/b/b-1.0.0.crate"] != 1 {
		t.Errorf("a damaged file stays: %q; asked for %v", text, asked)
	}
}

func TestFetchCratesFails(t *testing.T) {
	a, data := crateFile(t, "a")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(append(data, 0))
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		proxy string
		bad   bool
		want  []string
	}{
		"other bytes": {server.URL, true, []string{"crate a-1.0.0, which L names, has a wrong checksum",
			"wanted: sha256 " + a.SHA256, server.URL, "has the sum"}},
		"nowhere": {"file:///nowhere", false, []string{"could not be fetched", "not there",
			"set BUILDSYS_CRATES_PROXY"}},
		"off": {"off", false, []string{`BUILDSYS_CRATES_PROXY element "off": it forbids`}},
	} {
		s := &Store{Crates: t.TempDir(), Proxies: Proxies{Crates: c.proxy}, tuned: tuning{jobs: 1}}
		err := s.FetchCrates(t.Context(), "package/os", "L", []crates.Crate{a})
		e, ok := errors.AsType[*CrateError](err)
		if !ok || e.Bad != c.bad {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error lacks %q:\n%v", name, want, err)
			}
		}
	}
}

// TestFetchVendor makes the vendor directory of an archive: with the crates that its Cargo.lock
// names and no others, whatever was there.
func TestFetchVendor(t *testing.T) {
	c, data := crateFile(t, "a")
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path != "/a/a-1.0.0.crate" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	defer server.Close()
	s := &Store{Dir: t.TempDir(), Crates: t.TempDir(), Proxies: Proxies{Crates: server.URL},
		tuned: tuning{jobs: 1}}
	f := manifest.ExternalFile{URL: "https://example.com/app.tar", SHA512: "5", BundleRust: true,
		Line: 7}
	put := func(lock string) {
		t.Helper()
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		err := w.WriteHeader(&tar.Header{Name: "app/Cargo.lock", Mode: 0o644, Size: int64(len(lock))})
		if _, e := w.Write([]byte(lock)); err != nil || e != nil {
			t.Fatal(err, e)
		}
		if err := errors.Join(w.Close(), os.MkdirAll(filepath.Dir(s.Path(f)), 0o755),
			os.WriteFile(s.Path(f), out.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	lock := fmt.Sprintf("[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+"+
		"https://github.com/rust-lang/crates.io-index\"\nchecksum = %q\n", c.SHA256)
	put(lock)
	top := s.VendorPath(f)
	if err := os.MkdirAll(filepath.Join(top, "evil"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.FetchVendor(t.Context(), "modules/app", f); err != nil {
			t.Fatal(err)
		}
	}
	found, _ := filepath.Glob(top + "/*")
	sums, err := os.ReadFile(top + "/a/.cargo-checksum.json")
	if len(found) != 1 || err != nil || !strings.Contains(string(sums), c.SHA256) || asked != 1 {
		t.Errorf("%q, %v, asked %d times", found, err, asked)
	}
	put(strings.Replace(lock, c.SHA256, strings.Repeat("0", 64), 1))
	const wrong = "crate a-1.0.0, which the Cargo.lock of app.tar (packages/app/Cargo.toml:7) " +
		"names, has a wrong checksum"
	if err := s.FetchVendor(t.Context(), "modules/app", f); err == nil ||
		!strings.Contains(err.Error(), wrong) {
		t.Errorf("error %v", err)
	}
	put("version = 3\n")
	if err := s.FetchVendor(t.Context(), "modules/app", f); err == nil ||
		!strings.HasPrefix(err.Error(), "packages/app/Cargo.toml:7: crates of app.tar: app/Cargo.lock") {
		t.Errorf("error %v", err)
	}
}
