// sample_test: builds the sample OS of this repository and boots it, untouched and with one byte changed.

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"buildsys/internal/image"
	"buildsys/internal/vm"
)

// needQEMU skips the test where images of the architecture cannot be booted.
func needQEMU(t *testing.T, arch string) {
	t.Helper()
	if err := vm.Available(arch); err != nil {
		t.Skipf("images for %s cannot be booted (script/setup installs what is missing): %v", arch, err)
	}
}

// buildSample builds a variant of the sample OS in this checkout, so that what CI or a developer has built already is used.
func buildSample(t *testing.T, arch, variant string) (dir string) {
	t.Helper()
	r := buildsys(t, repository(t), nil, "build-variant", "--arch", arch, variant)
	r.must(t, 0)
	t.Log(r.stderr)
	return strings.TrimSpace(r.stdout)
}

// TestSampleOS builds both variants and boots each to its ready line.
func TestSampleOS(t *testing.T) {
	testSample(t, "x86_64", "qemu-dev", "qemu-prod")
}

// TestSampleOSAarch64 builds with the cross compiler, whatever this machine is, and boots under emulation. It doubles the
// time of a cold run, and its image has not been seen to get ready yet: so it runs only on request.
func TestSampleOSAarch64(t *testing.T) {
	if os.Getenv("BUILDSYS_TEST_AARCH64") == "" {
		t.Skip("BUILDSYS_TEST_AARCH64 is not set: the aarch64 image takes as long as the x86_64 one")
	}
	testSample(t, "aarch64", "qemu-dev", "qemu-prod")
}

func testSample(t *testing.T, arch string, variants ...string) {
	needEngine(t)
	needQEMU(t, arch)
	root := repository(t)
	before := engineThings(t)
	for _, variant := range variants {
		t.Run(variant, func(t *testing.T) {
			dir := buildSample(t, arch, variant)
			if link, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(dir), "latest")); err != nil || link != dir {
				t.Errorf("latest leads to %s (%v), want %s", link, err, dir)
			}
			r := buildsys(t, root, nil, "boot", "--arch", arch, "--check", variant)
			r.must(t, 0)
			if !strings.HasPrefix(r.stdout, "SKIFF READY") || !strings.Contains(r.stdout, variant+" "+arch) {
				t.Errorf("ready line %q, want one that names %s %s", r.stdout, variant, arch)
			}
			console, err := os.ReadFile(filepath.Join(root, "build/logs", arch, "boot-"+variant+".log"))
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
	needQEMU(t, "x86_64")
	dir := buildSample(t, "x86_64", "qemu-dev")
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
