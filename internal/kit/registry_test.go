// registry_test: a kit goes through a real registry, Debian's docker-registry.

package kit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
	"buildsys/internal/remote"
)

// publish copies a layout to a registry, as skopeo would.
func publish(t *testing.T, dir, address, name, tag string) {
	t.Helper()
	from, err := oci.NewFromFS(t.Context(), os.DirFS(filepath.Join(dir, name)))
	must(t, err)
	to, err := orasremote.NewRepository(address + "/acme/" + name)
	must(t, err)
	to.PlainHTTP = true
	_, err = oras.Copy(t.Context(), from, tag, to, tag, oras.DefaultCopyOptions)
	must(t, err)
}

func TestRegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	registry := buildtest.NewRegistry(t)
	address := registry.Address
	dir := t.TempDir()
	makeKit(t, dir, "base-kit", "1.0.0", "x86_64")
	packed := makeKit(t, dir, "base-kit", "1.0.0", "aarch64")
	publish(t, dir, address, "base-kit", "v1.0.0")
	tr, store := tree(address+"/acme", image("base-kit", "1.0.0")), Store{t.TempDir()}
	tr.Limits = remote.Limits{Attempts: 1, Backoff: time.Millisecond}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	if lock.Kits[0].Digest != packed.Digest || lock.Kits[0].Source != address+"/acme/base-kit:v1.0.0" {
		t.Errorf("lock\n%s", lock.Format())
	}
	for _, arch := range []string{"x86_64", "aarch64"} {
		must(t, tr.Fetch(t.Context(), store, lock, arch, quiet, quiet))
		kits, err := tr.Installed(t.Context(), store, lock, arch)
		must(t, err)
		if got := kits[0].Packages()[1].RPMs[0]; got != "base-kit-b-1.0-1."+arch+".rpm" {
			t.Errorf("for %s: %s", arch, got)
		}
	}

	// Another image is pushed under the same tag.
	other := t.TempDir()
	makeKit(t, other, "base-kit", "1.0.0", "x86_64")
	publish(t, other, address, "base-kit", "v1.0.0")
	err = tr.Fetch(t.Context(), store, lock, "x86_64", quiet, quiet)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != errkind.Integrity ||
		!strings.Contains(err.Error(), runUpdate) {
		t.Errorf("a tag that was moved: %v", err)
	}
	wrong := tree(address+"/acme", image("base-kit", "1.2.0"))
	_, err = wrong.Resolve(t.Context(), nil, true, quiet)
	if err == nil || err.Error() != "kit base-kit 1.2.0 of vendor acme: there is no such version; "+
		"available: v1.0.0" {
		t.Errorf("a version that is not there: %v", err)
	}

	// Without the registry, kits on this machine are used, and missing ones are reported.
	registry.Stop()
	warned := ""
	must(t, tr.Fetch(t.Context(), store, lock, "x86_64", quiet, func(text string) { warned = text }))
	if !strings.Contains(warned, "does not answer") {
		t.Errorf("warned %q", warned)
	}
	err = tr.Fetch(t.Context(), Store{t.TempDir()}, lock, "x86_64", quiet, quiet)
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != errkind.Environment {
		t.Errorf("without registry and kit: %v", err)
	}
}

// TestPublish: a kit is published once with all architectures, what is there is not sent again, and
// a tag that leads elsewhere is moved only when that is asked for.
func TestPublish(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	registry := buildtest.NewRegistry(t)
	dir, kit := t.TempDir(), image("base-kit", "1.0.0")
	makeKit(t, dir, kit.Name, kit.Version, "x86_64")
	packed := makeKit(t, dir, kit.Name, kit.Version, "aarch64")
	layout, made := filepath.Join(dir, kit.Name), madeBelow(dir)
	place := remote.Location{Host: registry.Address, Repo: "acme/base-kit", Plain: true, Named: true}
	to, err := remote.OpenImages(place, remote.Limits{Attempts: 1, Backoff: time.Millisecond})
	must(t, err)
	defer to.Close()
	first, err := Publish(t.Context(), layout, kit, made, to, false)
	must(t, err)
	if strings.Join(first.Arches, " ") != "aarch64 x86_64" || first.There || first.Sent == 0 ||
		first.Locked != packed.Digest {
		t.Errorf("first %+v", first)
	}
	again, err := Publish(t.Context(), layout, kit, made, to, false)
	must(t, err)
	if !again.There || again.Digest != first.Digest {
		t.Errorf("again %+v", again)
	}
	tr, store := tree(registry.Address+"/acme", kit), Store{t.TempDir()}
	lock, err := tr.Resolve(t.Context(), nil, true, quiet)
	must(t, err)
	for _, arch := range []string{"x86_64", "aarch64"} {
		must(t, tr.Fetch(t.Context(), store, lock, arch, quiet, quiet))
	}
	other := t.TempDir()
	makeKit(t, other, kit.Name, kit.Version, "x86_64", image("more-kit", "1.0.0"))
	_, err = Publish(t.Context(), filepath.Join(other, kit.Name), kit, madeBelow(other), to, false)
	if errkind.Of(err) != errkind.Usage || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("another image: %v", err)
	}
	moved, err := Publish(t.Context(), filepath.Join(other, kit.Name), kit, madeBelow(other), to, true)
	if err != nil || moved.Digest == first.Digest {
		t.Errorf("replaced: %+v, %v", moved, err)
	}
	_, err = Publish(t.Context(), layout, image("base-kit", "2.0.0"), made, to, false)
	if errkind.Of(err) != errkind.Usage || !strings.Contains(err.Error(), "build-kit base-kit") {
		t.Errorf("another version: %v", err)
	}
}

// TestKitsOfACheckout: a checkout may bring a layout with stamps that say what a build would.
func TestKitsOfACheckout(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	registry := buildtest.NewRegistry(t)
	dir, kit := t.TempDir(), image("base-kit", "1.0.0")
	makeKit(t, dir, kit.Name, kit.Version, "aarch64")
	theirs := makeKit(t, dir, kit.Name, kit.Version, "x86_64")
	must(t, os.RemoveAll(madeBelow(dir).Dir)) // another user has made it
	place := remote.Location{Host: registry.Address, Repo: "acme/base-kit", Plain: true, Named: true}
	to, err := remote.OpenImages(place, remote.Limits{Attempts: 1, Backoff: time.Millisecond})
	must(t, err)
	defer to.Close()
	_, err = Publish(t.Context(), filepath.Join(dir, kit.Name), kit, madeBelow(dir), to, false)
	if errkind.Of(err) != errkind.Usage || !strings.Contains(err.Error(), "has not made") {
		t.Errorf("published: %v", err)
	}
	ours := makeKit(t, dir, kit.Name, kit.Version, "x86_64")
	if strings.Join(theirs.Arches, " ") != "aarch64 x86_64" || strings.Join(ours.Arches,
		" ") != "x86_64" || ours.Other != "aarch64" {
		t.Errorf("of theirs, %+v, this has stayed: %+v", theirs, ours)
	}
	_, err = Publish(t.Context(), filepath.Join(dir, kit.Name), kit, madeBelow(dir), to, false)
	must(t, err)
}
