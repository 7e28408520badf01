package build

import (
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/cachedir"
	"buildsys/internal/sdk"
)

// TestObjectsDomain: trees that the caller trusts share objects, and no other tree has them.
func TestObjectsDomain(t *testing.T) {
	dir := t.TempDir()
	config := func(tree string, trusted bool) Config {
		buildtest.Must(t, os.MkdirAll(filepath.Join(dir, tree), 0o755))
		return Config{Root: filepath.Join(dir, tree), Arch: "x86_64", Trusted: trusted,
			CacheConfig: CacheConfig{CacheDir: cachedir.Dir(dir), Objects: ObjectsConfig{Use: true}}}
	}
	domain := func(c Config) string {
		s := &Session{c: c}
		return s.objects(t.Context(), sdk.Digests{SDK: "sha256:1"}, nil,
			&buildtest.Recorder{}).Domain
	}
	a, b := domain(config("a", false)), domain(config("b", false))
	trusted := domain(config("a", true))
	if a == b || a == trusted || trusted != domain(config("b", true)) {
		t.Errorf("%q and %q; trusted %q", a, b, trusted)
	}
	buildtest.Must(t, os.Symlink("a", filepath.Join(dir, "link")))
	if got := domain(config("link", false)); got != a {
		t.Errorf("%q through a link, %q without", got, a)
	}
}

// TestNoObjectsInRelease: what earlier steps left counts for nothing where the bytes must be
// vouched for.
func TestNoObjectsInRelease(t *testing.T) {
	c := Config{Root: t.TempDir(), CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir()),
		Objects: ObjectsConfig{Use: true}}}
	release := c
	release.Remote.Release = true
	off := c
	off.Objects = ObjectsConfig{}
	for name, c := range map[string]Config{"release": release, "off": off,
		"verification": c.withoutObjects()} {
		use := (&Session{c: c}).objects(t.Context(), sdk.Digests{}, nil, &buildtest.Recorder{})
		if use != nil {
			t.Errorf("%s: %+v", name, use)
		}
	}
}
