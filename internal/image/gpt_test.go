package image

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"buildsys/internal/buildtest/need"
)

// run runs a program and returns its output.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(need.Program(t, name), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// blank makes a file of zeros that takes no disk space.
func blank(t *testing.T, name string, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return file
}

// partitionWithSgdisk partitions one disk of a layout as rpm2img does.
func partitionWithSgdisk(t *testing.T, l Layout, disk string) string {
	t.Helper()
	d, _ := l.Disk(disk)
	file := blank(t, disk+".img", d.SizeMiB*mib)
	args := []string{"--clear", "--disk-guid=" + d.GUID}
	for _, p := range l.Partitions {
		if p.Disk != disk {
			continue
		}
		n := strconv.Itoa(p.Number) + ":"
		args = append(args, "-n", n+strconv.FormatInt(p.StartMiB, 10)+"M:+"+strconv.FormatInt(p.SizeMiB,
			10)+"M",
			"-c", n+p.Label, "-t", n+p.Type, "-u", n+p.GUID)
		for _, a := range p.Attributes {
			args = append(args, "-A", n+"set:"+strconv.Itoa(a))
		}
	}
	run(t, "sgdisk", append(args, file)...)
	return file
}

// TestSgdiskAgrees makes every kind of partition layout with sgdisk, which rejects overlaps, and
// reads it back.
func TestSgdiskAgrees(t *testing.T) {
	t.Parallel() // sgdisk waits for the disk
	need.Program(t, "sgdisk")
	for _, plan := range []string{Split, Unified} {
		for _, inPlace := range []bool{true, false} {
			l := sample(t, plan, inPlace, sampleID())
			for _, d := range l.Disks {
				f, err := os.Open(partitionWithSgdisk(t, l, d.Name))
				if err != nil {
					t.Fatal(err)
				}
				table, err := ReadGPT(f, d.SizeMiB*mib)
				if err == nil {
					err = compareGPT(table, d, l)
				}
				if err != nil {
					t.Errorf("%s, in place %v, %s disk: %v", plan, inPlace, d.Name, err)
				}
				f.Close()
			}
		}
	}
}

// smallGPT returns a 2 MiB disk with one partition, made here so that the reader is tested without
// sgdisk too.
func smallGPT() []byte {
	entry := gptEntry{Type: [16]byte{1}, GUID: [16]byte{2}, First: 40, Last: 99, Attributes: 1 << 48}
	copy(entry.Name[:], utf16.Encode([]rune("SKIFF-ROOT-A")))
	return gptWith(entry)
}

// gptWith returns a disk of 2 MiB with the given partitions.
func gptWith(parts ...gptEntry) []byte {
	img := make([]byte, 2*mib)
	img[446+4], img[446+8], img[510], img[511] = 0xee, 1, 0x55, 0xaa
	last := uint64(len(img)/sector - 1)
	var entries bytes.Buffer
	for _, entry := range parts {
		binary.Write(&entries, binary.LittleEndian, entry)
	}
	entries.Write(make([]byte, (128-len(parts))*128))
	for _, h := range []gptHeader{{MyLBA: 1, AlternateLBA: last, EntriesLBA: 2},
		{MyLBA: last, AlternateLBA: 1, EntriesLBA: last - 32}} {
		copy(h.Signature[:], gptSignature)
		h.HeaderSize, h.EntryCount, h.EntrySize = gptHeaderLen, 128, 128
		h.FirstUsable, h.LastUsable = 34, last-33
		h.EntriesCRC = crc32.ChecksumIEEE(entries.Bytes())
		copy(img[h.EntriesLBA*sector:], entries.Bytes())
		putHeader(img, h)
	}
	return img
}

func putHeader(img []byte, h gptHeader) {
	h.HeaderCRC = 0
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, h)
	h.HeaderCRC = crc32.ChecksumIEEE(b.Bytes())
	b.Reset()
	binary.Write(&b, binary.LittleEndian, h)
	copy(img[h.MyLBA*sector:], b.Bytes())
}

func TestReadGPT(t *testing.T) {
	img := smallGPT()
	table, err := ReadGPT(bytes.NewReader(img), int64(len(img)))
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{Number: 1, Type: "00000001-0000-0000-0000-000000000000",
		GUID:  "00000002-0000-0000-0000-000000000000",
		Label: "SKIFF-ROOT-A", Start: 40 * 512, Size: 60 * 512, Attributes: 1 << 48}
	if got := table.Entries; len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadGPTFindsDamage(t *testing.T) {
	last := 2*mib/sector - 1
	tests := []struct {
		name   string
		damage func([]byte) []byte
		want   string
	}{
		{"other partitions in the MBR", func(b []byte) []byte { b[446+16+4] = 0xef; return b },
			"partitions of its own"},
		{"an MBR that is not for all", func(b []byte) []byte { b[446+8] = 63; return b },
			"partitions of its own"},
		{"no table", func(b []byte) []byte { return make([]byte, len(b)) }, "no protective MBR"},
		{"primary header", func(b []byte) []byte { b[sector+56]++; return b },
			"primary GPT: header in sector 1 has checksum"},
		{"backup header", func(b []byte) []byte { b[last*sector+56]++; return b },
			"backup GPT: header in sector 4095 has checksum"},
		{"primary entries", func(b []byte) []byte { b[2*sector+3]++; return b },
			"primary GPT: entries in sector 2 have checksum"},
		{"backup entries", func(b []byte) []byte { b[(last-32)*sector+3]++; return b },
			"backup GPT: entries in sector 4063 have checksum"},
		{"cut short", func(b []byte) []byte { return append(b, make([]byte, mib)...) },
			"was made for a disk of 2097152 bytes, but the image has 3145728"},
		{"odd size", func(b []byte) []byte { return b[:len(b)-1] }, "not a whole number of sectors"},
	}
	for _, test := range tests {
		img := test.damage(smallGPT())
		if _, err := ReadGPT(bytes.NewReader(img), int64(len(img))); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", test.name, err, test.want)
		}
	}
}

// TestReadGPTBounds reads tables with right checksums that claim more than there is.
func TestReadGPTBounds(t *testing.T) {
	last := uint64(2*mib/sector - 1)
	for _, test := range []struct {
		usable uint64
		want   string
	}{{last, "where the backup GPT lies"}, {1 << 60, "for 1152921504606846976 sectors"}} {
		img := smallGPT()
		for _, lba := range []uint64{1, last} {
			var h gptHeader
			if err := binary.Read(bytes.NewReader(img[lba*sector:]), binary.LittleEndian, &h); err != nil {
				t.Fatal(err)
			}
			h.LastUsable = test.usable
			putHeader(img, h)
		}
		if _, err := ReadGPT(bytes.NewReader(img), int64(len(img))); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%d usable sectors: error %v, want %q in it", test.usable, err, test.want)
		}
	}
}

// FuzzReadGPT changes the header's fields and recomputes its checksum: the reader must not crash or
// accept a partition outside the disk.
func FuzzReadGPT(f *testing.F) {
	base := smallGPT()
	f.Add(base[sector:sector+gptHeaderLen], base[2*sector:2*sector+128])
	f.Fuzz(func(t *testing.T, header, entry []byte) {
		img := bytes.Clone(base)
		copy(img[2*sector:2*sector+256], entry)
		copy(img[(len(img)/sector-33)*sector:][:256], entry)
		for _, lba := range []int{1, len(img)/sector - 1} {
			var h gptHeader
			raw := make([]byte, sector)
			copy(raw, img[lba*sector:])
			copy(raw, header)
			if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, &h); err != nil {
				t.Fatal(err)
			}
			h.MyLBA = uint64(lba)
			if end := h.EntriesLBA*sector + uint64(h.EntryCount)*uint64(h.EntrySize); h.EntryCount < 2048 &&
				h.EntrySize < 5000 && h.EntriesLBA < 4096 && end <= uint64(len(img)) {
				h.EntriesCRC = crc32.ChecksumIEEE(img[h.EntriesLBA*sector : end])
			}
			putHeader(img, h)
		}
		table, err := ReadGPT(bytes.NewReader(img), int64(len(img)))
		if err != nil {
			return
		}
		for _, e := range table.Entries {
			if e.Start < 0 || e.Size <= 0 || e.Start+e.Size > int64(len(img)) {
				t.Errorf("accepted %+v on a disk of %d bytes", e, len(img))
			}
		}
	})
}
