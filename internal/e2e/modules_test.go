// Go modules are bundled outside of any build, once, and to the same bytes every time.

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	recipe "buildsys"
)

// moduleProxy makes a Go module proxy, a directory, with the module example.test/dep, whose
// greeting a package prints. It returns the directory and the lines of a go.sum.
func moduleProxy(t *testing.T, greeting string) (dir, sums string) {
	t.Helper()
	dir = t.TempDir()
	const mod = "module example.test/dep\n\ngo 1.19\n"
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	for name, text := range map[string]string{
		"go.mod": mod, "dep.go": "package dep\n\nconst Greeting = \"" + greeting + "\"\n",
		"LICENSE": "MIT\n",
	} {
		w, err := z.Create("example.test/dep@v1.2.3/" + name)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	stem := "example.test/dep/@v/v1.2.3"
	write(t, dir, stem+".mod", mod)
	write(t, dir, stem+".zip", data.String())
	zipSum, err := dirhash.HashZip(filepath.Join(dir, stem+".zip"), dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser,
		error) {
		return os.Open(filepath.Join(dir, stem+".mod"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, fmt.Sprintf("example.test/dep v1.2.3 %s\nexample.test/dep v1.2.3/go.mod %s\n", zipSum,
		modSum)
}

// tarball makes a gzipped tar of files, given as name and text.
func tarball(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1]))})
		if err == nil {
			_, err = io.WriteString(w, f[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// goTree returns a tree with one package whose source is a Go program that needs the module of
// moduleProxy.
func goTree(t *testing.T, sums string) (root string, env []string) {
	t.Helper()
	root = writeTree(t)
	archive := tarball(t,
		[2]string{"app-1/go.mod",
			"module example.test/app\n\ngo 1.19\n\nrequire example.test/dep v1.2.3\n"},
		[2]string{"app-1/go.sum", sums},
		[2]string{"app-1/main.go",
			"package main\n\nimport \"example.test/dep\"\n\nfunc main() { println(dep.Greeting) }\n"})
	sum := sha512.Sum512(archive)
	write(t, root, "packages/app/Cargo.toml", fmt.Sprintf(`[package]
name = "app"
[[package.metadata.build-package.external-files]]
url = "https://upstream.invalid/app-1.tar.gz"
sha512 = "%s"
bundle-modules = ["go"]
`, hex.EncodeToString(sum[:])))
	write(t, root, "packages/app/app.spec", `Name: %{_cross_os}app
Version: 1
Release: 1
Summary: test
License: MIT
Source0: app-1.tar.gz
Source1: bundled-app-1.tar.gz
%global debug_package %{nil}
%description
%{summary}.
%prep
tar -xf %{SOURCE0}
tar -xf %{SOURCE1}
%build
cd app-1
CGO_ENABLED=0 go build -mod=vendor -trimpath -buildvcs=false -o app .
./app 2>greeting
%install
mkdir -p %{buildroot}
cp app-1/greeting %{buildroot}/
%files
/greeting
`)
	cache := lookaside(t, source{name: "app-1.tar.gz", data: archive}, archive)
	return root, []string{"BUILDSYS_LOOKASIDE_CACHE=" + cache}
}

func TestBundledModules(t *testing.T) {
	needEngine(t)
	proxy, sums := moduleProxy(t, "hello")
	root, env := goTree(t, sums)
	r := buildsys(t, root, append(env, "GOPROXY=file://"+proxy), "build-package", "app")
	r.must(t, 0, "modules app: fetched Go modules of app-1.tar.gz (2 files)", "modules app done in",
		"app done in")
	if got := started(r); !slices.Equal(got, []string{"app", "modules app"}) {
		t.Errorf("built %q", got)
	}
	const bundle = "build/modules/x86_64/app/bundled-app-1.tar.gz"
	first, err := os.ReadFile(filepath.Join(root, bundle))
	if err != nil {
		t.Fatal(err)
	}
	checkBundle(t, first)

	// From here on there is no proxy. Nothing is built again, and a new checkout uses the store.
	off := append(env, "GOPROXY=off", noEngine)
	buildsys(t, root, off, "build-package", "app").must(t, 0, "2 steps up to date, nothing to do")
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	buildsys(t, root, off, "build-package", "app").must(t, 0, "modules app restored from the store")
	// An edit of the spec does not bundle the modules again.
	appendTo(t, root, "packages/app/app.spec", "# a comment\n")
	r = buildsys(t, root, append(env, "GOPROXY=off"), "build-package", "app")
	r.must(t, 0)
	if got := started(r); !slices.Equal(got, []string{"app"}) {
		t.Errorf("after an edit of the spec built %q", got)
	}

	// Elsewhere, from nothing: the same bytes. The names in the manifest are used.
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	other := t.TempDir()
	shell(t, root, `cp -r packages Release.toml "$0" && cd "$0/packages/app" && rm -f bundled* &&
		printf 'bundle-root-path = "app-1"\nbundle-output-path = "vendored.tar.gz"\n' >>Cargo.toml &&
		sed -i s/bundled-app-1.tar.gz/vendored.tar.gz/ app.spec`, other)
	buildsys(t, other, append(env, "GOPROXY=file:///nowhere,file://"+proxy), "build-package",
		"app").must(t, 0)
	again, err := os.ReadFile(filepath.Join(other, "build/modules/x86_64/app/vendored.tar.gz"))
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("bundled elsewhere the archive differs, or: %v", err)
	}
}

// checkBundle requires the vendor directory, and no trace of the time or the user.
func checkBundle(t *testing.T, data []byte) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("the gzip header holds %v %q", z.ModTime, z.Name)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.ModTime.Unix() != recipe.Epoch || h.Uid != 0 || h.Gid != 0 || h.Uname != "" ||
			h.Mode&^0o755 != 0 {
			t.Errorf("%s: time %v, owner %d:%d %q, mode %o", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname,
				h.Mode)
		}
	}
	for _, want := range []string{"app-1/vendor/modules.txt", "app-1/vendor/example.test/dep/dep.go"} {
		if !slices.Contains(names, want) {
			t.Errorf("the archive lacks %s: %q", want, names)
		}
	}
}

func TestBundledModulesFaults(t *testing.T) {
	needEngine(t)
	proxy, sums := moduleProxy(t, "hello")
	evil, _ := moduleProxy(t, "evil")
	t.Run("no proxy", func(t *testing.T) {
		root, env := goTree(t, sums)
		buildsys(t, root, append(env, "GOPROXY=file:///nowhere,direct"), "build-package", "app").must(t,
			4,
			"Go module example.test/dep@v1.2.3, which the go.sum of app-1.tar.gz "+
				"(packages/app/Cargo.toml:4) names, could not be fetched",
			`GOPROXY element "direct": buildsys asks module proxies only`, "set GOPROXY to a module proxy "+
				"that has it")
	})
	t.Run("other bytes", func(t *testing.T) {
		root, env := goTree(t, sums)
		r := buildsys(t, root, append(env, "GOPROXY=file://"+evil), "build-package", "app")
		r.must(t, 5, "has a wrong sum wherever it exists", "has the sum h1:")
		buildsys(t, root, append(env, "GOPROXY=file://"+evil+",file://"+proxy), "build-package",
			"app").must(t, 0)
	})
	t.Run("go.sum lacks it", func(t *testing.T) {
		root, env := goTree(t, strings.Split(sums, "\n")[1]+"\n")
		buildsys(t, root, append(env, "GOPROXY=file://"+proxy), "build-package", "app").must(t, 3,
			"missing go.sum entry", "go mod vendor failed for app-1.tar.gz, in app-1")
	})
}
