// Every image format and feature on a real engine, checked by the programs that define the formats.

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/image"
)

// imageTree writes testdata/images.txtar, with an empty cache for the rest of the test.
func imageTree(t *testing.T) string {
	t.Helper()
	needEngine(t)
	archive, err := txtar.ParseFile("testdata/images.txtar")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	for _, f := range archive.Files {
		write(t, root, f.Name, string(f.Data))
	}
	return root
}

// tool runs another program and fails the test if it finds faults.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need.Program(t, name), args...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// buildImage builds a variant and returns its outputs' directory.
func buildImage(t *testing.T, root, arch, variant string) string {
	t.Helper()
	r := buildsys(t, root, nil, "build-variant", "--arch", arch, variant)
	r.must(t, 0)
	if r.code != 0 {
		t.FailNow()
	}
	return strings.TrimSpace(r.stdout)
}

// reproducible checks that every file of every format is the same to the byte when built again in
// surroundings that must not matter. The line in the log announces them, umask and time zone too,
// but the recipe sets its own (tools/lib/prelude), so the test looks for the others alone.
func reproducible(t *testing.T, root, arch, variant string) {
	t.Helper()
	r := buildsys(t, root, nil, "build-variant", "--verify-reproducible", "--arch", arch, variant)
	r.must(t, 0)
	if want := variant + " is reproducible\n"; r.stdout != want {
		t.Errorf("got %q, want %q", r.stdout, want)
	}
	log, err := os.ReadFile(filepath.Join(root, "build/logs", arch, "second-build-"+variant+".log"))
	varied := regexp.MustCompile(
		`varied: elsewhere\.buildsys\.invalid, .*CPU \d+, .*FAKETIME=\+400d.*readdir\.so\n`)
	if err != nil || !varied.Match(log) {
		t.Errorf("the surroundings were not varied (%v):\n%s", err, log)
	}
}

func TestImageFormats(t *testing.T) {
	root := imageTree(t)
	for _, arch := range []string{"x86_64", "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			t.Run("raw", func(t *testing.T) { testRaw(t, root, arch) })
			t.Run("qcow2", func(t *testing.T) { testQcow2(t, root, arch) })
			t.Run("ova", func(t *testing.T) { testOVA(t, root, arch) })
			t.Run("uki", func(t *testing.T) { testUKI(t, root, arch) })
			for _, rpm := range rpms(t, root, "tiny") {
				tool(t, "rpm", "-K", "--nosignature", rpm)
			}
		})
	}
}

// checkESP requires what a package has put beside EFI/BOOT.
func checkESP(t *testing.T, file string) {
	t.Helper()
	for _, name := range []string{"::/startup.nsh", "::/EFI/Acme/setup.txt"} {
		if text := tool(t, "mtype", "-i", file, name); text != "for the firmware\n" {
			t.Errorf("%s has %q", name, text)
		}
	}
}

func testRaw(t *testing.T, root, arch string) {
	dir := buildImage(t, root, arch, "try-raw")
	stem := filepath.Join(dir, "tiny-try-raw-"+arch+"-1.2.3-abc")
	want := []string{"-boot.ext4.lz4", "-data.img.lz4", "-kmod-kit.tar.xz", "-migrations.tar",
		"-root.ext4.lz4", "-root.verity.lz4", ".img.lz4"}
	if got := outputs(t, dir, filepath.Base(stem)); !slices.Equal(got, want) {
		t.Errorf("outputs %q\nwant %q", got, want)
	}
	for _, name := range []string{"tiny-try-raw-" + arch + ".img.lz4", "tiny-try-raw-" + arch +
		"-v1.2.3-data.img.lz4", "tiny-try-raw-" + arch + "-1.2.3-root.verity.lz4"} {
		if target, err := os.Readlink(filepath.Join(dir, name)); err != nil ||
			!strings.HasPrefix(target, filepath.Base(stem)) {
			t.Errorf("%s leads to %q: %v", name, target, err)
		}
	}
	if list := tool(t, "tar", "-tJf", stem+"-kmod-kit.tar.xz"); !strings.Contains(list,
		"try-raw-"+arch+"-kmod-kit-v1.2.3/kernel-devel/include/config.h\n") {
		t.Errorf("the kmod kit holds\n%s", list)
	}
	disk := expand(t, stem+".img.lz4")
	parts := splitDisk(t, disk)
	tool(t, "e2fsck", "-fn", parts["TINY-ROOT-A"])
	tool(t, "e2fsck", "-fn", parts["TINY-BOOT-A"])
	tool(t, "e2fsck", "-fn", parts["TINY-PRIVATE"])
	tool(t, "fsck.fat", "-n", parts["EFI-SYSTEM"])
	checkESP(t, parts["EFI-SYSTEM"])
	verify(t, disk, parts)
	tool(t, "e2fsck", "-fn", splitDisk(t, expand(t, stem+"-data.img.lz4"))["TINY-DATA-B"])
	testBIOS(t, disk, arch == "x86_64")
	reproducible(t, root, arch, "try-raw")
	if got := installed(t, dir); !slices.Equal(got, []string{"metadata", "tiny", "tiny-plain"}) {
		t.Errorf("installed: %q", got)
	}
}

func testQcow2(t *testing.T, root, arch string) {
	dir := buildImage(t, root, arch, "try-qcow")
	file := filepath.Join(dir, "tiny-try-qcow-"+arch+"-1.2.3-abc.qcow2")
	reproducible(t, root, arch, "try-qcow")
	tool(t, "qemu-img", "check", file)
	disk := filepath.Join(t.TempDir(), "disk")
	tool(t, "qemu-img", "convert", "-O", "raw", file, disk)
	parts := splitDisk(t, disk)
	tool(t, "fsck.erofs", parts["TINY-ROOT-A"])
	tool(t, "xfs_repair", "-n", "-f", parts["TINY-DATA-A"])
	verify(t, disk, parts)
	if parts["TINY-ROOT-B"] != "" {
		t.Error("there is a second bank without in-place updates")
	}
	if got := installed(t, dir); !slices.Equal(got, []string{"metadata", "tiny", "tiny-bootconfig",
		"tiny-fips"}) {
		t.Errorf("installed: %q", got)
	}
	config := tool(t, "debugfs", "-R", "cat grub/grub.cfg", parts["TINY-BOOT-A"])
	for _, want := range []string{"linux ($root)/vmlinuz console=ttyS0 bootconfig root=",
		"initrd ($private)/bootconfig.data", "--set=private "} {
		if !strings.Contains(config, want) {
			t.Errorf("grub.cfg lacks %q:\n%s", want, config)
		}
	}
	if data := tool(t, "debugfs", "-R", "cat bootconfig.data",
		parts["TINY-PRIVATE"]); !strings.Contains(data, "tiny.setting = 1") ||
		!strings.HasSuffix(data, "#BOOTCONFIG\n") {
		t.Errorf("bootconfig.data is %q", data)
	}
	if list := tool(t, "debugfs", "-R", "ls", parts["TINY-BOOT-A"]); !strings.Contains(list,
		".vmlinuz.hmac") || strings.Contains(list, "boot-config.d") {
		t.Errorf("BOOT-A holds %s", list)
	}
}

func testOVA(t *testing.T, root, arch string) {
	dir := buildImage(t, root, arch, "try-ova")
	reproducible(t, root, arch, "try-ova")
	stem := "tiny-try-ova-" + arch + "-1.2.3-abc"
	for _, disk := range []string{".vmdk", "-data.vmdk"} {
		tool(t, "qemu-img", "check", filepath.Join(dir, stem+disk))
	}
	unpacked := t.TempDir()
	tool(t, "tar", "-xf", filepath.Join(dir, stem+".ova"), "-C", unpacked)
	list := tool(t, "tar", "-tf", filepath.Join(dir, stem+".ova"))
	if want := stem + ".ovf\n" + stem + ".mf\n" + stem + ".vmdk\n" + stem +
		"-data.vmdk\n"; list != want {
		t.Errorf("the appliance holds\n%swant\n%s", list, want)
	}
	sums, err := os.ReadFile(filepath.Join(unpacked, stem+".mf"))
	if err != nil {
		t.Fatal(err)
	}
	// "SHA256(name)= digest" becomes sha256sum's format.
	lines := regexp.MustCompile(`SHA256\((.*)\)= (\w+)`).ReplaceAllString(string(sums),
		"$2  "+unpacked+"/$1")
	write(t, unpacked, "sums", lines)
	tool(t, "sha256sum", "--check", "--strict", filepath.Join(unpacked, "sums"))
	ovf, err := os.ReadFile(filepath.Join(unpacked, stem+".ovf"))
	if err != nil || !strings.Contains(string(ovf),
		`<Disk capacity="1073741824"/> <Disk capacity="8589934592"/>`) {
		t.Errorf("the description is %v\n%s", err, ovf)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	tool(t, "qemu-img", "convert", "-O", "raw", filepath.Join(unpacked, stem+".vmdk"), disk)
	verify(t, disk, splitDisk(t, disk))
	buildsys(t, root, nil, "inspect", filepath.Join(dir, stem+".ova")).must(t, 0)
}

// TestRefusedImages checks that an image that does not fit or is impossible is rejected by name and
// size, and the earlier image stays.
func TestRefusedImages(t *testing.T) {
	root := imageTree(t)
	before := sums(t, buildImage(t, root, "x86_64", "try-raw"))
	const manifest, small = "variants/try-raw/Cargo.toml", "image-layout = { os-image-size-gib = 1 }"
	data, err := os.ReadFile(filepath.Join(root, manifest))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, included, setting string
		code                    int
		want                    []string
	}{
		{"root", `"tiny", "big-root"`, small, 3, []string{
			"the root file system does not fit into partition ROOT-A of variant try-raw: it needs 478 " +
				"MiB, 460 MiB are available", "os-image-size-gib"}},
		{"BOOT", `"tiny", "big-boot"`, small, 3, []string{
			"its file system does not fit into partition BOOT-A of variant try-raw: it needs ",
			"20 MiB are available"}},
		{"ESP", `"tiny", "big-esp"`, small, 3, []string{
			"the content of esp does not fit into partition EFI-A of variant try-raw: it needs 7 MiB, 5 " +
				"MiB are available", "make the boot loader smaller"}},
		{"kernel parameter", `"tiny"`, `kernel-parameters = ["a=\nb"]`, 2,
			[]string{manifest + `:5: kernel parameter "a=\nb" has a character`}},
		{"template", `"tiny"`, `image-format = "vmdk"`, 2,
			[]string{"there is no variants/try-raw/template.ovf"}},
		{"feature", `"tiny"`, `image-features = { fip = true }`, 2,
			[]string{manifest + `:5: unknown image feature "fip"; did you mean "fips"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(data), `["tiny"]`, fmt.Sprintf("[%s]\n%s", tt.included,
				tt.setting), 1)
			write(t, root, manifest, text+"big = { path = \"../../packages/big\" }\n")
			buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-raw").must(t, tt.code,
				tt.want...)
			if after := sums(t, filepath.Join(root,
				"build/images/x86_64-try-raw/latest")); !maps.Equal(after, before) {
				t.Errorf("the image from before is now %v\nit was %v", after, before)
			}
		})
	}
}

// sums returns the hash of every file in a directory.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range outputs(t, dir, "") {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return all
}

// outputs returns what follows stem in the names of outputs that begin with it.
func outputs(t *testing.T, dir, stem string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, stem+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = strings.TrimPrefix(filepath.Base(f), stem)
	}
	slices.Sort(files)
	return files
}

// splitDisk has sgdisk check a raw disk and copies its partitions into separate files, by label.
func splitDisk(t *testing.T, disk string) map[string]string {
	t.Helper()
	if out := tool(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	_, entries := openDisk(t, disk)
	dir, parts := t.TempDir(), map[string]string{}
	for _, e := range entries {
		if e.Label == "" {
			continue
		}
		parts[e.Label] = filepath.Join(dir, e.Label)
		tool(t, "dd", "if="+disk, "of="+parts[e.Label], "bs=1M", "conv=sparse",
			"iflag=skip_bytes,count_bytes", "status=none",
			fmt.Sprint("skip=", e.Start), fmt.Sprint("count=", e.Size))
		if err := os.Truncate(parts[e.Label], e.Size); err != nil {
			t.Fatal(err)
		}
	}
	return parts
}

// verify has veritysetup check ROOT-A against HASH-A and the hash that our own reader finds.
func verify(t *testing.T, disk string, parts map[string]string) {
	t.Helper()
	r := buildsys(t, t.TempDir(), nil, "inspect", "--json", disk)
	var report struct{ Images []image.Report }
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || len(report.Images) != 1 ||
		len(report.Images[0].Roots) != 1 {
		t.Fatalf("inspect: %v\n%s%s", err, r.stdout, r.stderr)
	}
	if faults := report.Images[0].Faults; len(faults) > 0 {
		t.Errorf("faults: %q", faults)
	}
	tool(t, "veritysetup", "verify", parts["TINY-ROOT-A"], parts["TINY-HASH-A"],
		report.Images[0].Roots[0].RootHash)
}

// testBIOS checks what a BIOS starts: the code in the MBR must lead to the BIOS boot partition, and
// its first sector to its second.
func testBIOS(t *testing.T, disk string, want bool) {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mbr, core := make([]byte, 512), make([]byte, 512)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(core, 1<<20); err != nil {
		t.Fatal(err)
	}
	if !want {
		if mbr[0] != 0 || core[0] != 0 {
			t.Error("there is code for a BIOS")
		}
		return
	}
	if got := [...]byte{mbr[0], mbr[0x5c], mbr[0x5d], mbr[0x5e], mbr[0x66], mbr[439],
		mbr[510]}; got != [...]byte{'M', 0, 8, 0, 0x90, 'M', 0x55} {
		t.Errorf("the MBR has %x", got)
	}
	if got := [...]byte{core[0], core[500], core[501], core[507], core[508]}; got != [...]byte{'C', 1,
		8, 0, 'C'} {
		t.Errorf("the BIOS boot partition has %x", got)
	}
}

// installed returns the names in the application inventory.
func installed(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "application-inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	var inventory struct{ Content []struct{ Name string } }
	if err := json.Unmarshal(data, &inventory); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, c := range inventory.Content {
		names = append(names, c.Name)
	}
	return names
}
