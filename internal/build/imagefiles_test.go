package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// TestRepackRefusesImagesThatNameFiles has images that lead qemu-img to the keys in its container.
func TestRepackRefusesImagesThatNameFiles(t *testing.T) {
	dir := t.TempDir()
	qemuImg := func(args ...string) {
		t.Helper()
		cmd := exec.Command(need.Program(t, "qemu-img"), args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "raw"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	qemuImg("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "raw", "backed.qcow2")
	qemuImg("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "raw", "flat.vmdk")
	qemuImg("convert", "-f", "raw", "-O", "qcow2", "raw", "whole.qcow2")
	qemuImg("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "raw",
		"whole.vmdk")
	for name, want := range map[string]string{
		"backed.qcow2": "a qcow2 file with a backing file",
		"flat.vmdk":    "its header is that of a raw image, not of a vmdk image",
		"whole.qcow2":  "",
		"whole.vmdk":   "",
	} {
		err := checkAlone(dir, []string{"raw", name})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
