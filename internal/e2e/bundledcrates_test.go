// Crates are bundled from a server on this machine, once, and to the same bytes every time.

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	recipe "buildsys"
	"buildsys/internal/buildtest"
)

// crateServer serves crates, given as name and version, and returns the Cargo.lock that names them.
func crateServer(t *testing.T, crates ...[2]string) (url, lock string) {
	t.Helper()
	files := map[string][]byte{}
	for _, c := range crates {
		top := c[0] + "-" + c[1]
		data := tarball(t, [2]string{top + "/Cargo.toml", "[package]\n"}, [2]string{top + "/src/lib.rs",
			"// " + top}, [2]string{top + "/.gitignore", "target"})
		files["/"+c[0]+"/"+top+".crate"] = data
		lock += fmt.Sprintf("[[package]]\nname = %q\nversion = %q\nsource = \"registry+https://"+
			"github.com/rust-lang/crates.io-index\"\nchecksum = \"%x\"\n\n", c[0], c[1], sha256.Sum256(data))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := files[r.URL.Path]; ok {
			_, _ = w.Write(data)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, lock
}

// rustTree returns a tree with one package whose source has a Cargo.lock.
func rustTree(t *testing.T, lock string) (root string, env []string) {
	t.Helper()
	root = writeTree(t)
	archive := tarball(t, [2]string{"app-1/Cargo.lock", lock})
	write(t, root, "packages/app/Cargo.toml", fmt.Sprintf(`[package]
name = "app"
[[package.metadata.build-package.external-files]]
url = "https://upstream.invalid/app-1.tar.gz"
sha512 = "%x"
bundle-modules = ["rust"]
`, sha512.Sum512(archive)))
	write(t, root, "packages/app/app.spec", `Name: %{_cross_os}app
Version: 1
Release: 1
Summary: test
License: MIT
Source0: app-1.tar.gz
Source1: bundled-app-1.tar.gz
%description
%{summary}.
%prep
%setup -n app-1
%setup -T -D -n app-1 -a 1
%install
grep -q '^directory = "vendor"' .cargo/config.toml
mkdir -p %{buildroot}
cp vendor/a/src/lib.rs %{buildroot}/lib
%files
/lib
`)
	cache := lookaside(t, source{name: "app-1.tar.gz", data: archive}, archive)
	return root, []string{"BUILDSYS_LOOKASIDE_CACHE=" + cache}
}

func TestBundledCrates(t *testing.T) {
	needEngine(t)
	server, lock := crateServer(t, [2]string{"a", "1.0.0"}, [2]string{"a", "0.9.0"},
		[2]string{"b", "2.0.0"})
	root, env := rustTree(t, lock)
	proxy := "BUILDSYS_CRATES_PROXY="
	buildsys(t, root, append(env, proxy+server), "fetch").must(t, 0)
	r := buildsys(t, root, append(env, proxy+"off"), "build-package", "app")
	r.must(t, 0, "modules app done in", "app done in")
	const bundle = "build/modules/x86_64/app/bundled-app-1.tar.gz"
	first, err := os.ReadFile(filepath.Join(root, bundle))
	buildtest.Must(t, err)
	checkCrates(t, first)

	// Elsewhere, from nothing: the same bytes, also under a name that says something else.
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	other := t.TempDir()
	shell(t, root, `cp -r packages Release.toml "$0" && cd "$0/packages/app" &&
		echo 'bundle-output-path = "crates.tar.xz"' >>Cargo.toml &&
		sed -i s/bundled-app-1.tar.gz/crates.tar.xz/ app.spec`, other)
	buildsys(t, other, append(env, proxy+server), "build-package", "app").must(t, 0)
	again, err := os.ReadFile(filepath.Join(other, "build/modules/x86_64/app/crates.tar.xz"))
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("bundled elsewhere the archive differs, or: %v", err)
	}
}

// checkCrates requires crates as "cargo vendor" lays them down, and no trace of the time or the
// user.
func checkCrates(t *testing.T, data []byte) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	buildtest.Must(t, err)
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		buildtest.Must(t, err)
		if h.ModTime.Unix() != recipe.Epoch || h.Uid != 0 || h.Gid != 0 || h.Uname != "" ||
			h.Mode&^0o755 != 0 {
			t.Errorf("%s: %+v", h.Name, h)
		}
		if h.Typeflag == tar.TypeReg {
			names = append(names, h.Name)
		}
	}
	want := []string{".cargo/config.toml"}
	for _, dir := range []string{"a", "a-0.9.0", "b"} {
		for _, file := range []string{".cargo-checksum.json", "Cargo.toml", "src/lib.rs"} {
			want = append(want, "vendor/"+dir+"/"+file)
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) || !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the archive has %q, want %q", strings.Join(names, " "), strings.Join(want, " "))
	}
}
