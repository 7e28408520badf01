package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// TestFATListsWhatMcopyWrites covers the three widths of the table, long names and directories of
// several clusters.
func TestFATListsWhatMcopyWrites(t *testing.T) {
	for _, program := range []string{"mkfs.vfat", "mcopy", "mmd"} {
		need.Program(t, program)
	}
	want := []string{"EFI/BOOT/BOOTX64.EFI 70000", "EFI/BOOT/a rather long name with spaces.cfg 5",
		"EFI/BOOT/grub.cfg 5", "EFI/BOOT/empty.text 0"}
	dir := t.TempDir()
	for i := range 100 {
		want = append(want, fmt.Sprintf("EFI/many/file-with-a-long-name-%03d.efi 5", i))
	}
	for _, line := range want {
		cut := strings.LastIndexByte(line, ' ')
		var size int
		fmt.Sscan(line[cut:], &size)
		writeTree(t, dir, map[string]string{line[:cut]: strings.Repeat("x", size)})
	}
	slices.Sort(want)
	for _, test := range []struct {
		bits string
		mib  int64
	}{{"12", 2}, {"16", 16}, {"32", 64}} {
		img := blank(t, "fat", test.mib*mib)
		run(t, "mkfs.vfat", "-F", test.bits, "-s", "1", "-n", "LABEL", img)
		run(t, "mcopy", "-s", "-i", img, filepath.Join(dir, "EFI"), "::/")
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fat, err := OpenFAT(f, test.mib*mib)
		if err != nil {
			t.Errorf("FAT%s: %v", test.bits, err)
			continue
		}
		files, err := fat.Files()
		var got []string
		for _, file := range files {
			got = append(got, fmt.Sprint(file.Name, " ", file.Size))
			if data, err := fat.Read(file, 1<<20); err != nil ||
				string(data) != strings.Repeat("x", int(file.Size)) {
				t.Errorf("FAT%s: %s: read %d bytes, %v", test.bits, file.Name, len(data), err)
			}
		}
		slices.Sort(got)
		if err != nil || len(got) != len(want) {
			t.Errorf("FAT%s: %d files, %v; want %d", test.bits, len(got), err, len(want))
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("FAT%s: %q, want %q", test.bits, got[i], want[i])
			}
		}
		data, err := os.ReadFile(img)
		if err != nil {
			t.Fatal(err)
		}
		second := int(binary.LittleEndian.Uint16(data[14:])) + int(binary.LittleEndian.Uint16(data[22:]))
		if test.bits == "32" {
			second += int(binary.LittleEndian.Uint32(data[36:]))
		}
		data[second*sector+20]++
		if _, err := OpenFAT(bytes.NewReader(data), test.mib*mib); err == nil ||
			!strings.Contains(err.Error(), "copies of the allocation table") {
			t.Errorf("FAT%s: two tables: %v", test.bits, err)
		}
		if used := fat.Used(); used < 70000+100*512 || used > 70000+150*512+32<<10 {
			t.Errorf("FAT%s: %d bytes used", test.bits, used)
		}
		if _, err := OpenFAT(f, test.mib*mib/2); err != nil {
			t.Errorf("FAT%s: larger than its partition, and all files within: %v", test.bits, err)
		}
		if _, err := OpenFAT(f, 64<<10); err == nil ||
			!strings.Contains(err.Error(), "beyond its end") {
			t.Errorf("FAT%s: files beyond the end of the partition: %v", test.bits, err)
		}
	}
}

// TestSmallFAT32 has fewer clusters than FAT32 should have. By its size it is FAT16, but its fields
// count, as for firmware and fsck.
func TestSmallFAT32(t *testing.T) {
	img := blank(t, "fat", 4*mib)
	run(t, "mkfs.vfat", "-F", "32", "-s", "1", img)
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	start, table := int(le.Uint16(data[14:]))*sector, int(le.Uint32(data[36:]))*sector
	for i := range 2 {
		le.PutUint32(data[start+i*table+4*3:], 0x0fffffff)
	}
	root := data[start+2*table:]
	copy(root, "A       TXT\x20")
	root[26], root[28], root[sector] = 3, 1, 'x'
	if err := os.WriteFile(img, data, 0o644); err != nil {
		t.Fatal(err)
	}
	// It also finds that the summary of free clusters is not up to date.
	out, _ := exec.Command(need.Program(t, "fsck.fat"), "-n", "-l", img).CombinedOutput()
	if !strings.Contains(string(out), "/A.TXT") {
		t.Errorf("fsck.fat sees another file: %s", out)
	}
	fat, err := OpenFAT(bytes.NewReader(data), 4*mib)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fat.Files()
	if err != nil || len(files) != 1 || files[0].Name != "A.TXT" {
		t.Fatalf("%+v, %v", files, err)
	}
	if text, err := fat.Read(files[0], 10); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}

// smallFAT returns a file system of 64 KiB with EFI/BOOT/X.EFI, laid out by hand: one sector of
// table, 16 entries in the root.
func smallFAT() []byte {
	b := make([]byte, 64<<10)
	copy(b[11:], []byte{0, 2, 1, 1, 0, 1, 16, 0, 128, 0, 0xf8, 1, 0})
	copy(b[54:], "FAT12")
	b[510], b[511] = 0x55, 0xaa
	copy(b[512:], []byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}) // clusters 2 to 4 end there
	entry := func(off int, name string, attr, cluster byte) {
		copy(b[off:], name)
		b[off+11], b[off+26] = attr, cluster
	}
	data := func(cluster int) int { return 1536 + (cluster-2)*512 }
	entry(1024, "EFI        ", 0x10, 2)
	entry(data(2), "BOOT       ", 0x10, 3)
	entry(data(3), "X       EFI", 0x20, 4)
	return b
}

// longEntry returns the entry that gives a long name to the file with a short one.
func longEntry(name, short string) []byte {
	e := bytes.Repeat([]byte{0xff}, 32)
	e[0], e[11], e[12], e[13], e[26], e[27] = 0x41, 0x0f, 0, 0, 0, 0
	for _, c := range []byte(short) {
		e[13] = e[13]>>1 | e[13]<<7
		e[13] += c
	}
	at := []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}
	for i, c := range []byte(name + "\x00") {
		e[at[i]], e[at[i]+1] = c, 0
	}
	return e
}

// TestFATNames has names of which firmware makes something else than a plain list of them.
func TestFATNames(t *testing.T) {
	const short, other = "BOOTX64 EFI", "X       EFI"
	file := func(short string) []byte {
		return append([]byte(short), append([]byte{0x20}, make([]byte, 20)...)...)
	}
	foreign := longEntry("x.txt", other)
	torn := longEntry("x.txt", short)
	torn[0] = 0x42
	for _, tt := range []struct {
		name    string
		entries [][]byte
		want    string // files, or a part of the error
	}{
		{"long name", [][]byte{longEntry("bootx64.efi", short), file(short)}, "bootx64.efi"},
		{"of another file", [][]byte{foreign, file(short)}, "BOOTX64.EFI"},
		{"not whole", [][]byte{torn, file(short)}, "BOOTX64.EFI"},
		{"a program in disguise", [][]byte{longEntry("x.txt", short), file(short)},
			"x.txt is BOOTX64.EFI for firmware"},
		{"hidden", [][]byte{longEntry(".", short), file(short)}, ". is BOOTX64.EFI for firmware"},
		{"cut off", [][]byte{longEntry("x.efivars", "X~1     EFI"), file("X~1     EFI")}, "x.efivars"},
		{"twice", [][]byte{file(short), file(short)}, "BOOTX64.EFI is there twice"},
		{"twice by two names", [][]byte{file(short), longEntry("BOOTx64.efi", other), file(other)},
			"BOOTx64.efi is there twice"},
	} {
		b := smallFAT()
		copy(b[1536+512:], append(bytes.Join(tt.entries, nil), make([]byte, 32)...))
		fat, err := OpenFAT(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		files, err := fat.Files()
		if err != nil && strings.Contains(err.Error(), tt.want) && len(files) > 0 {
			continue
		}
		if err != nil || len(files) != 1 || files[0].Name != "EFI/BOOT/"+tt.want {
			t.Errorf("%s: %+v, %v", tt.name, files, err)
		}
	}
}

func TestFATSurvivesDamage(t *testing.T) {
	good := smallFAT()
	fat, err := OpenFAT(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	if files, err := fat.Files(); err != nil || len(files) != 1 || files[0].Name != "EFI/BOOT/X.EFI" ||
		fat.Used() != 3*512 {
		t.Errorf("files %+v, %v, %d used", files, err, fat.Used())
	}
	loop := slices.Clone(good)
	loop[1536+26] = 2 // EFI/BOOT is EFI
	fat, _ = OpenFAT(bytes.NewReader(loop), int64(len(loop)))
	if _, err := fat.Files(); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("a directory in itself: error %v", err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		bad := slices.Clone(good)
		for range 1 + r.IntN(4) {
			at := []int{11 + r.IntN(50), 512 + r.IntN(16), 1024 + r.IntN(32), 1536 + r.IntN(1024)}[r.IntN(4)]
			bad[at] = []byte{0, 1, 0x7f, 0xff, byte(r.Uint32())}[r.IntN(5)]
		}
		listAll(bad)
	}
}

func listAll(b []byte) {
	if fat, err := OpenFAT(bytes.NewReader(b), int64(len(b))); err == nil {
		files, _ := fat.Files() // must not panic
		for _, file := range files {
			fat.Read(file, 1<<20) // must not panic
		}
		fat.Used()
	}
}

func FuzzFAT(f *testing.F) {
	good := smallFAT()
	f.Add(good[:2560])
	f.Fuzz(func(_ *testing.T, patch []byte) {
		bad := slices.Clone(good)
		copy(bad, patch)
		listAll(bad)
	})
}

// TestFATChainsAreWalkedOnce: files that share clusters are damage, which bounds the work: else
// each of many files costs as much as the longest chain.
func TestFATChainsAreWalkedOnce(t *testing.T) {
	const end = 0x0fffffff
	f := &FAT{clusterSize: 512, end: 0x0ffffff8, next: []uint32{0, 0, 3, 4, end, 6, 5, end, 99}}
	for _, tt := range []struct {
		first uint64
		want  int64 // -1 for an error
	}{{2, 3 * 512}, {2, 3 * 512}, {3, -1}, {5, -1}, {7, 512}, {0, 0}, {1, -1}, {8, -1}} {
		i, err := f.Stat(DirEntry{Name: "x", inode: tt.first})
		if (err != nil) != (tt.want < 0) || err == nil && i.Stored != tt.want {
			t.Errorf("%d: %d bytes, %v", tt.first, i.Stored, err)
		}
	}
}
