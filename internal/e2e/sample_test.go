// sample_test: builds the sample OS of this repository and boots it, untouched and with one byte changed.

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"buildsys/internal/image"
	"buildsys/internal/vm"
)

// needQEMU skips the test where images cannot be booted.
func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("no qemu-system-x86_64 (script/setup installs it)")
	}
}

// buildSample builds a variant of the sample OS in this checkout, so that what CI or a developer has built already is used.
func buildSample(t *testing.T, variant string) (dir string) {
	t.Helper()
	r := buildsys(t, repository(t), nil, "build-variant", "--arch", "x86_64", variant)
	r.must(t, 0)
	t.Log(r.stderr)
	return strings.TrimSpace(r.stdout)
}

// TestSampleOS builds both variants and boots each to its ready line.
func TestSampleOS(t *testing.T) {
	needEngine(t)
	needQEMU(t)
	root := repository(t)
	before := engineThings(t)
	for _, variant := range []string{"qemu-dev", "qemu-prod"} {
		t.Run(variant, func(t *testing.T) {
			dir := buildSample(t, variant)
			if link, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(dir), "latest")); err != nil || link != dir {
				t.Errorf("latest leads to %s (%v), want %s", link, err, dir)
			}
			r := buildsys(t, root, nil, "boot", "--arch", "x86_64", "--check", variant)
			r.must(t, 0)
			if !strings.HasPrefix(r.stdout, "SKIFF READY") || !strings.Contains(r.stdout, variant) {
				t.Errorf("ready line %q, want one that names %s", r.stdout, variant)
			}
			console, err := os.ReadFile(filepath.Join(root, "build/logs/x86_64/boot-"+variant+".log"))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`root verified: sha256 [0-9a-f]{64}`).Match(console) {
				t.Errorf("the console does not say that the root is verified:\n%s", console)
			}
		})
	}
	noDebris(t, root, before)
}

// TestFlippedByte changes one byte of ROOT-A: the same image that boots untouched must not get ready.
func TestFlippedByte(t *testing.T) {
	needEngine(t)
	needQEMU(t)
	dir := buildSample(t, "qemu-dev")
	images, err := filepath.Glob(filepath.Join(dir, "*.img.lz4"))
	if err != nil || len(images) != 1 {
		t.Fatalf("images %q, %v; want one", images, err)
	}
	raw := expand(t, images[0])
	check := func() error {
		_, err := vm.Check(t.Context(), vm.Config{Arch: "x86_64", Image: raw}, vm.CheckOptions{
			Fail:    regexp.MustCompile(`Kernel panic|^SKIFF FAILED`),
			Timeout: 5 * time.Minute,
		})
		return err
	}
	if err := check(); err != nil {
		t.Fatalf("the untouched image does not boot: %v", err)
	}
	// Offset 1024 is the ext4 superblock, which mounting reads before anything else.
	if err := image.FlipByte(raw, "SKIFF-ROOT-A", 1024); err != nil {
		t.Fatal(err)
	}
	err = check()
	if !errors.Is(err, vm.ErrReset) && !errors.Is(err, vm.ErrPanic) {
		t.Fatalf("with a byte of ROOT-A changed: %v; want a reset or a panic by dm-verity", err)
	}
	if !strings.Contains(err.Error(), "verity") {
		t.Errorf("the console does not speak of verity:\n%v", err)
	}
}

// expand unpacks a compressed image into a sparse file of its own.
func expand(t *testing.T, compressed string) string {
	t.Helper()
	src, err := os.Open(compressed)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(t.TempDir(), "os.img"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := image.ExpandLZ4(t.Context(), dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
	return dst.Name()
}
