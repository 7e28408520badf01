// Builds the sample OS of this repository and boots it, untouched and with one byte changed.

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/image"
	"buildsys/internal/vm"
)

// needVM checks that QEMU and the firmware for such a machine are there.
func needVM(t *testing.T, c vm.Config) {
	t.Helper()
	c.Image = os.DevNull // cannot be read as an image, so that nothing is started
	if _, err := vm.Check(t.Context(), c, vm.CheckOptions{}); errors.Is(err, vm.ErrMissing) {
		need.Missing(t, "images for %s cannot be booted: %v", c.Arch, err)
	}
}

// buildSample builds a variant of the sample OS in this checkout, so that existing results of CI or
// a developer are used.
func buildSample(t *testing.T, arch, variant string) (dir string) {
	t.Helper()
	r := buildsys(t, repository(t), nil, "build-variant", "--arch", arch, variant)
	r.must(t, 0)
	t.Log(r.stderr)
	return strings.TrimSpace(r.stdout)
}

// bootLimit is how long a boot may take under emulation on a machine with a load of twenty, where
// even the firmware's three seconds become a minute and a half.
const bootLimit = 30 * time.Minute

// boots is one way in which a variant must start.
type boots struct {
	variant string
	bios    bool
	console []string // what its console has, besides a verified root
}

// TestSampleOS builds the variants and boots each to its ready line, with UEFI and BIOS, from raw
// and qcow2.
func TestSampleOS(t *testing.T) {
	testSample(t, "x86_64",
		boots{variant: "qemu-dev", console: []string{"data: /dev/vda13 on /var (ext4, "}},
		boots{variant: "qemu-dev", bios: true},
		boots{variant: "qemu-prod", console: []string{"data: /dev/vdb1 on /var (ext4, "}},
		boots{variant: "qemu-lab", console: []string{"(xfs, ", "Load bootconfig: "}},
		boots{variant: "qemu-lab", bios: true, console: []string{"Load bootconfig: "}},
	)
}

// TestSampleOSAarch64 builds with the cross compiler, whatever this machine is, and boots under
// emulation.
func TestSampleOSAarch64(t *testing.T) {
	testSample(t, "aarch64", boots{variant: "qemu-dev"}, boots{variant: "qemu-lab",
		console: []string{"(xfs, ", "Load bootconfig: "}})
}

func testSample(t *testing.T, arch string, ways ...boots) {
	needEngine(t)
	needVM(t, vm.Config{Arch: arch})
	root := repository(t)
	before := staged(t, root)
	for _, way := range ways {
		name := way.variant + "/UEFI"
		flags := []string{"boot", "--arch", arch, "--accel", "tcg", "--check",
			"--timeout", bootLimit.String(),
			way.variant}
		if way.bios {
			name, flags = way.variant+"/BIOS", append(flags, "--bios")
		}
		t.Run(name, func(t *testing.T) {
			dir := buildSample(t, arch, way.variant)
			if link, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(dir), "latest")); err != nil ||
				link != dir {
				t.Errorf("latest leads to %s (%v), want %s", link, err, dir)
			}
			r := buildsys(t, root, nil, flags...)
			r.must(t, 0)
			if !strings.HasPrefix(r.stdout, "SKIFF READY") || !strings.Contains(r.stdout,
				way.variant+" "+arch) {
				t.Errorf("ready line %q, want one that names %s %s", r.stdout, way.variant, arch)
			}
			console, err := os.ReadFile(filepath.Join(root, "build/logs", arch, "boot-"+way.variant+".log"))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`root verified: sha256 [0-9a-f]{64}`).Match(console) {
				t.Errorf("the console does not say that the root is verified:\n%s", console)
			}
			for _, want := range way.console {
				if !strings.Contains(string(console), want) {
					t.Errorf("the console lacks %q:\n%s", want, console)
				}
			}
		})
	}
	noDebris(t, root, before...)
}

// TestFlippedByte changes one byte of ROOT-A: an image that boots untouched must then not get
// ready.
func TestFlippedByte(t *testing.T) {
	needEngine(t)
	needVM(t, vm.Config{Arch: "x86_64"})
	dir := buildSample(t, "x86_64", "qemu-dev")
	images, err := diskImages(dir)
	if err != nil || len(images) != 1 {
		t.Fatalf("images %q, %v; want one", images, err)
	}
	raw := expand(t, images[0])
	check := func() error {
		_, err := vm.Check(t.Context(), vm.Config{Arch: "x86_64", Image: raw}, vm.CheckOptions{
			Fail:    regexp.MustCompile(`Kernel panic|^SKIFF FAILED`),
			Timeout: bootLimit,
		})
		return err
	}
	if err := check(); err != nil {
		t.Fatalf("the untouched image does not boot: %v", err)
	}
	// Offset 1024 is the ext4 superblock, which mounting reads before anything else.
	flipByte(t, raw, "SKIFF-ROOT-A", 1024)
	err = check()
	if !errors.Is(err, vm.ErrReset) && !errors.Is(err, vm.ErrPanic) {
		t.Fatalf("with a byte of ROOT-A changed: %v; want a reset or a panic by dm-verity", err)
	}
	if !strings.Contains(err.Error(), "verity") {
		t.Errorf("the console does not mention verity:\n%v", err)
	}
}

// diskImages returns the raw images in a directory of outputs, without links to them.
func diskImages(dir string) ([]string, error) {
	images, err := filepath.Glob(filepath.Join(dir, "*.img.lz4"))
	return slices.DeleteFunc(images, func(file string) bool {
		info, err := os.Lstat(file)
		return err != nil || !info.Mode().IsRegular()
	}), err
}

// expand unpacks a compressed image into a separate sparse file.
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
