// Tests of what VMDK files say of other files.

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// describedVMDK returns the beginning of a VMDK file whose header has its description at a sector,
// with a text at another.
func describedVMDK(header, at int, text string) []byte {
	b := make([]byte, 64*sector)
	le := binary.LittleEndian
	copy(b, vmdkMagic)
	le.PutUint32(b[8:], vmdkStreamBits)
	le.PutUint64(b[12:], 2048)
	le.PutUint64(b[20:], 128)
	le.PutUint64(b[28:], uint64(header))
	le.PutUint64(b[36:], 1)
	copy(b[at*sector:], text)
	return b
}

// TestVMDKParentIsFound has parents where QEMU finds them: it reads what is behind the header,
// wherever the header says that the description is, and not line by line.
func TestVMDKParentIsFound(t *testing.T) {
	const hint = `parentFileNameHint="/etc/shadow"`
	for name, test := range map[string]struct {
		header, at int
		text       string
		good       bool
	}{
		"none":                  {1, 1, "parentCID=ffffffff\n", true},
		"where the header says": {30, 30, hint + "\n", false},
		"no description":        {0, 1, hint + "\n", false},
		"another description":   {30, 1, hint + "\n", false},
		"deep":                  {1, 20, hint + "\n", false},
		"in a line":             {1, 1, `ddb.x = "1" ` + hint + "\n", false},
		"identifier":            {1, 1, "parentCID=12345678\n", false},
	} {
		data := describedVMDK(test.header, test.at, test.text)
		_, err := Identify(bytes.NewReader(data), "disk", int64(len(data)))
		if _, refused := errors.AsType[*UnsupportedError](err); refused == test.good ||
			test.good && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestVMDKOfTwoDisks has files that are one disk when they are read from front to back, and another
// one by their tables: qemu-img says so.
func TestVMDKOfTwoDisks(t *testing.T) {
	dir := t.TempDir()
	raw, file, out := filepath.Join(dir, "raw"), filepath.Join(dir, "disk"), filepath.Join(dir, "out")
	content := make([]byte, 4*mib)
	content[0], content[mib] = 1, 2
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(raw, content)
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw,
		file)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	directory := le.Uint64(good[56:]) * sector
	table := uint64(le.Uint32(good[directory:])) * sector
	for name, change := range map[string]func(b []byte){
		"": func([]byte) {},
		"swapped": func(b []byte) {
			copy(b[table:], good[table+4*16:][:4])
			copy(b[table+4*16:], good[table:][:4])
		},
		"hidden":    func(b []byte) { le.PutUint32(b[table:], 0) },
		"added":     func(b []byte) { copy(b[table+4*3:], good[table:][:4]) },
		"directory": func(b []byte) { le.PutUint32(b[directory:], 0) },
	} {
		bad := bytes.Clone(good)
		change(bad)
		write(file, bad)
		run(t, "qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, out)
		seen, err := os.ReadFile(out)
		if err != nil || bytes.Equal(seen, content) != (name == "") {
			t.Fatalf("%q: qemu-img sees the same disk, %v", name, err)
		}
		write(out, nil)
		dst, err := os.OpenFile(out, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		x := anything(t)
		x.dst = dst
		_, err = expandVMDK(&x, bytes.NewReader(bad), int64(len(bad)))
		dst.Close()
		if name == "" && err != nil ||
			name != "" && (err == nil || !strings.Contains(err.Error(), "programs differ")) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
