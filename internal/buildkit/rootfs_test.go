// Root file systems that a real engine makes: of files of this machine alone, and nothing else.

package buildkit

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// makeRootfs makes a root file system with the tool, and returns the lines it printed.
func (e *engineTest) makeRootfs(t *testing.T, to io.Writer, args ...string) (lines []string,
	err error) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "base.tar")
	must(t, os.WriteFile(base, buildtest.ToolImage(t), 0o644))
	err = e.b.MakeRootfs(t.Context(), engine.Rootfs{Name: "test", Arch: runtime.GOARCH, Base: base,
		Mounts: map[string]plan.Context{
			"/.in/a": {Files: []plan.File{{Name: "x", Data: []byte("hello")}}}},
		Args: append([]string{"/tool"}, args...),
		Env:  []string{"GREETING=a=b", "ONCE=" + rand.Text()}}, // nothing from the engine's cache
		to, func(ev progress.Event) { lines = append(lines, ev.Text) })
	return lines, err
}

// rootfs checks what a program finds, and what comes of it.
func (e *engineTest) rootfs(t *testing.T) {
	var out bytes.Buffer
	lines, err := e.makeRootfs(t, &out, "cat", "/.in/a/x", ",", "write", "/output/made", "1", ",",
		"dial", "1.1.1.1:53", ",", "env", "GREETING", "/output/made", ",", "cat", "/output/made")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		if name := strings.TrimSuffix(h.Name, "/"); h.Typeflag == tar.TypeReg {
			names = append(names, name)
		}
	}
	if !slices.Contains(names, "tool") || !slices.Contains(names, "output/made") ||
		slices.Contains(names, ".in/a/x") {
		t.Errorf("files %q", names)
	}
	if !slices.Contains(lines, "hello") || !slices.Contains(lines, `1GREETING="a=b"`) ||
		!slices.Contains(lines, "no way to 1.1.1.1:53") {
		t.Errorf("lines %q", lines)
	}
	if _, err := e.makeRootfs(t, io.Discard, "exit", "3"); err == nil ||
		!strings.Contains(err.Error(), "failed with exit code 3") {
		t.Errorf("a program that fails: %v", err)
	}
	want := errors.New("the disk is full")
	_, err = e.makeRootfs(t, fullWriter{want}, "write", "/output/made", "1")
	if !errors.Is(err, want) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type fullWriter struct{ err error }

func (w fullWriter) Write([]byte) (int, error) { return 0, w.err }
