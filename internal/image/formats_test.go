package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/need"
)

// rawDisk has data, holes, a long run, and an end that does not fill a cluster.
func rawDisk(t *testing.T) (file string, data []byte) {
	t.Helper()
	data = make([]byte, 5*mib+3*sector)
	r := rand.NewChaCha8([32]byte{9})
	r.Read(data[:3*sector])
	r.Read(data[mib+100 : mib+200000])
	copy(data[3*mib:], bytes.Repeat([]byte("compresses well "), 10000))
	r.Read(data[len(data)-2*sector:])
	file = filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, data
}

// TestOpenReadsWhatQemuWrites compares qcow2 and VMDK with qemu-img.
func TestOpenReadsWhatQemuWrites(t *testing.T) {
	need.Program(t, "qemu-img")
	raw, want := rawDisk(t)
	for _, options := range [][]string{
		{"-O", "qcow2"},
		{"-O", "qcow2", "-c"},
		{"-O", "qcow2", "-o", "compat=0.10,cluster_size=512"},
		{"-O", "qcow2", "-c", "-o", "cluster_size=2M"},
		{"-O", "vmdk", "-o", "subformat=streamOptimized"},
	} {
		file := filepath.Join(t.TempDir(), "disk")
		run(t, "qemu-img", append(append([]string{"convert", "-f", "raw"}, options...), raw, file)...)
		f, err := Open(t.Context(), file, "")
		if err != nil {
			t.Errorf("%v: %v", options, err)
			continue
		}
		got := make([]byte, f.Size)
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes differ, %v; want %d", options, len(got), err, len(want))
		}
		f.Close()
		tearAndDamage(t, options, file)
	}
	for _, options := range [][]string{
		{"-O", "vmdk", "-o", "subformat=monolithicSparse"},
		{"-O", "qcow2", "-o", "extended_l2=on,cluster_size=64k"},
	} {
		file := filepath.Join(t.TempDir(), "disk")
		run(t, "qemu-img", append(append([]string{"convert", "-f", "raw"}, options...), raw, file)...)
		_, err := Open(t.Context(), file, "")
		if _, ok := errors.AsType[*UnsupportedError](err); !ok {
			t.Errorf("%v: error %v", options, err)
		}
	}
}

// tearAndDamage truncates a file, then changes bytes of its metadata: the result is an error or
// some data, never a crash.
func tearAndDamage(t *testing.T, options []string, file string) {
	t.Helper()
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.NewReader(packed[:len(packed)/2])
	if _, err := expandBytes(t, file, torn); err == nil {
		t.Errorf("%v: cut off: no error", options)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		bad := slices.Clone(packed)
		for range 3 {
			bad[4+r.IntN(120)] = byte(r.Uint32())
		}
		if bad[24] != 0 || bad[27] != 0 || bad[28] != 0 { // a disk of many GiB would take too long
			continue
		}
		expandBytes(t, file, bytes.NewReader(bad)) // must not panic
	}
}

func expandBytes(t *testing.T, name string, packed *bytes.Reader) (int64, error) {
	t.Helper()
	expander, err := expanderOf(packed, name)
	if err != nil || expander == nil {
		t.Fatalf("not recognised: %v", err)
	}
	f, err := expand(anything(t), expander, io.NewSectionReader(packed, 0, packed.Size()), name, "")
	if err != nil {
		return 0, err
	}
	return f.Size, f.Close()
}

func anything(t *testing.T) expansion {
	some := anyDisk
	return expansion{ctx: t.Context(), limits: &some}
}

// TestOVA makes an archive with two disks and damages it.
func TestOVA(t *testing.T) {
	need.Program(t, "qemu-img")
	raw, want := rawDisk(t)
	vmdk := filepath.Join(t.TempDir(), "disk.vmdk")
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw,
		vmdk)
	disk, err := os.ReadFile(vmdk)
	if err != nil {
		t.Fatal(err)
	}
	members := []struct {
		name string
		data []byte
	}{{"a.ovf", []byte(`<Envelope><File ovf:href="os.vmdk"/><File ovf:href="data.vmdk"/></Envelope>`)}, {"a.mf", nil}, {"os.vmdk", disk}, {"data.vmdk", disk}}
	for _, m := range members {
		if m.name != "a.mf" {
			members[1].data = fmt.Appendf(members[1].data, "SHA256(%s)= %x\n", m.name, sha256.Sum256(m.data))
		}
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, m := range members {
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.data)),
			Mode: 0o644}), second(w.Write(m.data))); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	open := func(change func(string) string) ([]*File, error) {
		file := filepath.Join(t.TempDir(), "a.ova")
		if err := os.WriteFile(file, []byte(change(archive.String())), 0o600); err != nil {
			t.Fatal(err)
		}
		return OpenAll(t.Context(), file, "")
	}
	disks, err := open(func(s string) string { return s })
	if err != nil || len(disks) != 2 || disks[0].Member != "os.vmdk" ||
		disks[1].Member != "data.vmdk" {
		t.Fatalf("%d disks, %v", len(disks), err)
	}
	for _, d := range disks {
		got := make([]byte, d.Size)
		if _, err := io.ReadFull(d, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: differs, %v", d.Member, err)
		}
		d.Close()
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"description", "<Envelope>", "<envelope>", "a.ovf has the SHA-256"},
		{"manifest", "SHA256(os.vmdk)= ", "SHA256(or.vmdk)= ",
			"the manifest names or.vmdk, which the archive lacks"},
		{"algorithm", "SHA256(os.vmdk)= ", "SHA1(os.vmdk)=   ", "SHA256(name)= digest is expected"},
		{"missing line", "\nSHA256(data", "\n\n\n\n\n\n\n\n\n\n\n\n", ""},
		{"torn", archive.String()[archive.Len()/2:], "", "unexpected EOF"},
	} {
		_, err := open(func(s string) string { return strings.Replace(s, test.old, test.new, 1) })
		if _, ok := errors.AsType[*BadImageError](err); !ok || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q in it", test.name, err, test.want)
		}
	}
}

// TestDescriptionsOfOtherDisks: the description says which disks a machine gets.
func TestDescriptionsOfOtherDisks(t *testing.T) {
	disks := []section{{name: "os.vmdk"}, {name: "data.vmdk"}}
	members := map[string]string{"os.vmdk": "x", "data.vmdk": "x", "a.nvram": "x"}
	for text, want := range map[string]string{
		`<File href="os.vmdk"/><File href="data.vmdk"/><File href="a.nvram"/>`: "",
		`<File href="data.vmdk"/><File href="os.vmdk"/>`:                       "names the disks",
		`<File href="os.vmdk"/>`:                                               "names the disks",
		`<File href="os.vmdk"/><File href="http://x.invalid/data.vmdk"/>`:      "which the archive lacks",
		`<File href="os.vmdk" chunkSize="1"/><File href="data.vmdk"/>`:         "chunkSize",
		`<File href="os.vmdk" compression="gzip"/><File href="data.vmdk"/>`:    "compression",
		`<File href="os.vmdk"/><File`:                                          "not XML",
	} {
		err := checkOVF("<E>"+text+"</E>", disks, members)
		if want == "" && err != nil || want != "" && (err == nil ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestNamesThatPlainTarLacks: the name of an extension is not the one in the header.
func TestNamesThatPlainTarLacks(t *testing.T) {
	for _, name := range []string{"\u00e9.vmdk", strings.Repeat("a", 120) + ".vmdk", "b/a.vmdk"} {
		_, err := OpenAll(t.Context(), writeOVA(t, &tar.Header{Name: name, Size: 512}), "")
		if err == nil || !strings.Contains(err.Error(), "has another name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func second(_ int, err error) error { return err }

func FuzzExpand(f *testing.F) {
	f.Add([]byte(qcow2Magic +
		"\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x10\x00\x00\x00\x00\x00\x10\x00\x00"))
	f.Add([]byte(vmdkMagic + "\x03\x00\x00\x00\x00\x00\x03\x00"))
	f.Add([]byte(lz4Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		src := bytes.NewReader(append(b, make([]byte, 512)...))
		expander, err := expanderOf(src, "")
		if err != nil || expander == nil || len(b) > 32 && (b[24]|b[25]|b[26]|b[27]) != 0 {
			return // a disk of more than 4 GiB takes too long
		}
		if disk, err := expand(anything(t), expander, io.NewSectionReader(src, 0, src.Size()), "fuzz",
			""); err == nil {
			disk.Close()
		}
	})
}

// TestExpandTellsDiskFromData checks that a full disk does not count as a fault of the image.
func TestExpandTellsDiskFromData(t *testing.T) {
	for _, test := range []struct {
		err error
		bad bool
	}{
		{fmt.Errorf("expand: %w", &os.PathError{Op: "write", Path: "x",
			Err: errors.New("no space left on device")}), false},
		{&UnsupportedError{"this"}, false},
		{io.ErrUnexpectedEOF, true},
	} {
		failing := func(*expansion, io.ReaderAt, int64) (int64, error) { return 0, test.err }
		_, err := expand(anything(t), failing, io.NewSectionReader(bytes.NewReader(nil), 0, 0), "x", "")
		if _, bad := errors.AsType[*BadImageError](err); bad != test.bad || !errors.Is(err, test.err) {
			t.Errorf("%v: bad image %v, want %v (%v)", test.err, bad, test.bad, err)
		}
	}
}

// TestOpenWaitsForNothing: the image that inspect and boot are given may be a FIFO or a device.
func TestOpenWaitsForNothing(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "disk.img")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, "/dev/zero"} {
		if _, err := Open(t.Context(), name, ""); err == nil ||
			!strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("Open(%s): error %v", name, err)
		}
		if _, err := OpenAll(t.Context(), name, ""); err == nil ||
			!strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("OpenAll(%s): error %v", name, err)
		}
	}
}
