package vm

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/image"
)

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(need.Program(t, "qemu-img"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-img %q: %v\n%s", args, err, out)
	}
}

// TestCheckBootsEveryFormat boots images whose guest writes to its disk.
func TestCheckBootsEveryFormat(t *testing.T) {
	t.Parallel()
	for _, options := range [][]string{
		{"-O", "qcow2"},
		{"-O", "qcow2", "-o", "compat=0.10"},
		{"-O", "vmdk", "-o", "subformat=streamOptimized"},
	} {
		img := filepath.Join(t.TempDir(), `disk, with "quotes".img`)
		raw := guest(t, guestWrite, "SKIFF READY\r\n", guestObey)
		qemuImg(t, append(append([]string{"convert", "-f", "raw"}, options...), raw, img)...)
		before := sum(t, img)
		r, err := Check(t.Context(), config(t, img), CheckOptions{Timeout: time.Minute})
		if err != nil || !r.Ready {
			t.Errorf("%v: %+v, %v", options, r, err)
		}
		if sum(t, img) != before {
			t.Errorf("%v: the guest's writes reached the image", options)
		}
	}
}

// TestBootOpensNoOtherFile has images of every kind that have a guest, or a part of it, in another
// file. None of them starts, and none lets a guest read that file.
func TestBootOpensNoOtherFile(t *testing.T) {
	t.Parallel()
	secret := guest(t, nil, "SKIFF READY\r\n", guestObey)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.Rename(secret, plain); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", plain, "-F", "raw", file("backing.qcow2"))
	qemuImg(t, "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b",
		`json:{"driver":"raw","file":{"driver":"file","filename":"`+plain+`"}}`, file("json.qcow2"), "1M")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-o", "data_file="+file("data")+",data_file_raw=on",
		file("data.qcow2"), "1M") // it empties the other file
	qemuImg(t, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", plain,
		file("flat.vmdk"))
	qemuImg(t, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", plain,
		file("split.vmdk"))
	qemuImg(t, "convert", "-f", "raw", "-O", "vmdk", plain, file("sparse.vmdk"))
	qemuImg(t, "create", "-q", "-f", "vmdk", "-b", file("sparse.vmdk"), "-F", "vmdk",
		file("parent.vmdk"))
	embedVMDK(t, file("stream.vmdk"), 0, "RW 2048 FLAT \""+plain+"\" 0\n")
	embedVMDK(t, file("child.vmdk"), 2048, "parentCID=12345678\nparentFileNameHint=\"sparse.vmdk\"\n")
	for _, test := range []struct{ file, want string }{
		{"backing.qcow2", "a qcow2 file with a backing file"},
		{"json.qcow2", "a qcow2 file with a backing file"},
		{"data.qcow2", "a qcow2 file with a backing file, encryption or special features (0x4)"},
		{"parent.vmdk", "a VMDK file that is not streamOptimized"},
		{"stream.vmdk", "a VMDK file that describes a disk in other files"},
		{"child.vmdk", "a VMDK file with a parent"},
	} {
		_, err := Check(t.Context(), config(t, file(test.file)), CheckOptions{Timeout: time.Minute})
		if _, ok := errors.AsType[*image.UnsupportedError](err); !ok ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", test.file, err, test.want)
		}
	}
	// Descriptions of disks are no disks: their text is what the guest sees.
	for _, name := range []string{"flat.vmdk", "split.vmdk"} {
		d, err := (&machine{dir: t.TempDir()}).openDisk(t.Context(), file(name))
		if err != nil || d.format != image.Raw {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// embedVMDK writes a VMDK file with the flags of a streamOptimized one, of some sectors, and with a
// description. With 0 sectors QEMU looks into the description for the disk.
func embedVMDK(t *testing.T, file string, sectors uint64, description string) {
	t.Helper()
	data := make([]byte, 4*512)
	le := binary.LittleEndian
	copy(data, "KDMV")
	le.PutUint32(data[4:], 3)
	le.PutUint32(data[8:], 3|1<<16|1<<17)
	le.PutUint64(data[12:], sectors)
	le.PutUint64(data[20:], 128)
	le.PutUint64(data[28:], 1) // the description
	le.PutUint64(data[36:], 1)
	le.PutUint32(data[44:], 512)
	copy(data[512:], "# Disk DescriptorFile\nversion=1\nCID=11111111\n"+
		"createType=\"monolithicFlat\"\n"+description)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestQEMUIsToldFormatsAndFiles checks that nothing on the command line is left to guess.
func TestQEMUIsToldFormatsAndFiles(t *testing.T) {
	c := Config{Firmware: Firmware{Code: `json:{"driver":"nbd"}`, Vars: "fat:/etc"}}
	a, err := archOf("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	args := arguments(c, a, []disk{{file: "/a,b", format: "qcow2", overlay: "/o"},
		{file: "nbd:host:1", format: "raw"}})
	for _, want := range []string{
		`{"driver":"raw","node-name":"code","read-only":true,` +
			`"file":{"driver":"file","filename":"json:{\"driver\":\"nbd\"}"}}`,
		`{"driver":"raw","node-name":"vars","read-only":false,` +
			`"file":{"driver":"file","filename":"fat:/etc"}}`,
		`{"driver":"qcow2","node-name":"disk0","read-only":true,"cache":{"no-flush":true},` +
			`"file":{"driver":"file","filename":"/a,b","cache":{"no-flush":true}},"backing":null}`,
		`{"driver":"qcow2","node-name":"writes0","read-only":false,"cache":{"no-flush":true},` +
			`"file":{"driver":"file","filename":"/o","cache":{"no-flush":true}},"backing":"disk0"}`,
		`{"driver":"raw","node-name":"disk1","read-only":false,"cache":{"no-flush":true},` +
			`"file":{"driver":"file","filename":"nbd:host:1","cache":{"no-flush":true}}}`,
	} {
		if !slices.Contains(args, want) {
			t.Errorf("%s is missing in\n%s", want, strings.Join(args, "\n"))
		}
	}
	if slices.Contains(args, "-drive") {
		t.Errorf("QEMU guesses with -drive: %q", args)
	}
}

// TestOverlaysAreWhole has qemu-img look at what makeOverlay writes.
func TestOverlaysAreWhole(t *testing.T) {
	m := &machine{dir: t.TempDir()}
	for _, size := range []int64{1, 1 << 20, 5 << 30, 64 << 40} {
		file, err := m.makeOverlay(size)
		if err != nil {
			t.Fatal(err)
		}
		qemuImg(t, "check", "-f", "qcow2", file)
		info, err := os.Stat(file)
		if err != nil || info.Size() > 2<<20 {
			t.Errorf("an overlay for %d bytes: %d bytes, %v", size, info.Size(), err)
		}
	}
}

// TestBootWaitsForNoFIFO has a FIFO for an image.
func TestBootWaitsForNoFIFO(t *testing.T) {
	at := filepath.Join(t.TempDir(), "disk.img")
	if err := syscall.Mkfifo(at, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := (&machine{dir: t.TempDir()}).openDisk(t.Context(), at)
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
}

// TestFirmwareThatIsNoFile: a pipe in the place of firmware is not waited for, and variables
// without end are not read.
func TestFirmwareThatIsNoFile(t *testing.T) {
	pipe, file := filepath.Join(t.TempDir(), "pipe"), filepath.Join(t.TempDir(), "file")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o644), os.WriteFile(file, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Firmware{{Code: file, Vars: pipe}, {Code: pipe, Vars: file},
		{Code: file, Vars: "/dev/zero"}} {
		if err := makeVars(filepath.Join(t.TempDir(), "vars"), Config{Firmware: f}); err == nil ||
			!strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
