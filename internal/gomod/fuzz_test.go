// Archives of sources are what their authors make of them.

package gomod

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/buildtest/bound"
)

func FuzzRead(f *testing.F) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, e := range []entry{{"a-1/go.mod", goMod}, {"a-1/go.sum", goSum}} {
		one, err := w.Create(e.name)
		if err != nil {
			f.Fatal(err)
		}
		one.Write([]byte(e.text))
	}
	w.Close()
	f.Add(packed.Bytes())
	f.Add(tarOf(f, goModule...))
	for _, magic := range []string{"\x1f\x8b\x08", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "BZh9"} {
		f.Add([]byte(magic))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		bound.Work(t, 512<<20, func() { _, _ = Read(t.Context(), path, "") })
	})
}
