// Fuzz targets of what comes packed: they fail when an input takes more memory, work or disk than
// the limits for it allow.

package image

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/buildtest/bound"
)

// small are limits of which a fuzzer notices that they do not hold.
func small() *limits { return &limits{disk: 1 << 40, made: 64 << 20, data: 4 << 20} }

func fuzzExpand(f *testing.F, magic string, expander expandFunc) {
	f.Fuzz(func(t *testing.T, b []byte) {
		src := bytes.NewReader(append(append([]byte(magic), b...), make([]byte, 512)...))
		x := expansion{ctx: t.Context(), limits: small()}
		var disk *File
		bound.Work(t, 160<<20, func() {
			disk, _ = expand(x, expander, io.NewSectionReader(src, 0, src.Size()), "fuzz", t.TempDir())
		})
		if disk == nil {
			return
		}
		defer disk.Close()
		if x.data < 0 || x.made < 0 || disk.Size > x.disk {
			t.Errorf("a disk of %d bytes beyond the limits %+v", disk.Size, *x.limits)
		}
	})
}

func FuzzQcow2(f *testing.F) {
	for _, seed := range [][]byte{qcow2Of(1, 3*64<<10), qcow2Of(3, 0), qcow2Of(2, 1<<62|3*64<<10)} {
		f.Add(seed[len(qcow2Magic):])
	}
	fuzzExpand(f, qcow2Magic, expandQcow2)
}

func FuzzVMDK(f *testing.F) {
	f.Add(vmdkOf(f, 1<<20)[len(vmdkMagic):])
	f.Add(vmdkOf(f, 1<<40)[len(vmdkMagic):])
	fuzzExpand(f, vmdkMagic, expandVMDK)
}

func FuzzLZ4(f *testing.F) {
	f.Add(frameOf(make([]byte, 1<<20))[len(lz4Magic):])
	fuzzExpand(f, lz4Magic, expandLZ4)
}

func FuzzOVA(f *testing.F) {
	for _, file := range []string{sparseOVA(f)} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 512 {
			return
		}
		copy(data[257:], "ustar")
		file := filepath.Join(t.TempDir(), "a.ova")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		bound.Work(t, 256<<20, func() {
			disks, _ := openAll(t.Context(), file, t.TempDir(), small())
			for _, d := range disks {
				d.Close()
			}
		})
	})
}

func FuzzOVF(f *testing.F) {
	f.Add([]byte("<Disk file=\"{{OS_DISK}}\" size=\"{{OS_DISK_BYTES}}\"/>\n{{X}}{{{{}}"),
		"{{OS_DISK}}")
	f.Fuzz(func(t *testing.T, template []byte, value string) {
		a := Appliance{OSDisk: "os.vmdk", OSGiB: 2, More: map[string]string{"X": value}}
		bound.Work(t, 64<<20+uint64(len(template)*(16+len(value))), func() {
			out, err := RenderOVF(template, a)
			if err == nil && !bytes.Contains(out, []byte("os.vmdk")) {
				t.Errorf("%q has no disk", out)
			}
		})
	})
}
