package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"

	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/image"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
)

// TestReadBack checks what separates "the image is bad" (exit 5) from "the image cannot be read"
// (exit 4). Package image tests what a bad image is.
func TestReadBack(t *testing.T) {
	layout, err := image.ForVariant(manifest.ImageLayout{OSImageSizeGiB: 1, DataImageSizeGiB: 1,
		PartitionPlan: image.Split}, image.Form{InPlaceUpdates: true},
		image.Identity{Name: "tiny", Variant: "dev", Arch: "x86_64", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	step := plan.Step{ID: "variant/dev", Kind: plan.Variant, Layout: &layout,
		Solve: plan.Solve{Args: map[string]string{"IMAGE_NAME": "tiny-dev", "IMAGE_FORMAT": "raw"}}}
	dir, temp := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "tiny-dev.img.lz4")
	check := func(name, temp string, kind errkind.Kind, want ...string) {
		t.Helper()
		err := readBack(temp)(t.Context(), step, dir)
		failed := &executor.FailedError{Roots: []executor.StepResult{{ID: step.ID, Err: err}}}
		if got := errkind.Of(failed); err == nil || got != kind {
			t.Errorf("%s: kind %d, want %d (%v)", name, got, kind, err)
			return
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %q, want %q in it", name, err, text)
			}
		}
	}
	check("no image", temp, errkind.Integrity, `output "tiny-dev.img.lz4" of variant/dev`,
		"the build did not make it", "earlier outputs were kept")
	writeLZ4(t, file, make([]byte, 1<<20))
	check("wrong size", temp, errkind.Integrity, `output "tiny-dev.img.lz4" of variant/dev`,
		"os disk has 1048576 bytes", "(1024 MiB)")
	check("no room for temporary files", filepath.Join(temp, "none"), errkind.Environment,
		"variant/dev: cannot read the image back", "no such file")
	if err := os.Truncate(file, 20); err != nil {
		t.Fatal(err)
	}
	check("torn", temp, errkind.Integrity, "unexpected EOF")
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted by the test")
	cancel(stop)
	if err := readBack(temp)(ctx, step, dir); !errors.Is(err, stop) {
		t.Errorf("cancelled: error %v", err)
	}
	step.Layout = nil
	if err := readBack(temp)(t.Context(), step, dir); err != nil {
		t.Errorf("a step without a layout: %v", err)
	}
}

func writeLZ4(t *testing.T, file string, data []byte) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := lz4.NewWriter(f)
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
