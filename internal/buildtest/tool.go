// The image of engine tests: one static program, /tool, which does what its arguments say.

package buildtest

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ToolImage returns the root file system, as a tar archive, of an image with /tool and an empty
// /output. The program's source, testdata/tool, documents its arguments.
func ToolImage(t testing.TB) []byte {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tool")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin,
		"buildsys/internal/buildtest/testdata/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the tool: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	program := &tar.Header{Name: "tool", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}
	output := &tar.Header{Name: "output/", Typeflag: tar.TypeDir, Mode: 0o755}
	for _, step := range []func() error{
		func() error { return w.WriteHeader(program) },
		func() error { _, err := w.Write(data); return err },
		func() error { return w.WriteHeader(output) },
		w.Close,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}
