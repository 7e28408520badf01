package settings

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/build"
	"buildsys/internal/buildtest"
	"buildsys/internal/cachedir"
	"buildsys/internal/errkind"
)

// caller returns a Caller in dir with flags and environment, "NAME=VALUE" separated by spaces.
func caller(dir, flags, env string) Caller {
	parse := func(text string) map[string]string {
		all := map[string]string{"HOME": dir}
		for _, word := range strings.Fields(text) {
			name, value, _ := strings.Cut(word, "=")
			all[name] = value
		}
		return all
	}
	given, vars := parse(flags), parse(env)
	return Caller{
		Warn:   func(string) {},
		Dir:    dir,
		Getenv: func(name string) string { return vars[name] },
		Flag:   func(name string) (string, bool) { value, ok := given[name]; return value, ok },
	}
}

const tree = `
-- Release.toml --
version = "1.0.0"
-- packages/a/Cargo.toml --
-- variants/a-b/Cargo.toml --
-- Makefile.toml --
[env]
BUILDSYS_NAME = "tree"
BUILDSYS_JOBS = "3"
`

func TestPrecedence(t *testing.T) {
	root := buildtest.Tree(t, tree)
	for _, tt := range []struct{ flags, env, want string }{
		{"", "", "tree"},
		{"", "BUILDSYS_NAME=env", "env"},
		{"name=flag", "BUILDSYS_NAME=env", "flag"},
		{"name=flag", "", "flag"},
	} {
		c, err := caller(root, tt.flags, tt.env).Resolve()
		if err != nil || c.Image.Name != tt.want || c.Image.PrettyName != tt.want {
			t.Errorf("flags %q, environment %q: name %q, pretty name %q, %v; want %q",
				tt.flags, tt.env, c.Image.Name, c.Image.PrettyName, err, tt.want)
		}
	}
	c, err := caller(filepath.Join(root, "packages/a"), "", "").Resolve()
	if err != nil || c.Root != root || c.Jobs != 3 {
		t.Errorf("in a package: root %s, %d jobs, %v", c.Root, c.Jobs, err)
	}
}

func TestMistakes(t *testing.T) {
	root := buildtest.Tree(t, tree)
	for setting, want := range map[string]string{
		"BUILDSYS_ARCH=riscv64":               "use x86_64 or aarch64",
		"BUILDSYS_JOBS=0":                     "use 1 or more",
		"BUILDSYS_STEP_TIMEOUT=1":             "is not a duration",
		"BUILDSYS_STEP_TIMEOUT=-1s":           "is not a duration",
		"BUILDSYS_STEP_OUTPUT=much":           "is not a size",
		"BUILDSYS_CGROUP_PARENT=/a/../..":     "is not the name of a control group",
		"BUILDSYS_CGROUP_PARENT=a;b":          "is not the name of a control group",
		"BUILDSYS_COMPILE_CACHE=true":         "is not on, read or off",
		"BUILDSYS_CACHE_AUDIT=101":            "is not a percentage",
		"BUILDSYS_CACHE_AUDIT=-1":             "is not a percentage",
		"BUILDSYS_STRICT=perhaps":             `"perhaps" is neither true nor false`,
		"BUILDSYS_ENGINE_INSECURE=perhaps":    `"perhaps" is neither true nor false`,
		"BUILDSYS_ENGINE_WAIT=soon":           "is not a duration",
		"BUILDSYS_NAME=../x":                  "cannot be part of an image's name",
		"BUILDSYS_VERSION_IMAGE=1/2":          "cannot be part of an image's name",
		"BUILDSYS_VERSION_BUILD=a/b":          "cannot be part of an image's name",
		"BUILDSYS_SBKEYS_PROFILE=../keys":     "is not a name",
		"BUILDSYS_VARIANT=../../other/x":      "is not the name of a variant",
		"BUILDSYS_CACHE_FROM=ftp://x/y":       "BUILDSYS_CACHE_FROM",
		"BUILDSYS_CACHE_TO=ftp://x/y":         "BUILDSYS_CACHE_TO",
		"BUILDSYS_LAYER_CACHE_TO=/dir":        "through a registry only",
		"BUILDSYS_ROOT_DIR=nowhere":           "is not a directory",
		"BUILDSYS_UPSTREAM_SOURCE_FALLBACK=2": `"2" is neither true nor false`,
	} {
		_, err := caller(root, "", setting).Resolve()
		if errkind.Of(err) != errkind.Usage || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a usage error with %q", setting, err, want)
		}
	}
}

func TestObjects(t *testing.T) {
	root := buildtest.Tree(t, tree)
	for setting, want := range map[string]build.ObjectsConfig{
		"":                            {Audit: 1},
		"BUILDSYS_COMPILE_CACHE=off":  {Audit: 1},
		"BUILDSYS_COMPILE_CACHE=on":   {Use: true, Audit: 1},
		"BUILDSYS_COMPILE_CACHE=read": {Use: true, ReadOnly: true, Audit: 1},
		"BUILDSYS_COMPILE_CACHE=on BUILDSYS_CACHE_AUDIT=100": {Use: true, Audit: 100},
	} {
		if c, err := caller(root, "", setting).Resolve(); err != nil || c.Objects != want {
			t.Errorf("%q: %+v, %v; want %+v", setting, c.Objects, err, want)
		}
	}
}

func TestUnreadableMakefile(t *testing.T) {
	root := buildtest.Tree(t, `
-- Release.toml --
-- packages/a/Cargo.toml --
-- Makefile.toml/directory --
`)
	if _, err := caller(root, "", "").Resolve(); errkind.Of(err) != errkind.Environment {
		t.Errorf("%v; want an error of the environment", err)
	}
}

// Outside of a tree, flags and environment determine the directory of the store.
func TestUserCache(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ flags, env, want string }{
		{"", "", filepath.Join(dir, ".cache/buildsys")},
		{"", "XDG_CACHE_HOME=/xdg", "/xdg/buildsys"},
		{"", "BUILDSYS_CACHE_DIR=mine", filepath.Join(dir, "mine")},
		{"cache-dir=/flag", "BUILDSYS_CACHE_DIR=mine", "/flag"},
		{"", "BUILDSYS_CACHE_DIR=~/cache", filepath.Join(dir, "cache")},
		{"cache-dir=~", "", dir},
		{"cache-dir=./~/x", "", filepath.Join(dir, "~/x")},
	} {
		got, _, err := caller(dir, tt.flags, tt.env).UserCache()
		if err != nil || string(got) != tt.want {
			t.Errorf("flags %q, environment %q: %s, %v; want %s", tt.flags, tt.env, got, err, tt.want)
		}
	}
}

// TestCacheOfOthers: a cache directory that others can write to has to be shared on purpose, for
// commands in a tree and outside of one.
func TestCacheOfOthers(t *testing.T) {
	root, dir := buildtest.Tree(t, tree), filepath.Join(t.TempDir(), "cache")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	env := "BUILDSYS_CACHE_DIR=" + dir
	_, inTree := caller(root, "", env).Resolve()
	_, _, outside := caller(t.TempDir(), "", env).UserCache()
	for _, err := range []error{inTree, outside} {
		if !errkind.Is[*cachedir.OwnerError](err) {
			t.Errorf("%v", err)
		}
	}
	env += " BUILDSYS_CACHE_SHARED=true"
	_, inTree = caller(root, "", env).Resolve()
	_, _, outside = caller(t.TempDir(), "", env).UserCache()
	if err := errors.Join(inTree, outside); err != nil {
		t.Errorf("shared: %v", err)
	}
}

// TestHome: a leading ~/ is HOME in whatever names a directory, and never the name of one.
func TestHome(t *testing.T) {
	root := buildtest.Tree(t, tree)
	c, err := caller(root, "", "BUILDSYS_LOOKASIDE_CACHE=https://a.invalid/~x,~/b "+
		"BUILDSYS_CACHE_FROM=dir:~/c BUILDSYS_CACHE_TO=~/d").Resolve()
	if err != nil || c.Sources.Lookaside[1] != filepath.Join(root, "b") ||
		c.Sources.Lookaside[0] != "https://a.invalid/~x" ||
		c.Remote.From[0].Dir != filepath.Join(root, "c") || c.Remote.To.Dir != filepath.Join(root, "d") {
		t.Errorf("%q, %+v, %v", c.Sources.Lookaside, c.Remote, err)
	}
	for setting, want := range map[string]string{
		"BUILDSYS_CACHE_DIR=~me/x":                                   "only ~/ stands for a directory",
		"BUILDSYS_CACHE_FROM=oci://h.x/r,~me":                        "only ~/ stands for a directory",
		"HOME= BUILDSYS_CACHE_DIR=/c BUILDSYS_LOOKASIDE_CACHE=~/x":   "HOME is not set, so ~",
		"HOME= BUILDSYS_CACHE_DIR=/c BUILDSYS_SBKEYS_PROFILE_DIR=~/": "HOME is not set",
	} {
		_, err := caller(root, "", setting).Resolve()
		if errkind.Of(err) != errkind.Usage || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a usage error with %q", setting, err, want)
		}
	}
}

// TestNoHome: a command that keeps nothing needs no cache directory; others say what is missing.
func TestNoHome(t *testing.T) {
	root := buildtest.Tree(t, tree)
	c := caller(root, "", "HOME=")
	if _, err := c.Resolve(); err == nil || !strings.Contains(err.Error(), "HOME is not set") {
		t.Errorf("a build: %v", err)
	}
	c.KeepsNothing = true
	if _, err := c.Resolve(); err != nil {
		t.Errorf("lint: %v", err)
	}
}

// TestPlacesForLogins checks that all places of caches may get logins: a tree names none, unless
// the caller trusts it.
func TestPlacesForLogins(t *testing.T) {
	const place = "oci+http://registry.invalid/x"
	dir := buildtest.Tree(t, tree+
		"BUILDSYS_CACHE_FROM = \""+place+"\"\nBUILDSYS_CACHE_TO = \""+place+"\"\n"+
		"BUILDSYS_LAYER_CACHE_TO = \""+place+"\"\n")
	for _, test := range []struct {
		flags, env string
		trust      bool
	}{
		{"", "", true},
		{"cache-from=" + place + " cache-to=" + place + " layer-cache-to=" + place, "", false},
		{"", "BUILDSYS_CACHE_FROM=" + place + " BUILDSYS_CACHE_TO=" + place +
			" BUILDSYS_LAYER_CACHE_TO=" + place, false},
	} {
		from := caller(dir, test.flags, test.env)
		from.TrustTree = test.trust
		c, err := from.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		if from, to, layers := c.Remote.From[0], c.Remote.To, c.Engine.Layers.To; !from.Named ||
			!to.Named || !layers.Named {
			t.Errorf("%+v: named %v, %v, %v", test, from.Named, to.Named, layers.Named)
		}
	}
}

// TestOnlyPlacesOfTheCallerMayBePrivate: a tree that names its lookaside cache does not reach the
// servers of the caller's network with it.
func TestOnlyPlacesOfTheCallerMayBePrivate(t *testing.T) {
	root := buildtest.Tree(t, tree+"BUILDSYS_LOOKASIDE_CACHE = \"http://10.0.0.1\"\n")
	for _, tt := range []struct {
		flags, env string
		want       bool
	}{
		{"", "", false},
		{"", "BUILDSYS_LOOKASIDE_CACHE=http://10.0.0.2", true},
		{"lookaside-cache=http://10.0.0.2", "", true},
	} {
		c, err := caller(root, tt.flags, tt.env).Resolve()
		if err != nil || c.Sources.PrivateLookaside != tt.want || c.Sources.Private {
			t.Errorf("flags %q, environment %q: %+v, %v", tt.flags, tt.env, c.Sources, err)
		}
	}
}

// TestSourcesOfForeignTrees: sources come from upstream unless that is switched off, and those of
// Bottlerocket's trees from the cache that their own program has by default.
func TestSourcesOfForeignTrees(t *testing.T) {
	foreign := tree + "-- Dockerfile --\nFROM scratch AS package\n"
	for _, tt := range []struct {
		tree, env string
		cache     bool
		upstream  bool
	}{
		{tree, "", false, true},
		{foreign, "", true, true},
		{foreign + "-- x --\n", "BUILDSYS_UPSTREAM_SOURCE_FALLBACK=false", true, false},
		{foreign, "BUILDSYS_LOOKASIDE_CACHE=/mine", false, true},
	} {
		c, err := caller(buildtest.Tree(t, tt.tree), "", tt.env).Resolve()
		if err != nil || slices.Contains(c.Sources.Lookaside, bottlerocketCache) != tt.cache ||
			c.Sources.Upstream != tt.upstream {
			t.Errorf("%q: %+v, %v", tt.env, c.Sources, err)
		}
	}
}
