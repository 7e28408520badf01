package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"

	"buildsys/internal/buildtest/need"
)

// builtImage returns a finished OS disk with a FAT, three ext4 and a hash tree, made like those of
// rpm2img but smaller.
func builtImage(t *testing.T, l Layout) string {
	t.Helper()
	for _, program := range []string{"sgdisk", "veritysetup", "mke2fs", "mkfs.vfat"} {
		need.Program(t, program)
	}
	file := partitionWithSgdisk(t, l, OSDisk)
	part := func(key string) Partition { p, _ := l.Partition(key); return p }

	root := blank(t, "root", 8*mib)
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", part("ROOT-A").FSUUID, root)
	hash, rootHash := formatWithVeritysetup(t, root, l.Salt, l.VerityUUID)

	grub := t.TempDir()
	writeTree(t, grub, map[string]string{
		"vmlinuz": "kernel",
		"grub/grub.cfg": fmt.Sprintf(`set timeout=0
probe --part-uuid --set=boot_uuid $root
set dm_verity_root="root,,,ro,0 16384 verity 1 PARTUUID=$boot_uuid/PARTNROFF=1 PARTUUID=$boot_uuid/PARTNROFF=2 4096 4096 2048 1 sha256 %s %s 2 ignore_zero_blocks"
menuentry "Skiff" {
  linux ($root)/vmlinuz console=ttyS0 root=/dev/dm-0 dm-mod.create="$dm_verity_root"
}
`, rootHash, l.Salt),
	})
	boot := blank(t, "boot", part("BOOT-A").SizeMiB*mib)
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-U", part("BOOT-A").FSUUID, "-d", grub, boot)
	efi := blank(t, "efi", part("EFI-A").SizeMiB*mib)
	run(t, "mkfs.vfat", "-i", part("EFI-A").FSUUID[:8], efi)

	for key, contents := range map[string]string{"ROOT-A": root, "HASH-A": hash, "BOOT-A": boot,
		"EFI-A": efi} {
		put(t, file, part(key).StartMiB*mib, contents)
	}
	return file
}

// writeTree writes files and their directories.
func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// put copies a file into an image.
func put(t *testing.T, img string, off int64, contents string) {
	t.Helper()
	b, err := os.ReadFile(contents)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, img, func(f *os.File) {
		if _, err := f.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	})
}

func edit(t *testing.T, img string, change func(*os.File)) {
	t.Helper()
	f, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	change(f)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	l := sample(t, Split, true, sampleID())
	img := builtImage(t, l)
	if err := CheckFile(t.Context(), img, "", l, OSDisk, nil); err != nil {
		t.Fatalf("a good image: %v", err)
	}
	at := func(key string) int64 { p, _ := l.Partition(key); return p.StartMiB * mib }
	oversized := filepath.Join(t.TempDir(), "oversized")
	if err := os.WriteFile(oversized, nil, 0o600); err != nil ||
		os.Truncate(oversized, 461*mib) != nil {
		t.Fatal(err)
	}
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", oversized)
	tests := []struct {
		name string
		off  int64
		b    []byte
		want string
	}{
		{"byte of the root file system", at("ROOT-A") + 5*mib, []byte{1},
			"partition ROOT-A: does not verify: data: block 1280 (byte 5242880) has hash"},
		{"root file system larger than its partition", at("ROOT-A"), head(t, oversized, 4096),
			"partition ROOT-A: its ext4 file system needs 461 MiB, but 460 MiB are available"},
		{"file system UUID", at("BOOT-A") + 1024 + 0x68, []byte{0xff},
			"partition BOOT-A: its ext4 file system has UUID ff"},
		{"no FAT", at("EFI-A") + 510, []byte{0}, "partition EFI-A: holds no known file system"},
		{"salt", at("HASH-A") + 88, []byte{1}, "partition HASH-A: the salt is 01"},
		{"no tree", at("HASH-A"), []byte{0}, "partition HASH-A: no verity superblock"},
		{"data blocks", at("HASH-A") + 74, []byte{2},
			"partition ROOT-A: the data under the hash tree needs 520 MiB, but 460 MiB are available"},
		{"partition table", sector + 60, []byte{0},
			"os disk: primary GPT: header in sector 1 has checksum"},
	}
	for _, test := range tests {
		edit(t, img, func(f *os.File) {
			old := make([]byte, len(test.b))
			if _, err := f.ReadAt(old, test.off); err != nil {
				t.Fatal(err)
			}
			f.WriteAt(test.b, test.off)
			err := CheckFile(t.Context(), img, "", l, OSDisk, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: error %v, want %q in it", test.name, err, test.want)
			}
			f.WriteAt(old, test.off)
		})
	}
	other := sample(t, Split, true, Identity{Name: "skiff", Variant: "qemu-prod", Arch: "x86_64",
		Version: "0.1.0"})
	if err := CheckFile(t.Context(), img, "", other, OSDisk, nil); err == nil ||
		!strings.Contains(err.Error(), "partition BIOS: GUID is ") {
		t.Errorf("an image with other identifiers: error %v", err)
	}
	if err := CheckFile(t.Context(), img, "", l, "floppy", nil); err == nil {
		t.Error("a disk that the layout lacks: no error")
	}
	small := sample(t, Unified, true, sampleID())
	if err := CheckFile(t.Context(), img, "", small, OSDisk, nil); err == nil ||
		!strings.Contains(err.Error(), "the layout says 2147483648 (2048 MiB)") {
		t.Errorf("an image of another size: error %v", err)
	}
}

func head(t *testing.T, file string, n int) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(f, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFileSystemSizes compares the superblock reader with the programs that write superblocks.
func TestFileSystemSizes(t *testing.T) {
	tests := []struct {
		program string
		args    []string
		kind    string
	}{
		{"mke2fs", []string{"-q", "-t", "ext4"}, "ext4"},
		{"mke2fs", []string{"-q", "-t", "ext4", "-O", "^64bit,^has_journal", "-b", "1024"}, "ext4"},
		{"mkfs.vfat", nil, "vfat"},
		{"mkfs.vfat", []string{"-F", "32"}, "vfat"},
	}
	for _, test := range tests {
		const size = 40 * mib
		file := blank(t, "fs", size)
		run(t, test.program, append(test.args, file)...)
		fs, err := ReadFileSystem(bytes.NewReader(head(t, file, 4096)))
		if err != nil || fs.Kind != test.kind || fs.Size != size {
			t.Errorf("%s %v: got %+v, %v", test.program, test.args, fs, err)
		}
	}
	if fs, err := ReadFileSystem(bytes.NewReader(make([]byte, 4096))); err != nil || fs.Kind != "" {
		t.Errorf("zeros: got %+v, %v", fs, err)
	}
}

func FuzzReadFileSystem(f *testing.F) {
	super := make([]byte, 4096)
	super[1024+0x38], super[1024+0x39] = 0x53, 0xef
	f.Add(super)
	f.Fuzz(func(t *testing.T, b []byte) {
		if fs, err := ReadFileSystem(bytes.NewReader(b)); err == nil && fs.Size < 0 {
			t.Errorf("accepted %+v", fs)
		}
	})
}

func TestExpandLZ4KeepsHoles(t *testing.T) {
	want := make([]byte, 64*mib+123)
	copy(want[3*mib+1:], "data between holes")
	want[len(want)-1] = 1
	for _, end := range []byte{1, 0} { // a hole at the end must not shorten the file
		want[len(want)-1] = end
		var packed bytes.Buffer
		w := lz4.NewWriter(&packed)
		w.Write(want)
		w.Close()
		dst, err := os.Create(filepath.Join(t.TempDir(), "img"))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		n, err := ExpandLZ4(t.Context(), dst, bytes.NewReader(packed.Bytes()))
		if err != nil || n != int64(len(want)) {
			t.Fatalf("%d bytes, %v, want %d", n, err, len(want))
		}
		if got, _ := os.ReadFile(dst.Name()); !bytes.Equal(got, want) {
			t.Error("the contents differ")
		}
		if used := allocated(t, dst); used > mib {
			t.Errorf("the file takes %d bytes of disk: the holes are filled", used)
		}
		if _, err := ExpandLZ4(t.Context(), dst,
			bytes.NewReader(packed.Bytes()[:packed.Len()-20])); err == nil {
			t.Error("a truncated file: no error")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dst, _ := os.Create(filepath.Join(t.TempDir(), "img"))
	defer dst.Close()
	if _, err := ExpandLZ4(ctx, dst, bytes.NewReader(nil)); err != context.Canceled {
		t.Errorf("cancelled: error %v", err)
	}
}

// TestCheckFileReadsLZ4 uses the lz4 program, which compresses real images too.
func TestCheckFileReadsLZ4(t *testing.T) {
	t.Parallel()
	need.Program(t, "lz4")
	l := sample(t, Split, true, sampleID())
	img := builtImage(t, l)
	run(t, "lz4", "-q", img, img+".lz4")
	dir := t.TempDir()
	if err := CheckFile(t.Context(), img+".lz4", dir, l, OSDisk, nil); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
