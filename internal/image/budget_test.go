// Images that claim more than they hold, or refer to the same bytes many times over, are read
// within limits and until the context ends.

package image

import (
	"archive/tar"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
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

// writeOVA writes an archive and returns its name.
func writeOVA(t *testing.T, members ...*tar.Header) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, h := range members {
		h.Mode = 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.ova")
	if err := os.WriteFile(file, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sparseOVA returns an archive of three blocks with an old GNU sparse member of 2^62 bytes, all of
// them a hole.
func sparseOVA(t testing.TB) string {
	t.Helper()
	b := make([]byte, 3*512)
	copy(b, "disk.vmdk")
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        S")
	copy(b[257:], "ustar  \x00")
	b[483] = 0x80 // the real size, in base 256
	binary.BigEndian.PutUint64(b[487:], 1<<62)
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	file := filepath.Join(t.TempDir(), "a.ova")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestOVAMembersAreWhatTheArchiveHolds: each member would be hashed, so it has to be a part of the
// archive.
func TestOVAMembersAreWhatTheArchiveHolds(t *testing.T) {
	many := make([]*tar.Header, maxOVAMembers+1)
	for i := range many {
		many[i] = &tar.Header{Name: fmt.Sprint(i)}
	}
	disks := make([]*tar.Header, maxOVADisks+1)
	for i := range disks {
		disks[i] = &tar.Header{Name: fmt.Sprint(i, ".vmdk")}
	}
	for name, file := range map[string]string{
		"disks":  writeOVA(t, disks...),
		"sparse": sparseOVA(t),
		"twice":  writeOVA(t, &tar.Header{Name: "a"}, &tar.Header{Name: "a"}),
		"link": writeOVA(t, &tar.Header{Name: "a.vmdk", Typeflag: tar.TypeSymlink,
			Linkname: "/etc/passwd"}),
		"many": writeOVA(t, many...),
	} {
		want := map[string]string{"sparse": "has holes", "twice": "two files named", "link": "has holes",
			"many": "more than 100 files", "disks": "more than 8 disks"}[name]
		_, err := OpenAll(t.Context(), file, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

// qcow2Of returns an image with a disk of tables tables of clusters of 64 KiB, in which each entry
// of the only second-level table is entry.
func qcow2Of(tables int, entry uint64) []byte {
	const cluster = 64 << 10
	be := binary.BigEndian
	b := make([]byte, 4*cluster)
	copy(b, qcow2Magic)
	be.PutUint32(b[4:], 2)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], uint64(tables)*cluster*cluster/8)
	be.PutUint32(b[36:], uint32(tables))
	be.PutUint64(b[40:], cluster)
	for i := range tables {
		be.PutUint64(b[cluster+8*i:], 2*cluster)
	}
	for i := range cluster / 8 {
		be.PutUint64(b[2*cluster+8*i:], entry)
	}
	copy(b[3*cluster:], "data")
	return b
}

// TestExpandedDisksAreBounded: a few bytes that stand for a huge disk take neither its space nor
// its time.
func TestExpandedDisksAreBounded(t *testing.T) {
	zeros := frameOf(make([]byte, 8*mib))
	grain := vmdkOf(t, 1<<40/sector)
	for _, tt := range []struct {
		name   string
		data   []byte
		limits limits
		want   string
	}{
		{"a qcow2 cluster in many places", qcow2Of(1, 3*64<<10), anyDisk, "more than the file has"},
		{"a qcow2 table in many places", qcow2Of(4096, 0),
			limits{disk: 1 << 60, made: mib, data: 1 << 60},
			"more bytes to decompress than the limit"},
		{"a large qcow2 disk", qcow2Of(4096, 0),
			limits{disk: mib, made: 1 << 60, data: 1 << 60}, "a disk of"},
		{"a large VMDK disk", grain, limits{disk: mib, made: 1 << 60, data: 1 << 60}, "a disk of"},
		{"VMDK grains", grain, limits{disk: 1 << 60, made: mib, data: 1 << 60},
			"more bytes to decompress than the limit"},
		{"data in lz4", frameOf(bytes.Repeat([]byte("x"), 8*mib)),
			limits{disk: 1 << 60, made: 1 << 60, data: mib}, "more data than the limit"},
		{"zeros in lz4", zeros, limits{disk: 1 << 60, made: mib, data: 1 << 60},
			"more bytes to decompress than the limit"},
		{"a large disk in lz4", zeros, limits{disk: mib, made: 1 << 60, data: 1 << 60}, "a disk of"},
	} {
		src := bytes.NewReader(tt.data)
		expander, err := expanderOf(src, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = expand(expansion{ctx: t.Context(), limits: &tt.limits}, expander,
			io.NewSectionReader(src, 0, src.Size()), "x", t.TempDir())
		if _, bad := errors.AsType[*BadImageError](err); !bad || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// frameOf returns data compressed by lz4.
func frameOf(data []byte) []byte {
	var packed bytes.Buffer
	w := lz4.NewWriter(&packed)
	w.Write(data)
	w.Close()
	return packed.Bytes()
}

// vmdkOf returns an image with three grains of 1 MiB that have one byte.
func vmdkOf(t testing.TB, sectors uint64) []byte {
	t.Helper()
	le := binary.LittleEndian
	const table, directory = 5, 9
	b := make([]byte, (directory+16)*sector)
	copy(b, vmdkMagic)
	le.PutUint32(b[8:], vmdkStreamBits)
	le.PutUint64(b[12:], sectors)
	le.PutUint64(b[20:], mib/sector)
	le.PutUint32(b[44:], vmdkTableEntries)
	le.PutUint64(b[56:], directory)
	le.PutUint32(b[directory*sector:], table)
	le.PutUint64(b[64:], 1)
	b[77] = 1
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write([]byte{1})
	w.Close()
	for i := 1; i < 4; i++ {
		le.PutUint64(b[i*sector:], uint64(i)*mib/sector)
		le.PutUint32(b[i*sector+8:], uint32(z.Len()))
		copy(b[i*sector+12:], z.Bytes())
		le.PutUint32(b[table*sector+4*i:], uint32(i))
	}
	return b
}

// TestNamesTimesLookups has a usr/share in which hundreds of names lead to directories: to look
// into each of them must not read usr/share again.
func TestNamesTimesLookups(t *testing.T) {
	need.Program(t, "mke2fs")
	tree, img := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	for i := range 400 {
		dir := filepath.Join(tree, "usr/share", fmt.Sprintf("%d-%s", i, strings.Repeat("x", 200)))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "1024", "-N", "500", "-d", tree, img, "4m")
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	m := newMeter(t.Context(), bytes.NewReader(data), int64(len(data)))
	fs, err := OpenExt4(m, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadInventory(fs); err == nil ||
		!strings.Contains(err.Error(), "no directory with") {
		t.Errorf("error %v", err)
	}
	if m.read > 2*int64(len(data)) {
		t.Errorf("%d bytes were read of a file system of %d", m.read, len(data))
	}
}

// TestInspectEnds reads an image whose context ends after each number of reads: it must end with
// the context's error, not with faults of the image.
func TestInspectEnds(t *testing.T) {
	img := bankDisk(t)
	all := newMeter(t.Context(), bytes.NewReader(img), int64(len(img)))
	if _, err := Inspect(t.Context(), all, int64(len(img))); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	for n := range 40 {
		ctx, cancel := context.WithCancelCause(t.Context())
		c := &cancelAfter{ReaderAt: bytes.NewReader(img), left: n, cancel: func() { cancel(gone) }}
		_, err := Inspect(ctx, c, int64(len(img)))
		if c.left >= 0 && err == nil { // it reads no more often
			return
		}
		if !errors.Is(err, gone) || c.left < -1 {
			t.Errorf("after %d reads: %v, and %d more reads", n, err, -1-c.left)
		}
	}
}

// cancelAfter calls cancel with the read after left others.
type cancelAfter struct {
	io.ReaderAt
	left   int
	cancel func()
}

func (c *cancelAfter) ReadAt(b []byte, off int64) (int, error) {
	if c.left--; c.left < 0 {
		c.cancel()
	}
	return c.ReaderAt.ReadAt(b, off)
}

// TestPartitionsThatOverlap: each partition is read and verified, so their sum counts.
func TestPartitionsThatOverlap(t *testing.T) {
	part := func(first, last uint64) gptEntry {
		return gptEntry{Type: rawGUID(typeRoot), First: first, Last: last}
	}
	img := gptWith(part(128, 255), part(255, 300))
	if _, err := ReadGPT(bytes.NewReader(img), int64(len(img))); err == nil ||
		!strings.Contains(err.Error(), "GPT entries 1 and 2 overlap") {
		t.Errorf("error %v", err)
	}
}

// TestOneBudgetForAnImage: what is bounded is the sum of all reads.
func TestOneBudgetForAnImage(t *testing.T) {
	m := newMeter(t.Context(), bytes.NewReader(make([]byte, mib)), mib)
	m.limit = 2 * mib
	b := make([]byte, mib)
	for range 2 {
		if _, err := m.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.ReadAt(b[:1], 0); err == nil || !strings.Contains(err.Error(), "too often") {
		t.Errorf("error %v", err)
	}
}
