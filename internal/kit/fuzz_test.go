// Labels, indexes and layers of kits come from registries.

package kit

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/manifest"
)

func FuzzLabel(f *testing.F) {
	good, err := Metadata{Name: "a-kit", Version: "1.0.0", SDK: manifest.LockedImage{Image: testSDK},
		Kits: []manifest.Image{image("b-kit", "1.0.0")}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("e30K")
	f.Fuzz(func(t *testing.T, label string) {
		bound.Work(t, 16<<20+uint64(100*len(label)), func() {
			m, err := decodeMetadata(map[string]string{labelName(NewestLabel): label})
			if err != nil {
				return
			}
			again, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodeMetadata(map[string]string{labelName(NewestLabel): again}); err != nil {
				t.Errorf("%+v cannot be read again: %v", m, err)
			}
		})
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:00","size":1,"platform":` +
		`{"architecture":"amd64","os":"linux"}}]}`))
	f.Add([]byte(`{"manifests":[{}],"layers":[]}`))
	f.Add(bytes.Repeat([]byte("["), 20000))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Work(t, 16<<20+uint64(200*len(data)), func() {
			_, _ = Digest(data)
			x, err := parseIndex(data)
			if err != nil {
				return
			}
			found, err := arches(x)
			if err == nil && len(found) > maxArches {
				t.Errorf("%d architectures", len(found))
			}
		})
	})
}

func FuzzLayer(f *testing.F) {
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	h := &tar.Header{Name: "Packages/a/a.x86_64.rpm", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644}
	if w.WriteHeader(h) != nil {
		f.Fatal("no header")
	}
	w.Write([]byte("rpm"))
	w.Close()
	f.Add(data.Bytes(), uint8(0))
	f.Add([]byte("\x1f\x8b\x08"), uint8(1))
	f.Add([]byte("\x28\xb5\x2f\xfd"), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, packed uint8) {
		kind := spec.MediaTypeImageLayer + []string{"", "+gzip", "+zstd"}[packed%3]
		outer := t.TempDir()
		dir := filepath.Join(outer, "kit")
		must(t, os.Mkdir(dir, 0o755))
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		u := &unpacker{root: root, arch: "x86_64"}
		bound.Work(t, 512<<20, func() { _ = u.layer(t.Context(), kind, bytes.NewReader(data)) })
		for _, one := range u.files {
			if info, err := root.Lstat(one.Name); err != nil || info.Size() != one.Size {
				t.Errorf("%+v is not there", one)
			}
		}
		if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
			t.Errorf("it wrote beside its directory: %v, %v", entries, err)
		}
	})
}
