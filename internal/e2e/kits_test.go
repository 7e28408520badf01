// A kit of one tree in the image of another, on a real engine.

package e2e

import (
	"compress/gzip"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// kitTrees writes testdata/kits.txtar, with an empty cache for the rest of the test.
func kitTrees(t *testing.T) (base, main string) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/kits.txtar")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	for _, f := range archive.Files {
		write(t, root, f.Name, string(f.Data))
	}
	return filepath.Join(root, "base"), filepath.Join(root, "main")
}

func TestKits(t *testing.T) {
	needEngine(t)
	base, main := kitTrees(t)

	buildsys(t, base, nil, "build-kit", "--verify-reproducible").must(t, 0)
	r := buildsys(t, base, nil, "build-kit")
	r.must(t, 0, "nothing to do", "kit base-kit 1.0.0 for x86_64: digest ")
	if want := filepath.Join(base, "build/kits/oci/base-kit") + "\n"; r.stdout != want {
		t.Errorf("got %q, want %q", r.stdout, want)
	}
	hrefs := listed(t, filepath.Join(base, "build/kits/x86_64/base-kit"))
	if !slices.Contains(hrefs, "Packages/tiny/skiff-tiny-plain-1.0-1.x86_64.rpm") ||
		!slices.IsSorted(hrefs) {
		t.Errorf("the repository lists %q", hrefs)
	}
	buildsys(t, base, nil, "build-kit", "--arch", "aarch64").must(t, 0,
		"kit base-kit 1.0.0 for aarch64 and x86_64: digest ")

	// Nothing works without a lock, or without the kits in it.
	buildsys(t, main, nil, "build-variant", "try-kits").must(t, 2,
		`Twoliter.lock: is missing, but Twoliter.toml needs kits; run "buildsys update", and commit it`)
	buildsys(t, main, nil, "update", "--trust-tree").must(t, 0,
		"resolving kit base-kit 1.0.0 of vendor acme")
	buildsys(t, main, nil, "build-variant", "try-kits").must(t, 4,
		`kit base-kit 1.0.0 of vendor acme: it is not on this machine for x86_64; `+
			`run "buildsys fetch --arch x86_64"`)
	buildsys(t, main, nil, "fetch", "--trust-tree").must(t, 0,
		"fetching kit base-kit 1.0.0 of vendor acme for x86_64")

	r = buildsys(t, main, nil, "build-kit", "app-kit", "words-kit")
	r.must(t, 0)
	if names := listed(t, filepath.Join(main, "build/kits/x86_64/app-kit")); !slices.Equal(names,
		[]string{"Packages/app/skiff-app-1.0-1.x86_64.rpm"}) {
		t.Errorf("app-kit holds %q", names)
	}
	image := buildImage(t, main, "x86_64", "try-kits")
	if got := installed(t, image); !slices.Equal(got, []string{"app", "metadata", "tiny", "tiny-plain",
		"words"}) {
		t.Errorf("in the image are %q", got)
	}
	if r := buildsys(t, main, nil, "build-variant", "try-kits"); !strings.Contains(r.stderr,
		"nothing to do") {
		t.Errorf("built again:\n%s", r.stderr)
	}

	// The other tree moves on: it no longer has the old version, which is still used here.
	write(t, base, "packages/tiny/tiny.spec", strings.Replace(read(t, base, "packages/tiny/tiny.spec"),
		"seq 100000", "seq 100001", 1))
	buildsys(t, base, nil, "build-kit").must(t, 0,
		"kit base-kit: its image for aarch64 was made from other inputs and is no longer part of it",
		"kit base-kit 1.0.0 for x86_64: digest")
	buildsys(t, main, nil, "fetch", "--trust-tree").must(t, 5,
		"now leads to a different image: its digest is",
		`if this is intended, run "buildsys update" and commit Twoliter.lock`)
	buildsys(t, main, nil, "build-variant", "try-kits").must(t, 0, "nothing to do")
	buildsys(t, main, nil, "update", "--trust-tree").must(t, 0,
		"kit base-kit of acme: 1.0.0 is a different image than before")
	buildsys(t, main, nil, "fetch", "--trust-tree").must(t, 0)
	buildsys(t, main, nil, "build-variant", "try-kits").must(t, 0, "variant try-kits done")
	noDebris(t, main)
}

// listed returns the locations of the RPMs that the metadata of a repository lists, read as dnf
// does.
func listed(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "repodata/*primary.xml.gz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("metadata: %q, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var primary struct {
		Packages []struct {
			Location struct {
				Href string `xml:"href,attr"`
			} `xml:"location"`
		} `xml:"package"`
	}
	if err := xml.Unmarshal(data, &primary); err != nil {
		t.Fatal(err)
	}
	var hrefs []string
	for _, p := range primary.Packages {
		if _, err := os.Stat(filepath.Join(dir, p.Location.Href)); err != nil {
			t.Errorf("listed, but not there: %v", err)
		}
		hrefs = append(hrefs, p.Location.Href)
	}
	return hrefs
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
