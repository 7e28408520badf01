package image

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"buildsys/internal/buildtest/need"
)

func inspectFile(t *testing.T, file string) Report {
	t.Helper()
	f, err := Open(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Inspect(t.Context(), f, f.Size)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestInspect damages an image in one place after the other and expects exactly the faults that
// follow.
func TestInspect(t *testing.T) {
	t.Parallel()
	l := sample(t, Unified, true, sampleID())
	img := builtImage(t, l)
	at := func(key string) int64 { p, _ := l.Partition(key); return p.StartMiB * mib }
	size := l.Disks[0].SizeMiB * mib
	good := inspectFile(t, img)
	if len(good.Faults) > 0 || len(good.Partitions) != len(l.Partitions) || len(good.Roots) != 1 ||
		len(good.Boot) != 1 {
		t.Fatalf("a good image: %+v", good)
	}
	if r := good.Roots[0]; !r.Verified || !r.CommandLine || r.Salt != l.Salt ||
		r.UUID != l.VerityUUID || r.DataBytes != 8*mib || r.Partition != "SKIFF-ROOT-A" {
		t.Errorf("root: %+v", r)
	}
	if got := good.Boot[0].Entries; len(got) != 1 || got[0].Title != "Skiff" ||
		!strings.Contains(got[0].CommandLine, good.Roots[0].RootHash) {
		t.Errorf("boot entries: %+v", got)
	}
	tests := []struct {
		name string
		off  int64
		b    []byte
		want []string // prefixes of the faults
	}{
		{"byte of the root", at("ROOT-A") + 5*mib, []byte{1},
			[]string{"partition SKIFF-ROOT-A: does not verify: data: block 1280 "}},
		{"byte of the tree", at("HASH-A") + 4096, []byte{1, 2, 3},
			[]string{"partition SKIFF-ROOT-A: does not verify: level 0 of the hash tree: block 0 ",
				"partition SKIFF-BOOT-A: the kernel command line in grub/grub.cfg names the root hash "}},
		{"salt", at("HASH-A") + 88, []byte{1}, []string{"partition SKIFF-ROOT-A: does not verify: ",
			"partition SKIFF-BOOT-A: the kernel command line in grub/grub.cfg names the root hash "}},
		{"no tree", at("HASH-A"), []byte{0}, []string{"partition SKIFF-HASH-A: no verity superblock"}},
		{"no BOOT", at("BOOT-A") + 1024 + 0x38, []byte{0},
			[]string{"partition SKIFF-BOOT-A: holds no ext4 file system"}},
		{"BOOT larger than its partition", at("BOOT-A") + 1024 + 4, []byte{0, 0x20, 0}, []string{
			"partition SKIFF-BOOT-A: its ext4 file system needs 32 MiB, but 20 MiB are available"}},
		{"FAT larger than its partition", at("EFI-A") + 19, []byte{0xff, 0xff}, []string{
			"partition EFI-SYSTEM: the allocation table has "}},
		{"backup GPT", size - sector + 60, []byte{0},
			[]string{"backup GPT: header in sector 4194303 has checksum"}},
		{"primary GPT", sector + 60, []byte{0}, []string{"primary GPT: header in sector 1 has checksum"}},
		{"protective MBR", 510, []byte{0}, []string{"sector 0 has no protective MBR"}},
	}
	for _, test := range tests {
		edit(t, img, func(f *os.File) {
			old := make([]byte, len(test.b))
			if _, err := f.ReadAt(old, test.off); err != nil {
				t.Fatal(err)
			}
			f.WriteAt(test.b, test.off)
			defer f.WriteAt(old, test.off)
			r := inspectFile(t, img)
			if !slices.EqualFunc(r.Faults, test.want, strings.HasPrefix) {
				t.Errorf("%s: faults %q, want %q", test.name, r.Faults, test.want)
			}
			if len(r.Partitions) != len(l.Partitions) {
				t.Errorf("%s: %d partitions, want all", test.name, len(r.Partitions))
			}
		})
	}
	edit(t, img, func(f *os.File) { // a few sectors more than there are
		f.WriteAt([]byte{0x08, 0x28}, at("EFI-A")+19)
		r := inspectFile(t, img)
		const want = "partition EFI-SYSTEM: its vfat file system is made for 5.00 MiB, and the " +
			"partition has 5 MiB: all files are within it"
		if len(r.Faults) > 0 || !slices.Contains(r.Notes, want) {
			t.Errorf("faults %q, notes %q, want the note %s", r.Faults, r.Notes, want)
		}
	})
}

// TestCheckCommandLine checks that grub.cfg must describe the image.
func TestCheckCommandLine(t *testing.T) {
	boot := section{name: "BOOT-A"}
	v := Verity{DataBlocks: 2}
	line := func(blocks, hash, salt string) BootEntry {
		return BootEntry{CommandLine: `dm-mod.create="r,,,ro,0 16 verity 1 a b 4096 4096 ` + blocks +
			" 1 sha256 " + hash + " " + salt + `"`}
	}
	good := line("2", "abcd", "ef")
	for _, test := range []struct {
		name    string
		entries []BootEntry
		want    string
	}{
		{"good", []BootEntry{good, good}, ""},
		{"other hash", []BootEntry{good, line("2", "abce", "ef")},
			"names the root hash abce, but that of ROOT-A is abcd: the image would not boot"},
		{"other salt", []BootEntry{line("2", "abcd", "ee")},
			"has 2 blocks and the salt ee, the hash tree has 2 and ef"},
		{"other size", []BootEntry{line("3", "abcd", "ef")}, "has 3 blocks"},
		{"no verity", []BootEntry{{CommandLine: "root=/dev/vda4"}}, "has no verity table"},
	} {
		r := Root{Partition: "ROOT-A", RootHash: "abcd", Salt: "ef"}
		err := checkCommandLines(boot, Boot{File: "grub.cfg", Entries: test.entries}, v, &r)
		if (err == nil) != (test.want == "") || r.CommandLine != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, on command line %v; want %q", test.name, err, r.CommandLine, test.want)
		}
	}
}

// TestReadRoot checks that the tree must fit its partition, and the data under it must fit its own.
func TestReadRoot(t *testing.T) {
	img := bankDisk(t)
	data, hash := img[1024*sector:][:256<<10], img[2048*sector:][:2*verityBlock]
	for _, test := range []struct {
		name       string
		data, hash []byte
		want       string
	}{
		{"good", data, hash, ""},
		{"tree too large", data, hash[:verityBlock],
			"partition HASH: the hash tree needs 0.01 MiB, but 0.00 MiB are available"},
		{"data too large", data[:128<<10], hash,
			"partition ROOT: the data under the hash tree needs 0.25 MiB, but 0.12 MiB are available"},
		{"no tree", data, data, "partition HASH: no verity superblock"},
	} {
		r, _, faults, err := readRoot(t.Context(), whole("ROOT", test.data), whole("HASH", test.hash))
		fault := errors.Join(faults...)
		if err != nil || r.Verified != (test.want == "") || r.Verified != (fault == nil) ||
			fault != nil && !strings.Contains(fault.Error(), test.want) {
			t.Errorf("%s: faults %v, %v, want %q", test.name, faults, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := readRoot(ctx, whole("ROOT", data), whole("HASH", hash)); !errors.Is(err,
		context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestReadBoot checks that the kernel that grub.cfg names must exist.
func TestReadBoot(t *testing.T) {
	need.Program(t, "mke2fs")
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"good", map[string]string{"vmlinuz": "k", "grub/grub.cfg": "linux ($root)/vmlinuz ro\n"}, ""},
		{"no configuration", map[string]string{"vmlinuz": "k"},
			"partition BOOT-A: grub/grub.cfg: no such file"},
		{"nothing to start", map[string]string{"vmlinuz": "k", "grub/grub.cfg": "set timeout=0\n"},
			"partition BOOT-A: grub/grub.cfg starts no kernel"},
		{"no kernel", map[string]string{"grub/grub.cfg": "linux ($root)/vmlinuz ro\n"},
			"partition BOOT-A: the kernel of grub/grub.cfg: /vmlinuz: no such file"},
		{"empty kernel", map[string]string{"vmlinuz": "", "grub/grub.cfg": "linux /vmlinuz ro\n"},
			"partition BOOT-A: the kernel of grub/grub.cfg: /vmlinuz is empty"},
	} {
		tree, img := t.TempDir(), blank(t, "boot", 4*mib)
		writeTree(t, tree, test.files)
		run(t, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", tree, img)
		b, err := os.ReadFile(img)
		if err != nil {
			t.Fatal(err)
		}
		_, faults := readBoot(whole("BOOT-A", b))
		if err := errors.Join(faults...); (err == nil) != (test.want == "") || err != nil &&
			err.Error() != test.want {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"torn.img.lz4", "empty.img.lz4"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("\x04\x22\x4d\x18\x64\x40\xa7"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name[0] == 'e' {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(t.Context(), file, dir)
		if _, ok := errors.AsType[*BadImageError](err); !ok && name[0] == 't' {
			t.Errorf("%s: error %v", name, err)
		} else if err == nil {
			if r, err := Inspect(t.Context(), f, f.Size); err != nil || len(r.Faults) != 1 {
				t.Errorf("%s: %v, %q", name, err, r.Faults)
			}
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "none"), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestReportHasNoNull: readers of the JSON may loop over every list.
func TestReportHasNoNull(t *testing.T) {
	for _, img := range [][]byte{nil, smallGPT()} {
		r, err := Inspect(t.Context(), bytes.NewReader(img), int64(len(img)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(r); err != nil || bytes.Contains(text, []byte("null")) {
			t.Errorf("%s, %v", text, err)
		}
	}
}

func TestParseOSRelease(t *testing.T) {
	got := ParseOSRelease("# c=1\nNAME=\"Skiff OS\"\n\nID=skiff\nX='a b'\nbroken\nY=\"\nZ=a=b\n")
	want := map[string]string{"NAME": "Skiff OS", "ID": "skiff", "X": "a b", "Y": `"`, "Z": "a=b"}
	if len(got) != len(want) {
		t.Errorf("got %q", got)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

// bankDisk returns a disk with the partitions of one bank and their contents: a FAT, BOOT and root
// with the same files, and a hash tree that fits.
func bankDisk(t testing.TB) []byte {
	fs := smallFS(t)
	v := Verity{DataBlocks: int64(len(fs)) / verityBlock}
	hash := make([]byte, 2*verityBlock)
	copy(hash, veritySignature+"\x01\x00\x00\x00\x01\x00\x00\x00")
	copy(hash[32:], "sha256")
	hash[65], hash[69], hash[72] = 0x10, 0x10, byte(v.DataBlocks)
	for i := range int(v.DataBlocks) {
		sum := v.digest(fs[i*verityBlock : (i+1)*verityBlock])
		copy(hash[verityBlock+i*len(sum):], sum[:])
	}
	part := func(typeGUID, name string, first uint64, contents []byte) gptEntry {
		e := gptEntry{Type: rawGUID(typeGUID), GUID: [16]byte{byte(first)}, First: first, Last: first +
			uint64(len(contents)/sector) - 1}
		copy(e.Name[:], utf16.Encode([]rune(name)))
		return e
	}
	img := gptWith(part(typeEFI, "EFI", 128, smallFAT()), part(typeBoot, "BOOT", 256, fs),
		part(typeRoot, "ROOT", 1024, fs), part(typeHash, "HASH", 2048, hash))
	for first, contents := range map[int][]byte{128: smallFAT(), 256: fs, 1024: fs, 2048: hash} {
		copy(img[first*sector:], contents)
	}
	return img
}

// rawGUID returns a GUID as stored on disk.
func rawGUID(text string) [16]byte {
	b, _ := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	g, _ := hex.DecodeString(strings.ReplaceAll(formatGUID([16]byte(b)), "-", ""))
	return [16]byte(g)
}

// FuzzInspect overwrites two places of a disk that has everything Inspect reads.
func FuzzInspect(f *testing.F) {
	base := bankDisk(f)
	r, err := Inspect(context.Background(), bytes.NewReader(base), int64(len(base)))
	if err != nil || len(r.Roots) != 1 || !r.Roots[0].Verified || len(r.Firmware) != 1 ||
		len(r.Faults) != 1 {
		f.Fatalf("the seed is not read in all its parts: %+v, %v", r, err)
	}
	f.Add(uint32(256*sector+1024), base[256*sector+1024:256*sector+1280], uint32(128*sector),
		base[128*sector:128*sector+64])
	f.Add(uint32(2048*sector), base[2048*sector:2048*sector+96], uint32(1024*sector+1024),
		[]byte{0x53, 0xef})
	f.Add(uint32(0), []byte{0}, uint32(sector), []byte{0})
	f.Fuzz(func(t *testing.T, at1 uint32, b1 []byte, at2 uint32, b2 []byte) {
		img := bytes.Clone(base)
		copy(img[int(at1)%len(img):], b1)
		copy(img[int(at2)%len(img):], b2)
		if _, err := Inspect(context.Background(), bytes.NewReader(img), int64(len(img))); err != nil {
			t.Error(err)
		}
	})
}

func whole(name string, b []byte) section {
	return section{name, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))}
}
