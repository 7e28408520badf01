package confined

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A tree is a directory with everything that somebody may put into one.
func newTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "tree")
	must(t, os.MkdirAll(filepath.Join(root, "sub/deep"), 0o755))
	for name, text := range map[string]string{
		"../secret": "secret", "file": "text", "sub/deep/file": "deep",
	} {
		must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	for name, target := range map[string]string{
		"out": "../secret", "absolute": filepath.Join(dir, "secret"), "inside": "file",
		"dir": "sub", "updir": "..", "zero": "/dev/zero", "sub/self": ".", "proc": "/proc/self/fd",
	} {
		must(t, os.Symlink(target, filepath.Join(root, name)))
	}
	must(t, unix.Mkfifo(filepath.Join(root, "fifo"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "endless"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(root, "endless"), 1<<40))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadInTree(t *testing.T) {
	root := newTree(t)
	for name, want := range map[string]string{
		"file": "text", "sub/deep/file": "deep", "sub/../file": "text", root + "/file": "text",
	} {
		p, ok := In(root, name)
		if data, err := p.Read(100); !ok || err != nil || string(data) != want {
			t.Errorf("%s: %t, %q, %v", name, ok, data, err)
		}
	}
	for name, want := range map[string]string{
		"out": ErrLink.Error(), "absolute": ErrLink.Error(), "inside": ErrLink.Error(),
		"dir/deep/file": ErrLink.Error(), "updir/secret": ErrLink.Error(), "zero": ErrLink.Error(),
		"sub/self/deep/file": ErrLink.Error(), "proc/0": ErrLink.Error(),
		"fifo": "not a regular file", "sub": "not a regular file", ".": "not a regular file",
		"endless": "more than 100 bytes", "file/x": "not a directory", "none": "no such file",
	} {
		p, ok := In(root, name)
		data, err := p.Read(100)
		if !ok || err == nil || !strings.Contains(err.Error(), p.String()) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %t, %q, %v; want %q", name, ok, data, err, want)
		}
	}
	for _, name := range []string{"../secret", filepath.Dir(root), filepath.Dir(root) + "/secret",
		"sub/../../secret", "/dev/zero", "/"} {
		p, ok := In(root, name)
		if data, err := p.Read(100); ok || err == nil {
			t.Errorf("%s: %t, %q, %v", name, ok, data, err)
		}
	}
}

// The caller's own paths may lead through links, but nothing makes a read wait or grow.
func TestReadAnywhere(t *testing.T) {
	root := newTree(t)
	for name, want := range map[string]string{"absolute": "secret", "dir/deep/file": "deep"} {
		if data, err := (Path{Name: filepath.Join(root, name)}).Read(100); string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"fifo", "zero", "endless", "sub"} {
		if data, err := (Path{Name: filepath.Join(root, name)}).Read(100); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
}

func TestCheck(t *testing.T) {
	root := newTree(t)
	for name, good := range map[string]bool{"file": true, "out": false, "fifo": false, "none": false} {
		if err := (Path{Root: root, Name: name}).Check(); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadIn: a file system may follow links, as that of foreign trees does, but not to special or
// endless files.
func TestReadIn(t *testing.T) {
	dir := newTree(t)
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	must(t, os.Symlink("fifo", filepath.Join(dir, "to-fifo")))
	for name, want := range map[string]string{"file": "text", "inside": "text"} {
		if data, err := ReadIn(root.FS(), name, 4); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for name, want := range map[string]string{
		"out": "escapes", "zero": "escapes", "fifo": "not a regular file", "none": "no such file",
		"to-fifo": "not a regular file", "sub": "not a regular file", "endless": "more than 4 bytes",
	} {
		data, err := ReadIn(root.FS(), name, 4)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want %q", name, data, err, want)
		}
	}
}

func TestOpenDirDoesNotWaitForPipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if root, err := OpenDir(pipe); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v, %v", root, err)
	}
	if root, err := (Path{Root: pipe, Name: "x"}).MakeDir(); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v, %v", root, err)
	}
	p := Path{Root: filepath.Dir(pipe), Name: "pipe"}
	if root, err := p.MakeDir(); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("%v, %v", root, err)
	}
}
