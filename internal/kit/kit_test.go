// kit_test: kits from a repository over layout and lock to this machine, and what must be refused
// on the way.

package kit

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/opencontainers/go-digest"
	spec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	orasoci "oras.land/oras-go/v2/content/oci"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

var testSDK = manifest.Image{Name: "test-sdk", Version: "0.1.0", Vendor: "acme"}

// makeKit packs a kit with one package into the layout in below/<name>.
func makeKit(t *testing.T, below, name, version, arch string, needs ...manifest.Image) Packed {
	t.Helper()
	dir := t.TempDir()
	for _, pkg := range []string{"a", "b"} {
		write(t, filepath.Join(dir, "Packages", pkg, name+"-"+pkg+"-1.0-1."+arch+".rpm"),
			"RPM of "+pkg+" in "+name+" "+version)
	}
	write(t, filepath.Join(dir, "repodata/repomd.xml"), "<repomd/>")
	r := Repository{Arch: arch, Dir: dir, Content: version, Made: madeBelow(below),
		Metadata: Metadata{Name: name, Version: version, SDK: manifest.LockedImage{Image: testSDK},
			Kits: needs}}
	packed, err := Pack(r, filepath.Join(below, name))
	must(t, err)
	return packed
}

// madeBelow are the records of what makeKit makes below a directory.
func madeBelow(dir string) Made { return Made{dir + ".made"} }

func image(name, version string) manifest.Image {
	return manifest.Image{Name: name, Version: version, Vendor: "acme"}
}

// tree is a tree that takes the kits of vendor acme from the layouts below registry.
func tree(registry string, kits ...manifest.Image) Tree {
	return Tree{Trusted: true, Project: &manifest.Project{
		ReleaseVersion: "9.0.0", SDK: &testSDK, Kits: kits,
		Vendors: map[string]manifest.Vendor{"acme": {Registry: registry}},
	}}
}

func quiet(string) {}

func TestFromTreeToTree(t *testing.T) {
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	first := makeKit(t, dir, "base-kit", "1.0.0", "aarch64")
	makeKit(t, dir, "core-kit", "3.1.1", "x86_64", image("base-kit", "1.0.0"))
	if first.Tag != "v1.0.0" || strings.Join(first.Arches, " ") != "aarch64 x86_64" {
		t.Errorf("packed %+v", first)
	}
	tr, store := tree(layoutScheme+dir, image("core-kit", "3.1.1")), Store{t.TempDir()}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	if len(lock.Kits) != 2 || lock.Kits[1].Digest != first.Digest || lock.SDK.Digest != "" {
		t.Fatalf("lock\n%s", lock.Format())
	}
	if _, err := tr.Installed(t.Context(), store, lock, "x86_64"); err == nil ||
		!strings.Contains(err.Error(),
			`it is not on this machine for x86_64; run "buildsys fetch --arch x86_64"`) {
		t.Errorf("before fetching: %v", err)
	}
	must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet))
	must(t, os.RemoveAll(dir)) // from here on, no source is read
	kits, err := tr.Installed(t.Context(), store, lock, "x86_64")
	must(t, err)
	if len(kits) != 2 || kits[0].Image.Name != "core-kit" || kits[0].Metadata.Version != "3.1.1" {
		t.Fatalf("got %+v", kits)
	}
	packages := kits[1].Packages()
	if len(packages) != 2 || packages[1].Name != "b" ||
		packages[1].RPMs[0] != "base-kit-b-1.0-1.x86_64.rpm" {
		t.Errorf("packages %+v", packages)
	}
	data, err := os.ReadFile(filepath.Join(kits[1].Dir, "Packages/b/base-kit-b-1.0-1.x86_64.rpm"))
	if err != nil || string(data) != "RPM of b in base-kit 1.0.0" {
		t.Errorf("got %q, %v", data, err)
	}
	warned := ""
	must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, func(text string) { warned = text }))
	if !strings.Contains(warned, "using the one on this machine") {
		t.Errorf("a source that is gone: warned %q", warned)
	}
	must(t, os.Truncate(filepath.Join(kits[0].Dir, "Packages/a/core-kit-a-1.0-1.x86_64.rpm"), 3))
	if _, err := tr.Installed(t.Context(), store, lock, "x86_64"); err == nil ||
		!strings.Contains(err.Error(),
			`core-kit-a-1.0-1.x86_64.rpm was removed or changed; run "buildsys fetch --arch x86_64"`) {
		t.Errorf("a file that was cut off: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(kits[1].Dir, "Packages/b/base-kit-b-1.0-1.x86_64.rpm"),
		[]byte("RPM of c in base-kit 1.0.0"), 0o644))
	if err := tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet); err == nil {
		t.Error("a file that was changed was not noticed")
	}
	if _, err := tr.Installed(t.Context(), store, lock, "x86_64"); err == nil {
		t.Error("a damaged kit is still used")
	}
}

// TestPackForOthers: another implementation of OCI reads the layout and finds all digests correct.
// Packing the same input again gives the same.
func TestPackForOthers(t *testing.T) {
	dir := t.TempDir()
	one := makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	if again := makeKit(t, t.TempDir(), "base-kit", "1.0.0", "x86_64"); again.Digest != one.Digest {
		t.Errorf("digests %s and %s", one.Digest, again.Digest)
	}
	layout, err := orasoci.NewFromFS(t.Context(), os.DirFS(filepath.Join(dir, "base-kit")))
	must(t, err)
	_, err = oras.Copy(t.Context(), layout, "v1.0.0", memory.New(), "", oras.DefaultCopyOptions)
	must(t, err)
	blobs := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, "base-kit/blobs/sha256"))
		must(t, err)
		return len(entries)
	}
	if n := blobs(); n != 6 { // index, manifest, configuration, two packages, metadata
		t.Errorf("%d blobs", n)
	}
	makeKit(t, dir, "base-kit", "1.0.0", "aarch64")
	if packed := makeKit(t, dir, "base-kit", "1.1.0", "x86_64"); packed.Other != "aarch64" ||
		len(packed.Arches) != 1 || blobs() != 6 {
		t.Errorf("a new version: %+v, %d blobs", packed, blobs())
	}
}

// TestStampsThatAreNoFiles: what lies in a layout of the checkout tells nothing of its images, and
// is replaced.
func TestStampsThatAreNoFiles(t *testing.T) {
	good := makeKit(t, t.TempDir(), "base-kit", "1.0.0", "x86_64")
	for what, make := range map[string]func(at, old string) error{
		"a pipe": func(at, _ string) error { return syscall.Mkfifo(at, 0o600) },
		"a link": func(at, old string) error { return os.Symlink(old, at) },
	} {
		dir := t.TempDir()
		makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
		stamp := filepath.Join(dir, "base-kit", stampName("x86_64"))
		old := filepath.Join(dir, "old")
		must(t, os.Rename(stamp, old))
		must(t, make(stamp, old))
		if got := makeKit(t, dir, "base-kit", "1.0.0", "x86_64"); got.Digest != good.Digest {
			t.Errorf("%s: digest %s, want %s", what, got.Digest, good.Digest)
		}
		if info, err := os.Lstat(stamp); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: the stamp is now %v, %v", what, info, err)
		}
	}
}

// TestKitStoreReadsFiles: a pipe or a link in the place of an index or a record is no kit.
func TestKitStoreReadsFiles(t *testing.T) {
	s := Store{t.TempDir()}
	d := oci.Describe(spec.MediaTypeImageManifest, oci.BlobOf([]byte("{}")))
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("{}"), 0o644))
	digest, err := Digest([]byte("{}"))
	must(t, err)
	index, err := indexName(digest)
	must(t, err)
	for what, make := range map[string]func(at string) error{
		"a pipe": func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"a link": func(at string) error { return os.Symlink(outside, at) },
	} {
		for _, name := range []string{index, filepath.Join(d.Digest.Encoded(), recordFile)} {
			at := filepath.Join(s.Dir, name)
			must(t, os.RemoveAll(at))
			must(t, os.MkdirAll(filepath.Dir(at), 0o755))
			must(t, make(at))
		}
		if _, err := s.index(manifest.LockedImage{Digest: digest}); !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%s as index: %v", what, err)
		}
		if _, err := s.load(d); !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%s as record: %v", what, err)
		}
	}
}

// TestResolveFaults: each of these faults is reported before anything is downloaded.
func TestResolveFaults(t *testing.T) {
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	makeKit(t, dir, "core-kit", "3.1.1", "x86_64", image("base-kit", "1.1.0"))
	makeKit(t, dir, "odd-kit", "1.0.0", "x86_64", manifest.Image{Name: "x-kit", Version: "1.0.0",
		Vendor: "others"})
	makeKit(t, dir, "a-kit", "1.0.0", "x86_64", image("b-kit", "1.0.0"))
	makeKit(t, dir, "b-kit", "1.0.0", "x86_64", image("a-kit", "1.0.0"))
	other := testSDK
	other.Version = "0.2.0"
	for _, c := range []struct {
		name string
		tree Tree
		kind errkind.Kind
		want string
	}{
		{"no such version", tree(layoutScheme+dir, image("base-kit", "2.0.0")), errkind.Usage,
			"kit base-kit 2.0.0 of vendor acme: there is no such version; available: v1.0.0"},
		{"no such kit", tree(layoutScheme+dir, image("bse-kit", "1.0.0")), errkind.Environment,
			"kit bse-kit 1.0.0 of vendor acme: it cannot be read: there is no OCI layout " + dir +
				"/bse-kit"},
		{"two versions of one", tree(layoutScheme+dir, image("base-kit", "1.0.0"),
			image("core-kit", "3.1.1")), errkind.Usage,
			"kit base-kit 1.1.0 of vendor acme: kit core-kit 3.1.1 needs it, but Twoliter.toml:0 needs " +
				"version 1.0.0; use kits that agree"},
		{"an unknown vendor", tree(layoutScheme+dir, image("odd-kit", "1.0.0")), errkind.Usage,
			`kit x-kit 1.0.0 of vendor others: kit odd-kit 1.0.0 needs it, but there is no vendor ` +
				`"others" in Twoliter.toml; add [vendor.others] with registry = "HOST/PATH" to Twoliter.toml`},
		{"another SDK", func() Tree {
			t := tree(layoutScheme+dir,
				image("base-kit", "1.0.0"))
			t.Project.SDK = &other
			return t
		}(), errkind.Usage,
			"the SDK: kit base-kit 1.0.0 was made with test-sdk 0.1.0 of vendor acme, but Twoliter.toml " +
				"has test-sdk 0.2.0 of vendor acme; one tree is built with one SDK: use versions that agree"},
		{"not a registry", tree("https://x/y", image("base-kit", "1.0.0")), errkind.Usage,
			`kit base-kit 1.0.0 of vendor acme: registry "https://x/y" of vendor acme: `},
	} {
		_, err := c.tree.Resolve(t.Context(), nil, true, quiet)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != c.kind || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v\nwant %s", c.name, err, c.want)
		}
	}
	// Kits that need each other are one set, because each is already built.
	lock, err := tree(layoutScheme+dir, image("a-kit", "1.0.0")).Resolve(t.Context(), nil, true, quiet)
	if err != nil || len(lock.Kits) != 2 {
		t.Errorf("a cycle: %v", err)
	}
}

func TestDrift(t *testing.T) {
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	makeKit(t, dir, "core-kit", "1.0.0", "x86_64", image("base-kit", "1.0.0"))
	tr, store := tree(layoutScheme+dir, image("core-kit", "1.0.0")), Store{t.TempDir()}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet))
	check := func(what string, change func(*manifest.Lock, *manifest.Project), want string) {
		l, p := *lock, *tr.Project
		l.Kits, p.Kits = slices.Clone(l.Kits), slices.Clone(p.Kits)
		sdk := *l.SDK
		l.SDK = &sdk
		change(&l, &p)
		_, err := Tree{Project: &p}.Installed(t.Context(), store, &l, "x86_64")
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", what, err, want)
		}
	}
	check("another version", func(_ *manifest.Lock, p *manifest.Project) {
		p.Kits[0].Version,
			p.Kits[0].Line = "1.1.0", 7
	},
		`Twoliter.toml:7: kit core-kit of vendor acme is 1.1.0 here, but 1.0.0 in Twoliter.lock; `+
			`run "buildsys update"`)
	check("one more", func(_ *manifest.Lock, p *manifest.Project) {
		p.Kits = append(p.Kits,
			image("new-kit", "1.0.0"))
	},
		`Twoliter.toml: kit new-kit 1.0.0 of vendor acme is not in Twoliter.lock; run "buildsys update"`)
	check("another SDK", func(l *manifest.Lock, _ *manifest.Project) { l.SDK.Version = "0.0.9" },
		`Twoliter.toml: the SDK is test-sdk 0.1.0 of vendor acme here, but test-sdk 0.0.9 of `+
			`vendor acme in Twoliter.lock; run "buildsys update"`)
	check("another SDK than the kit's", func(l *manifest.Lock, p *manifest.Project) {
		l.SDK.Version = "0.0.9"
		p.SDK = &manifest.Image{Name: "test-sdk", Version: "0.0.9", Vendor: "acme"}
	}, "the SDK: kit core-kit 1.0.0 was made with test-sdk 0.1.0 of vendor acme, but "+
		"Twoliter.lock has test-sdk 0.0.9 of vendor acme; one tree is built with one SDK: "+
		"use versions that agree")
	check("another place", func(_ *manifest.Lock, p *manifest.Project) {
		p.Vendors = map[string]manifest.Vendor{"acme": {Registry: "elsewhere", Line: 3}}
	}, "Twoliter.toml:3: kit core-kit was locked at oci-layout:"+dir+
		`/core-kit:v1.0.0, but is now at elsewhere/core-kit:v1.0.0; run "buildsys update"`)
	check("a kit that another needs is gone",
		func(l *manifest.Lock, _ *manifest.Project) { l.Kits = l.Kits[:1] },
		"kit core-kit 1.0.0 of vendor acme: it needs kit base-kit 1.0.0 of vendor acme, which is not "+
			"in Twoliter.lock; "+runUpdate)
	check("a kit that is not needed", func(l *manifest.Lock, p *manifest.Project) {
		l.Kits, p.Kits = l.Kits[1:], nil
	}, `Twoliter.lock: kit base-kit 1.0.0 of vendor acme is no longer needed; run "buildsys update"`)
	if _, err := tr.Installed(t.Context(), store, lock, "aarch64"); err == nil || err.Error() !=
		"kit core-kit 1.0.0 of vendor acme: it is not made for aarch64, only for x86_64; use a version "+
			"that is made for it, or build for another architecture" {
		t.Errorf("another architecture: %v", err)
	}
	if err := tr.CheckLock(nil); err == nil ||
		err.Error() != "Twoliter.lock: is missing, but Twoliter.toml needs kits; "+
			`run "buildsys update", and commit it` {
		t.Errorf("no lock: %v", err)
	}
	makeKit(t, dir, "base-kit", "1.0.0", "aarch64") // the tag now leads to another index
	err = tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != errkind.Integrity ||
		!strings.Contains(err.Error(), "now leads to a different image: its digest is") {
		t.Errorf("a tag that was moved: %v", err)
	}
}

// TestBadImages: images that are not kits or not what their labels state, made by hand.
// TestLockSchema: a lock has the schema of the project, or that of the lock before if it is newer;
// and it names the vendor of the project.
func TestLockSchema(t *testing.T) {
	for _, c := range []struct{ project, old, want string }{
		{"", "", "schema-version = 1\nkit = []"},
		{"Acme", "", "schema-version = 2\nproject-vendor = \"Acme\"\nkit = []"},
		{"", "Bottlerocket", "schema-version = 2\nproject-vendor = \"Bottlerocket\"\nkit = []"},
		{"Acme", "Other", "schema-version = 2\nproject-vendor = \"Acme\"\nkit = []"},
	} {
		tr, old := tree(layoutScheme+t.TempDir()), &manifest.Lock{Schema: 1}
		if tr.Project.Schema = 1; c.project != "" {
			tr.Project.Schema, tr.Project.Vendor = 2, c.project
		}
		if c.old != "" {
			old.Schema, old.Vendor = 2, c.old
		}
		lock, err := tr.Resolve(t.Context(), old, true, quiet)
		must(t, err)
		if got := string(lock.Format()); !strings.Contains(got, c.want) {
			t.Errorf("%+v: got\n%s", c, got)
		}
		old.SDK, old.Vendor = lock.SDK, c.old
		want := "<nil>"
		if c.project != "" && c.old != "" {
			want = `Twoliter.toml: project-vendor is "Acme" here, but "Other" in Twoliter.lock; ` +
				`run "buildsys update"`
		}
		if err := tr.CheckLock(old); fmt.Sprint(err) != want {
			t.Errorf("%+v: got %v, want %s", c, err, want)
		}
	}
}

// TestLabels: kits with each version of the label are read, and Pack writes the one asked for.
func TestLabels(t *testing.T) {
	for version := range NewestLabel + 1 { // 0: none is asked for
		dir, at := t.TempDir(), t.TempDir()
		write(t, filepath.Join(dir, "Packages/a/a-1-1.x86_64.rpm"), "RPM")
		write(t, filepath.Join(dir, "repodata/repomd.xml"), "<repomd/>")
		r := Repository{Arch: "x86_64", Dir: dir, Content: "1", Made: madeBelow(at),
			Metadata: Metadata{Name: "base-kit", Version: "1.0.0", SDK: manifest.LockedImage{Image: testSDK},
				Label: version}}
		_, err := Pack(r, filepath.Join(at, "base-kit"))
		must(t, err)
		remake(t, filepath.Join(at, "base-kit"), func(c *imageConfig) {
			if want := labelName(max(version, 1)); version > 0 && c.Config.Labels[want] == "" {
				t.Errorf("v%d: labels %v", version, c.Config.Labels)
			}
		})
		tr, store := tree(layoutScheme+at, image("base-kit", "1.0.0")), Store{t.TempDir()}
		lock, err := tr.Resolve(t.Context(), nil, true, quiet)
		must(t, err)
		must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet))
		kits, err := tr.Installed(t.Context(), store, lock, "x86_64")
		must(t, err)
		if want := cmp.Or(version, NewestLabel); len(kits) != 1 || kits[0].Label != want {
			t.Errorf("v%d: got %+v", want, kits)
		}
	}
}

// TestIndexWithAttestations: entries without a platform are nobody's kit.
func TestIndexWithAttestations(t *testing.T) {
	image := spec.Descriptor{MediaType: spec.MediaTypeImageManifest, Size: 2,
		Digest:   digest.NewDigestFromEncoded(digest.SHA256, strings.Repeat("a", 64)),
		Platform: &spec.Platform{Architecture: "amd64", OS: "linux"}}
	bare := image
	bare.Platform = nil
	got, err := arches(spec.Index{Manifests: []spec.Descriptor{bare, image}})
	if err != nil || len(got) != 1 || got["x86_64"].Digest != image.Digest {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err = arches(spec.Index{Manifests: []spec.Descriptor{bare}}); err == nil ||
		err.Error() != "none of its 1 images states an architecture" {
		t.Errorf("no image is left: %v", err)
	}
}

// TestSavedArchive: what docker save writes is no kit, and the message says what to do.
func TestSavedArchive(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file/base-kit"), "tar")
	write(t, filepath.Join(dir, "archive.tar"), "tar")
	write(t, filepath.Join(dir, "unpacked/base-kit/manifest.json"), "[]")
	for place, want := range map[string]string{
		"file":        "file/base-kit is a file, perhaps written by docker save",
		"archive.tar": "archive.tar is a file, perhaps written by docker save",
		"unpacked":    "unpacked/base-kit has what docker save writes",
		"nothing":     "there is no OCI layout",
	} {
		_, err := tree(layoutScheme+filepath.Join(dir, place), image("base-kit", "1.0.0")).Resolve(
			t.Context(), nil, true, quiet)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(want, "docker") &&
			!strings.Contains(err.Error(), "skopeo copy --all") {
			t.Errorf("%s: %v", place, err)
		}
	}
}

func TestBadImages(t *testing.T) {
	newest := labelName(NewestLabel)
	for name, c := range map[string]struct {
		change func(*imageConfig)
		want   string
	}{
		"no label": {func(c *imageConfig) { c.Config.Labels = nil },
			"it has no label dev.bottlerocket.kit.v4: it is not a kit"},
		"a newer kit": {func(c *imageConfig) {
			c.Config.Labels = map[string]string{labelPrefix + "5": "x"}
		}, `it is a kit of version "v5", made by a newer program that is not compatible`},
		"not base64": {func(c *imageConfig) { c.Config.Labels[newest] = "%" },
			"its label is not base64"},
		"not JSON": {func(c *imageConfig) { c.Config.Labels[newest] = "eA==" },
			"its label is not JSON"},
		"another arch": {func(c *imageConfig) { c.Architecture = "arm64" },
			`its image for x86_64 is configured for "arm64"`},
		"the oldest label": {func(c *imageConfig) {
			c.Config.Labels = map[string]string{labelName(1): c.Config.Labels[newest]}
		}, ""},
		"another version": {func(c *imageConfig) {
			c.Config.Labels[newest], _ = Metadata{Name: "base-kit", Version: "1.0.1",
				SDK: manifest.LockedImage{Image: testSDK}}.Encode()
		}, "its label is that of base-kit 1.0.1"},
		"a name that is a path": {func(c *imageConfig) {
			c.Config.Labels[newest], _ = Metadata{Name: "base-kit", Version: "1.0.0",
				SDK:  manifest.LockedImage{Image: testSDK},
				Kits: []manifest.Image{{Name: "../x", Version: "1.0.0", Vendor: "acme"}}}.Encode()
		}, `its label needs "../x" "1.0.0" of vendor "acme", which is not a valid image`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
			remake(t, filepath.Join(dir, "base-kit"), c.change)
			tr := tree(layoutScheme+dir, image("base-kit", "1.0.0"))
			lock, err := tr.Resolve(t.Context(), nil, true, quiet)
			if c.want == "" {
				must(t, err)
				must(t, tr.Fetch(t.Context(), Store{t.TempDir()}, lock, "x86_64", quiet, quiet))
				return
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != errkind.Integrity ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// remake changes the configuration of the only image in a layout, and the documents that name it.
func remake(t *testing.T, dir string, change func(*imageConfig)) {
	t.Helper()
	l := oci.Layout{Dir: dir}
	_, top, err := l.Index()
	must(t, err)
	var x spec.Index
	var m spec.Manifest
	var c imageConfig
	get := func(d spec.Descriptor, to any) {
		data, err := l.Read(d)
		must(t, err)
		must(t, json.Unmarshal(data, to))
	}
	put := func(d *spec.Descriptor, v any) {
		made, err := l.PutJSON(d.MediaType, v)
		must(t, err)
		d.Digest, d.Size = made.Digest, made.Size
	}
	get(top.Manifests[0], &x)
	get(x.Manifests[0], &m)
	get(m.Config, &c)
	change(&c)
	put(&m.Config, c)
	put(&x.Manifests[0], m)
	put(&top.Manifests[0], x)
	data, err := json.Marshal(top)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), data, 0o644))
}

func TestUnpackRefuses(t *testing.T) {
	const rpm = "Packages/a/a-1-1.x86_64.rpm"
	for _, c := range []struct {
		header tar.Header
		want   string // part of the error; empty if it is valid
	}{
		{tar.Header{Name: rpm, Typeflag: tar.TypeReg}, ""},
		{tar.Header{Name: "./" + rpm, Typeflag: tar.TypeReg}, ""},
		{tar.Header{Name: "./", Typeflag: tar.TypeDir}, ""},
		{tar.Header{Name: "Packages/a/a-1-1.noarch.rpm", Typeflag: tar.TypeReg}, ""},
		{tar.Header{Name: "repodata/repomd.xml", Typeflag: tar.TypeReg}, ""},
		{tar.Header{Name: "Packages/a/a-1-1.aarch64.rpm", Typeflag: tar.TypeReg},
			"is for another architecture than x86_64"},
		{tar.Header{Name: "/" + rpm, Typeflag: tar.TypeReg}, "leads out of the kit"},
		{tar.Header{Name: "../" + rpm, Typeflag: tar.TypeReg}, "leads out of the kit"},
		{tar.Header{Name: "Packages/../../" + rpm, Typeflag: tar.TypeReg}, "leads out of the kit"},
		{tar.Header{Name: "Packages/../etc/passwd", Typeflag: tar.TypeReg}, "is neither an RPM"},
		{tar.Header{Name: "Packages/a/-rf.rpm", Typeflag: tar.TypeReg}, "begins with a dash"},
		{tar.Header{Name: "Packages/a/b\n.x86_64.rpm", Typeflag: tar.TypeReg}, "control characters"},
		{tar.Header{Name: rpm, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "is a link"},
		{tar.Header{Name: rpm, Typeflag: tar.TypeLink, Linkname: "repodata/repomd.xml"}, "is a link"},
		{tar.Header{Name: rpm, Typeflag: tar.TypeChar}, "is neither a file nor a directory"},
		{tar.Header{Name: rpm, Typeflag: tar.TypeReg, Mode: 0o4755}, "set-user-ID"},
		{tar.Header{Name: "etc/x", Typeflag: tar.TypeReg}, "is neither an RPM below Packages/"},
		{tar.Header{Name: "Packages/a/script.sh", Typeflag: tar.TypeReg},
			"is neither an RPM below Packages/"},
		{tar.Header{Name: "Packages", Typeflag: tar.TypeReg}, "is neither an RPM below Packages/"},
		{tar.Header{Name: "Packages/" + strings.Repeat("a/", 60000) + "x.x86_64.rpm",
			Typeflag: tar.TypeReg}, "has a name of more than 512 bytes or 4 parts"},
		{tar.Header{Name: "Packages/a/b/c/x.x86_64.rpm", Typeflag: tar.TypeReg}, "or 4 parts"},
		{tar.Header{Name: "Packages/" + strings.Repeat("a", 256) + "/x.x86_64.rpm",
			Typeflag: tar.TypeReg}, "a part of more than 255 bytes"},
	} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		must(t, err)
		u := &unpacker{root: root, arch: "x86_64"}
		var data bytes.Buffer
		z := gzip.NewWriter(&data)
		w := tar.NewWriter(z)
		if c.header.Typeflag == tar.TypeReg {
			c.header.Size = 3
		}
		must(t, w.WriteHeader(&c.header))
		if c.header.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, "rpm")
			must(t, err)
		}
		must(t, errors.Join(w.Close(), z.Close()))
		err = u.layer(t.Context(), "application/vnd.oci.image.layer.v1.tar+gzip", &data)
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q of type %c: got %v, want %q", c.header.Name, c.header.Typeflag, err, c.want)
		}
		must(t, root.Close())
	}
}

// endless yields the header of a directory again and again, and calls hook before each.
type endless struct {
	header []byte
	reads  int
	hook   func(reads int)
}

func (e *endless) Read(b []byte) (int, error) {
	e.reads++
	e.hook(e.reads)
	return copy(b, e.header), nil
}

func directory(t *testing.T) []byte {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	must(t, w.WriteHeader(&tar.Header{Name: "Packages/", Typeflag: tar.TypeDir, Mode: 0o755}))
	return data.Bytes()[:512]
}

// TestUnpackLayerWithoutEnd: directories count, though nothing is written for them, and a layer
// that lists only them ends with the context.
func TestUnpackLayerWithoutEnd(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	defer root.Close()
	e := &endless{header: directory(t), hook: func(reads int) {
		if reads > 2*maxMembers {
			t.Fatal("the members of the layer are not counted")
		}
	}}
	u := &unpacker{root: root, arch: "x86_64"}
	err = u.layer(t.Context(), spec.MediaTypeImageLayer, e)
	if err == nil || !strings.Contains(err.Error(), "more than 131072 files and directories") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e = &endless{header: directory(t), hook: func(reads int) {
		if reads == 10 {
			cancel()
		}
	}}
	u = &unpacker{root: root, arch: "x86_64"}
	err = u.layer(ctx, spec.MediaTypeImageLayer, e)
	if !errors.Is(err, context.Canceled) || e.reads > 20 {
		t.Errorf("cancelled: %v after %d reads", err, e.reads)
	}
}

// TestUsedKitsAreVerified: the bytes of a kit count when it is used, not when it was fetched.
func TestUsedKitsAreVerified(t *testing.T) {
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	tr, store := tree(layoutScheme+dir, image("base-kit", "1.0.0")), Store{t.TempDir()}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet))
	kits, err := tr.Installed(t.Context(), store, lock, "x86_64")
	must(t, err)
	name := filepath.Join(kits[0].Dir, "Packages/a/base-kit-a-1.0-1.x86_64.rpm")
	info, err := os.Stat(name)
	must(t, err)
	good, err := os.ReadFile(name)
	must(t, err)
	bad := bytes.Clone(good)
	copy(bad, "EVIL")
	must(t, os.WriteFile(name, bad, 0o644))
	must(t, os.Chtimes(name, info.ModTime(), info.ModTime())) // as if nothing had been written
	_, err = tr.Installed(t.Context(), store, lock, "x86_64")
	if err == nil || !strings.Contains(err.Error(),
		`base-kit-a-1.0-1.x86_64.rpm was changed; run "buildsys fetch --arch x86_64"`) {
		t.Errorf("changed: %v", err)
	}
	must(t, os.WriteFile(name, good, 0o644))
	_, err = tr.Installed(t.Context(), store, lock, "x86_64")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Installed(ctx, store, lock, "x86_64"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestUnpackTwice: two layers may not write the same file, and a truncated layer is refused.
func TestUnpackTwice(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	must(t, err)
	defer root.Close()
	u := &unpacker{root: root, arch: "x86_64"}
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	must(t, w.WriteHeader(&tar.Header{Name: "repodata/x", Typeflag: tar.TypeReg, Size: 2000}))
	_, err = w.Write(make([]byte, 2000))
	must(t, errors.Join(err, w.Close()))
	layer := data.Bytes()
	must(t, u.layer(t.Context(), spec.MediaTypeImageLayer, bytes.NewReader(layer)))
	if err := u.layer(t.Context(), spec.MediaTypeImageLayer, bytes.NewReader(layer)); err == nil ||
		!strings.Contains(err.Error(), "appears twice") {
		t.Errorf("got %v", err)
	}
	for _, c := range []struct {
		kind string
		data []byte
		want string
	}{
		{spec.MediaTypeImageLayer, layer[:1000], "ends in the middle"},
		{spec.MediaTypeImageLayer, []byte(strings.Repeat("x", 1024)), "is not an archive"},
		{spec.MediaTypeImageLayer + "+gzip", layer, "does not match its media type"},
		{spec.MediaTypeImageLayer + "+bzip2", layer, "has the unsupported type"},
	} {
		fresh, err := os.OpenRoot(t.TempDir())
		must(t, err)
		u := &unpacker{root: fresh, arch: "x86_64"}
		if err := u.layer(t.Context(), c.kind, bytes.NewReader(c.data)); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		must(t, fresh.Close())
	}
}

// TestDamagedLayout: content that does not match its digest never gets into the store.
func TestDamagedLayout(t *testing.T) {
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	tr, store := tree(layoutScheme+dir, image("base-kit", "1.0.0")), Store{t.TempDir()}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(dir, "base-kit/blobs/sha256/*"))
	must(t, err)
	for _, name := range blobs {
		data, err := os.ReadFile(name)
		must(t, err)
		if bytes.HasPrefix(data, []byte("{")) {
			continue
		}
		data[600] ^= 1 // in the first file of a layer
		must(t, os.WriteFile(name, data, 0o644))
	}
	err = tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != errkind.Integrity ||
		!strings.Contains(err.Error(), "does not match the digest in its name") {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(store.Dir)
	must(t, err)
	for _, e := range left {
		if e.Name() != "index" {
			t.Errorf("left in the store: %s", e.Name())
		}
	}
}

// TestLeftovers: a fetch removes what killed ones left, but nothing of one that may still run.
func TestLeftovers(t *testing.T) {
	store := Store{t.TempDir()}
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{".new-1/Packages/a.rpm", ".layer-1", ".new-2/Packages/a.rpm",
		".layer-2", "index/1"} {
		write(t, filepath.Join(store.Dir, name), "")
	}
	for _, name := range []string{".new-1", ".layer-1", "index"} {
		must(t, os.Chtimes(filepath.Join(store.Dir, name), old, old))
	}
	must(t, tree("").Fetch(t.Context(), store, &manifest.Lock{}, "x86_64", quiet, quiet))
	entries, err := os.ReadDir(store.Dir)
	must(t, err)
	if len(entries) != 3 || entries[0].Name() != ".layer-2" || entries[1].Name() != ".new-2" {
		t.Errorf("left %q", entries)
	}
}

// fullDisk is a source whose blobs find no space.
type fullDisk struct{ source }

func (s fullDisk) blob(ctx context.Context, b cache.Blob, _ *os.File) error {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(s.source.blob(ctx, b, full), full.Close())
}

// TestCannotStore: what this machine cannot store is not said to be unreadable.
func TestCannotStore(t *testing.T) {
	dir, kit := t.TempDir(), image("base-kit", "1.0.0")
	makeKit(t, dir, kit.Name, kit.Version, "x86_64")
	tr := tree(layoutScheme+dir, kit)
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	check := func(err error, words string) {
		t.Helper()
		if errkind.Of(err) != errkind.Environment || !strings.Contains(err.Error(), words) {
			t.Errorf("got %v of kind %v, want %q", err, errkind.Of(err), words)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	check(tr.Fetch(t.Context(), Store{file}, lock, "x86_64", quiet, quiet),
		"it cannot be stored in "+file)
	src, err := tr.open(kit)
	must(t, err)
	defer src.close()
	data, err := src.index(t.Context(), "v1.0.0")
	must(t, err)
	x, err := parseIndex(data)
	must(t, err)
	d, err := imageFor(x, kit, "x86_64")
	must(t, err)
	store := Store{t.TempDir()}
	check(store.install(t.Context(), fullDisk{src}, kit, d, "x86_64"),
		"it cannot be stored in "+store.Dir+": write /dev/full: no space left on device")
}

func TestDigest(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"b": [1, -2, true, null],  "a": {"z":"x","y":""}}`,
			`{"a":{"y":"","z":"x"},"b":[1,-2,true,null]}`},
		{`{"q": "\"\\\u002f\n\u00e9"}`, "{\"q\":\"\\\"\\\\/\né\"}"},
		{`"e\u0301"`, `"é"`}, // normal form C
	} {
		got, err := canonicalJSON([]byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v", c.in, got, err)
		}
	}
	for _, bad := range []string{"", "{", "{} {}", "1.5", `{"a":1e3}`} {
		if got, err := canonicalJSON([]byte(bad)); err == nil {
			t.Errorf("%q gave %s", bad, got)
		}
	}
	one, err := Digest([]byte(`{"schemaVersion":2,"manifests":[]}`))
	other, err2 := Digest([]byte("{\n  \"manifests\": [],\n  \"schemaVersion\": 2\n}\n"))
	// printf '{"manifests":[],"schemaVersion":2}' | sha256sum | xxd -r -p | base64
	if err := errors.Join(err, err2); err != nil || one != other ||
		one != "+gztgX1RLcStyp+Dj9xNLHeK26Uhbnu0sxWYj1gi3SI=" {
		t.Errorf("got %s and %s, %v", one, other, err)
	}
}

func TestOverride(t *testing.T) {
	project := &manifest.Project{Vendors: map[string]manifest.Vendor{
		"acme": {Registry: "registry.example.com/acme"}}}
	tr, err := ReadTree("/",
		fstest.MapFS{"Twoliter.override": {Data: []byte("[acme.core-kit]\nname = \"my-core\"\nregistry " +
			"= \"localhost:5000/me\"\n")}}, project)
	must(t, err)
	if got := tr.ImageRef(image("core-kit", "1.0.0")); got != "localhost:5000/me/my-core:v1.0.0" {
		t.Errorf("overridden: %s", got)
	}
	if got := tr.Source(image("core-kit",
		"1.0.0")); got != "registry.example.com/acme/core-kit:v1.0.0" {
		t.Errorf("in the lock: %s", got)
	}
	if got := tr.ImageRef(image("sdk", "1.0.0")); got != "registry.example.com/acme/sdk:v1.0.0" {
		t.Errorf("not overridden: %s", got)
	}
}

// Equal kits have equal digests in every version of buildsys, because locks hold them.
func TestDigestsStay(t *testing.T) {
	dir := t.TempDir()
	for _, arch := range []string{"x86_64", "aarch64"} {
		makeKit(t, dir, "core-kit", "1.0.0", arch, image("base-kit", "1.0.0"))
	}
	layout := filepath.Join(dir, "core-kit")
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	must(t, err)
	const want = "d27fd335ded1599e4caca196b72d6c8bd42b8265014ca87c3b918d3fb746fe8f"
	if sum := fmt.Sprintf("%x", sha256.Sum256(index)); sum != want {
		t.Errorf("index.json has the sha256 %s, want %s:\n%s", sum, want, index)
	}
}

// TestTreeNamesItsOwnLayouts: what other checkouts of the machine have built is not for a tree to
// name, unless it is trusted.
func TestTreeNamesItsOwnLayouts(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	makeKit(t, outside, "base-kit", "1.0.0", "x86_64")
	makeKit(t, filepath.Join(root, "own"), "base-kit", "1.0.0", "x86_64")
	must(t, os.Symlink(outside, filepath.Join(root, "link")))
	for registry, allowed := range map[string]bool{
		"oci-layout:own":                    true,
		"oci-layout:" + root + "/own":       true,
		"oci-layout:" + outside:             false,
		"oci-layout:../" + "x":              false,
		"oci-layout:link":                   false,
		"oci-layout:own/../../" + "nowhere": false,
	} {
		tr := tree(registry, image("base-kit", "1.0.0"))
		tr.Root, tr.Trusted = root, false
		_, err := tr.Resolve(t.Context(), nil, true, quiet)
		refused := err != nil && strings.Contains(err.Error(), "leads out of the tree")
		if allowed == refused || allowed && err != nil {
			t.Errorf("%s: %v", registry, err)
		}
	}
}

func TestUnpackRefusesHoles(t *testing.T) {
	h, err := tar.NewReader(bytes.NewReader(bound.Hole(t, "Packages/a/a-1-1.x86_64.rpm"))).Next()
	must(t, err)
	u := &unpacker{arch: "x86_64"}
	if got := u.refused(h.Name, h); got != "has holes" {
		t.Errorf("refused because it %q, want holes", got)
	}
}
