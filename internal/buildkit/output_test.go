// Tests of the output check, on trees that a hostile package could write.

package buildkit

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckOutputs(t *testing.T) {
	for _, c := range []struct {
		name        string
		directories bool
		make        func(dir string) error
		bad         string // the file that the error names; "*" for an error without one
	}{
		{"files", false, touch("a.rpm", "b-1.0~rc1+git^2.x86_64.rpm"), ""},
		{"nothing", false, touch(), "*"},
		{"only a directory", true, mkdir("d"), "*"},
		{"directory", false, touch("a.rpm", "d/x"), "d"},
		{"directory of a variant", true, touch("d/x"), ""},
		{"symlink", false, link("a.rpm", "b.rpm"), "b.rpm"},
		{"symlink of a variant", true, link("a.img", "d/../b.img"), ""},
		{"absolute symlink", true, link("/etc/passwd", "b"), "b"},
		{"symlink out", true, link("../a.rpm", "b"), "b"},
		{"dangling symlink", true, link("none", "b"), "b"},
		{"symlink out by way of another", true, both(touch("s/a/f"), link("../..", "s/a/up"),
			link("up/../x", "s/a/z")), "s/a/z"},
		{"FIFO", false, both(touch("a"),
			func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "p"), 0o600) }), "p"},
		{"setuid", false, both(touch("a"), chmod("a", 0o755|os.ModeSetuid)), "a"},
		{"setgid directory", true, both(touch("d/a"), chmod("d", 0o755|os.ModeSetgid)), "d"},
		{"option", false, touch("-rf"), "-rf"},
		{"hidden", false, touch(".x"), ".x"},
		{"shell", false, touch("a;b.rpm"), "a;b.rpm"},
		{"newline", false, touch("a\nb"), "a\nb"},
		{"escape", false, touch("a\x1b[31m"), "a\x1b[31m"},
		{"invalid UTF-8", false, touch("a\xff"), "a\xff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, c.make(dir))
			err := checkOutputs(dir, "bash", c.directories)
			var oe *OutputError
			switch {
			case c.bad == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.bad == "*" && (!errors.As(err, &oe) || oe.File != ""):
				t.Errorf("error %v, want an *OutputError about all outputs", err)
			case c.bad != "" && c.bad != "*" && (!errors.As(err, &oe) || oe.File != c.bad):
				t.Errorf("error %v, want an *OutputError about %q", err, c.bad)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("the error would reach a terminal as %q", err)
			}
		})
	}
}

func TestCheckOutputsModes(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "d/a"), "x", 0o600)
	writeFile(t, filepath.Join(dir, "b"), "x", 0o777)
	must(t, os.Chmod(filepath.Join(dir, "d"), 0o700))
	must(t, checkOutputs(dir, "image", true))
	want := map[string]string{"d/a": "-rw-r--r-- x", "b": "-rw-r--r-- x"}
	if got := readTree(t, dir); !maps.Equal(got, want) {
		t.Errorf("modes %q, want %q", got, want)
	}
	if info, err := os.Stat(filepath.Join(dir, "d")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("directory %v, %v", info.Mode(), err)
	}
}

func touch(names ...string) func(string) error {
	return func(dir string) error {
		var errs []error
		for _, n := range names {
			p := filepath.Join(dir, n)
			errs = append(errs, os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("x"), 0o644))
		}
		return errors.Join(errs...)
	}
}

func mkdir(name string) func(string) error {
	return func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o755) }
}

// link makes a symlink, and files that relative targets may mean.
func link(target, name string) func(string) error {
	return func(dir string) error {
		return errors.Join(touch("a.img", "a.rpm", "d/f")(dir),
			os.Symlink(target, filepath.Join(dir, name)))
	}
}

func chmod(name string, mode os.FileMode) func(string) error {
	return func(dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
}

func both(makers ...func(string) error) func(string) error {
	return func(dir string) error {
		for _, m := range makers {
			if err := m(dir); err != nil {
				return err
			}
		}
		return nil
	}
}
