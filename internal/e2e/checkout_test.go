// A hostile checkout beside an honest one, on one machine: what it brings along, or has fetched
// from its own cache, is not used for the other, not kept for it and not shared.

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
)

// hostile is what somebody made to pass for the result of an honest tree.
type hostile struct {
	tree       string    // honest
	good, evil string    // RPMs of the package app, both by the same name
	checkout   string    // the same tree, with evil outputs and the record that vouches for them
	reg        *registry // with an evil result for the tree's key
}

// newHostile makes them on a machine of its own: nothing of it is in the cache directory that the
// caller sets afterwards.
func newHostile(t *testing.T) hostile {
	t.Helper()
	h := hostile{reg: startRegistry(t)}
	to := []string{"BUILDSYS_CACHE_TO=" + h.reg.place()}
	script := func(text string) string { return "echo " + text + " >%{buildroot}/app" }
	h.tree = writeTree(t, pkg{name: "app", script: script("good")})
	buildsys(t, h.tree, to, "build-package", "app").must(t, 0, "1 uploaded")
	h.good = rpmBytes(t, h.tree, "app")
	h.checkout = filepath.Join(t.TempDir(), "checkout")
	buildtest.Must(t, os.CopyFS(h.checkout, os.DirFS(h.tree)))

	other := writeTree(t, pkg{name: "app", script: script("evil")})
	buildsys(t, other, to, "build-package", "app").must(t, 0, "1 uploaded")
	h.evil = rpmBytes(t, other, "app")
	h.reg.forge(t, tagOf(t, h.tree, "app"), tagOf(t, other, "app"), filepath.Dir(rpms(t, other,
		"app")[0]))

	at := rpms(t, h.checkout, "app")[0]
	buildtest.Must(t, os.WriteFile(at, []byte(h.evil), 0o644))
	_, content, err := cache.ScanDir(filepath.Dir(at))
	buildtest.Must(t, err)
	states, err := filepath.Glob(filepath.Join(h.checkout, "build/state/*/package-app.state"))
	buildtest.Must(t, err)
	text, err := os.ReadFile(states[0])
	buildtest.Must(t, err)
	_, was, err := cache.ScanDir(filepath.Dir(rpms(t, h.tree, "app")[0]))
	buildtest.Must(t, err)
	forged := strings.Replace(string(text), was.String(), content.String(), 1)
	if forged == string(text) || h.good == h.evil {
		t.Fatalf("nothing was forged: %s", text)
	}
	buildtest.Must(t, os.WriteFile(states[0], []byte(forged), 0o644))
	return h
}

// shared fails the test unless another machine gets the good result from a registry.
func (h hostile) shared(t *testing.T, reg *registry) {
	t.Helper()
	root := machine(t, h.tree)
	buildsys(t, root, []string{"BUILDSYS_CACHE_FROM=" + reg.place(), noEngine}, "build-package",
		"app").must(t, 0, "app fetched from "+reg.place())
	if rpmBytes(t, root, "app") != h.good {
		t.Error("the other machine got the evil RPM")
	}
}

// TestCheckoutThatBringsOutputs: outputs and their record come with the checkout, as if this user
// had built them.
func TestCheckoutThatBringsOutputs(t *testing.T) {
	needEngine(t)
	h := newHostile(t)
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	reg := startRegistry(t)
	if rpmBytes(t, h.checkout, "app") != h.evil {
		t.Fatal("the checkout has no evil RPM")
	}
	r := buildsys(t, h.checkout, []string{"BUILDSYS_CACHE_TO=" + reg.place()}, "build-package", "app")
	r.must(t, 0, "1 of 1 step done", "1 uploaded")
	if rpmBytes(t, h.checkout, "app") != h.good {
		t.Error("the outputs that the checkout brought are used")
	}
	h.shared(t, reg)
}

// TestCheckoutWithACacheOfItsOwn: a run for the hostile checkout, which the caller trusts, has the
// evil result in the store that both checkouts share.
func TestCheckoutWithACacheOfItsOwn(t *testing.T) {
	needEngine(t)
	h := newHostile(t)
	root := machine(t, h.tree) // first, as it sets the cache directory
	write(t, h.checkout, "Makefile.toml", "[env]\nBUILDSYS_CACHE_FROM = \""+h.reg.place()+"\"\n")
	buildtest.Must(t, os.RemoveAll(filepath.Join(h.checkout, "build")))
	reg := startRegistry(t)
	to := []string{"BUILDSYS_CACHE_TO=" + reg.place()}
	buildsys(t, h.checkout, to, "build-package", "app").must(t, 2, "sets BUILDSYS_CACHE_FROM")
	for range 2 { // from the registry, then from the store
		buildsys(t, h.checkout, to, "build-package", "app", "--trust-tree").must(t, 0)
		if rpmBytes(t, h.checkout, "app") != h.evil {
			t.Fatal("the evil result did not come")
		}
		buildtest.Must(t, os.RemoveAll(filepath.Join(h.checkout, "build")))
	}
	buildsys(t, root, nil, "build-package", "app", "--release", "--require-cached").must(t, 3,
		"it is not cached")
	r := buildsys(t, root, to, "build-package", "app")
	r.must(t, 0, "is not used", h.reg.place(), "1 of 1 step done", "1 uploaded")
	if rpmBytes(t, root, "app") != h.good {
		t.Error("the evil result is used for the honest checkout")
	}
	h.shared(t, reg)
}

// TestCheckoutWithAnSDKOfItsOwn: the engine that both checkouts share has, under the name that the
// honest one wants, the image that a run for the hostile one fetched, and the store has a result of
// a step that ran in it.
func TestCheckoutWithAnSDKOfItsOwn(t *testing.T) {
	needEngine(t)
	const name = "buildsys.invalid/buildsys-test-origin-sdk:1"
	t.Cleanup(func() { removeImage(t, name) })
	evil, good := startRegistry(t), startRegistry(t)
	sdk := "BUILDSYS_SDK_IMAGE=" + name
	root, image := toolTree(t), toolRoot(t)
	removeImage(t, name)
	buildsys(t, root, []string{sdk, "BUILDSYS_CACHE_TO=" + evil.place()}, "sdk", "import",
		image).must(t, 0, "uploaded to "+evil.place())
	removeImage(t, name)

	checkout := machine(t, root)
	write(t, checkout, "Makefile.toml", "[env]\nBUILDSYS_CACHE_FROM = \""+evil.place()+"\"\n")
	buildsys(t, checkout, []string{sdk}, "sdk", "fetch").must(t, 2, "sets BUILDSYS_CACHE_FROM")
	buildsys(t, checkout, []string{sdk}, "sdk", "fetch", "--trust-tree").must(t, 0)
	buildsys(t, checkout, []string{sdk}, "sdk", "check", "--trust-tree").must(t, 0)

	buildsys(t, checkout, []string{sdk}, "build-package", "a", "--trust-tree").must(t, 0,
		"1 of 1 step done")

	to := []string{sdk, "BUILDSYS_CACHE_TO=" + good.place()}
	for _, args := range [][]string{{"sdk", "check"}, {"sdk", "check", "--release"},
		{"build-package", "a"}, {"build-package", "a", "--release"}} {
		buildsys(t, root, to, args...).must(t, 4, name, "was fetched from "+evil.place())
	}
	buildsys(t, root, append(to, noEngine), "build-package", "a").must(t, 4)
	if made := rpms(t, root, "a"); len(made) > 0 {
		t.Errorf("there are %q", made)
	}
	removeImage(t, name)
	buildsys(t, machine(t, root), []string{sdk, "BUILDSYS_CACHE_FROM=" + good.place()}, "sdk",
		"fetch").must(t, 4, "no remote cache")
}
