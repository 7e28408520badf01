package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/cachedir"
	"buildsys/internal/plan"
)

// TestImagesOfTheCheckout has an image that was built here, and then another in its place with the
// record of the first: repack-variant and boot refuse it.
func TestImagesOfTheCheckout(t *testing.T) {
	root, out := t.TempDir(), silent{}
	s := &Session{c: Config{Root: root, Arch: "x86_64", Variant: "v",
		CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir())}},
		dir: builddir.Dir{Root: root, Arch: "x86_64"}, out: out}
	dir := filepath.Join(s.dir.Images("v"), "1.0")
	image := filepath.Join(dir, "v.img.lz4")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(dir, 0o755))
	must(os.WriteFile(image, []byte("ours"), 0o644))
	must(os.Symlink("1.0", s.latestDir()))
	store, err := s.openStore(out)
	must(err)
	var key cache.Transcript
	key.Add("x", "y")
	e, err := store.Put(cache.Entry{Action: key.ID(), Step: "variant/v x86_64",
		Transcript: key.String()}, dir, "")
	must(err)
	state := builddir.State{Action: e.Action, Content: e.Content, Transcript: e.Transcript}
	must(builddir.WriteState("", s.dir.State(), string(plan.Variant)+"/v", state))
	if _, err := s.RepackSource(t.Context(), "", ""); err != nil {
		t.Errorf("what was built here: %v", err)
	}
	if system, _, err := s.BootImage(t.Context(), ""); err != nil ||
		filepath.Base(system) != "v.img.lz4" {
		t.Errorf("what was built here: %s, %v", system, err)
	}
	must(os.WriteFile(image, []byte("theirs"), 0o644))
	if _, _, err := s.BootImage(t.Context(), ""); err == nil ||
		!strings.Contains(err.Error(), "none that this user has made") {
		t.Errorf("another image: %v", err)
	}
	if system, _, err := s.BootImage(t.Context(), dir); err != nil || system != image {
		t.Errorf("one that is named: %s, %v", system, err)
	}
	if _, _, err := s.BootImage(t.Context(), root); err == nil {
		t.Error("a directory without an image is accepted")
	}
	if _, err := s.RepackSource(t.Context(), "", ""); err == nil ||
		!strings.Contains(err.Error(), "none that this user has made") {
		t.Errorf("another image: %v", err)
	}
	if _, err := s.RepackSource(t.Context(), dir, ""); err != nil {
		t.Errorf("one that is named: %v", err)
	}
}
