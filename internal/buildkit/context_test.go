// Tests of context trees without an engine; fsutil's own validator and filter are the oracles.

package buildkit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"buildsys/internal/plan"
)

func newTestFS(t *testing.T, c plan.Context) *contextFS {
	t.Helper()
	fsys, err := newContextFS(c, &digestMemo{},
		func(err error) { t.Errorf("unexpected failure: %v", err) })
	must(t, err)
	return fsys
}

// walk lists "path mode" of what fsys shows below target, and checks the order as the receiving
// side does.
func walk(t *testing.T, fsys fsutil.FS, target string) []string {
	t.Helper()
	var v fsutil.Validator
	var got []string
	must(t, fsys.Walk(t.Context(), target, func(p string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if strings.Trim(target, "/") == "" {
			if err := v.HandleChange(fsutil.ChangeKindAdd, p, info, nil); err != nil {
				t.Errorf("%s: %v", p, err)
			}
		}
		st, ok := info.Sys().(*types.Stat)
		if !ok || st.Path != p || st.Uid != 0 || st.Gid != 0 || info.IsDir() != d.IsDir() {
			t.Errorf("%s: stat %v", p, st)
		}
		got = append(got, p+" "+info.Mode().String())
		return nil
	}))
	return got
}

func read(t *testing.T, fsys fsutil.FS, name string) string {
	t.Helper()
	r, err := fsys.Open(name)
	must(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	must(t, err)
	return string(data)
}

func TestContextFS(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "host")
	writeFile(t, filepath.Join(dir, "b/z"), "z", 0o600)
	writeFile(t, filepath.Join(dir, "b.c"), "b.c", 0o700)
	writeFile(t, filepath.Join(dir, "b/a"), "a", 0o640)
	must(t, os.Mkdir(filepath.Join(dir, "hollow"), 0o700))
	writeFile(t, file, "host", 0o777)
	fsys := newTestFS(t, plan.Context{
		Files: []plan.File{{Name: "a.spec", Data: []byte("spec"), Mode: 0o600},
			{Name: "rpms-x/y", Host: file, Mode: 0o644}, {Name: "run", Data: nil, Mode: 0o755}},
		Dirs: []*plan.Dir{{Name: "rpms/deep", Host: dir}, {Name: "rpms", Host: filepath.Join(dir, "b")},
			{Name: "void", Host: filepath.Join(dir, "hollow")}},
	})
	want := []string{ // "/" sorts before every other byte: rpms/… comes before rpms-x
		"a.spec -rw-r--r--",
		"rpms drwxr-xr-x", "rpms/a -rw-r--r--", "rpms/deep drwxr-xr-x", "rpms/deep/b drwxr-xr-x",
		"rpms/deep/b/a -rw-r--r--",
		"rpms/deep/b/z -rw-r--r--", "rpms/deep/b.c -rwxr-xr-x", "rpms/deep/hollow drwxr-xr-x",
		"rpms/z -rw-r--r--",
		"rpms-x drwxr-xr-x", "rpms-x/y -rw-r--r--", "run -rwxr-xr-x", "void drwxr-xr-x",
	}
	for _, target := range []string{"", "/"} {
		if got := walk(t, fsys, target); !slices.Equal(got, want) {
			t.Errorf("walk %q:\n%s\nwant\n%s", target, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := walk(t, fsys, "rpms/deep/b"); !slices.Equal(got, want[4:7]) {
		t.Errorf("walk of a subtree: %q", got)
	}
	for name, data := range map[string]string{"a.spec": "spec", "rpms-x/y": "host",
		"/rpms/deep/b.c": "b.c", "run": ""} {
		if got := read(t, fsys, name); got != data {
			t.Errorf("%s: %q, want %q", name, got, data)
		}
	}
	if _, err := fsys.Open("nope"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of a missing file: %v", err)
	}
	if got := walk(t, newTestFS(t, plan.Context{}), "/"); len(got) != 0 {
		t.Errorf("an empty context shows %q", got)
	}
}

// TestContextFSFiltered runs the context through the filter that the session applies.
func TestContextFSFiltered(t *testing.T) {
	fsys := newTestFS(t, plan.Context{Files: []plan.File{{Name: "a/b/c"}, {Name: "a/d"}, {Name: "e"}}})
	for _, c := range []struct {
		opt  fsutil.FilterOpt
		want []string
	}{
		{fsutil.FilterOpt{FollowPaths: []string{".dockerignore"}}, nil},
		{fsutil.FilterOpt{FollowPaths: []string{"a/d"}}, []string{"a drwxr-xr-x", "a/d -rw-r--r--"}},
		{fsutil.FilterOpt{ExcludePatterns: []string{"a/b"}}, []string{"a drwxr-xr-x", "a/d -rw-r--r--",
			"e -rw-r--r--"}},
	} {
		filtered, err := fsutil.NewFilterFS(fsys, &c.opt)
		must(t, err)
		if got := walk(t, filtered, "/"); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.opt, got, c.want)
		}
	}
}

func TestContextFSSkip(t *testing.T) {
	fsys := newTestFS(t, plan.Context{Files: []plan.File{{Name: "a/b"}, {Name: "a/c"}, {Name: "d/e"},
		{Name: "d/f"}, {Name: "g"}}})
	for skip, want := range map[string]string{"a": "a d d/e d/f g", "d/e": "a a/b a/c d d/e g",
		"g": "a a/b a/c d d/e d/f g"} {
		var got []string
		must(t, fsys.Walk(t.Context(), "/", func(p string, _ fs.DirEntry, _ error) error {
			got = append(got, p)
			if p == skip {
				return fs.SkipDir
			}
			return nil
		}))
		if strings.Join(got, " ") != want {
			t.Errorf("skipping %s: %q, want %q", skip, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := fsys.Walk(ctx, "/", func(string, fs.DirEntry,
		error) error {
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("walk after cancel: %v", err)
	}
}

// TestContextFSTimes checks that what a build sees depends on contents alone, and that two contents
// of the same size always differ in time, because the engine compares only sizes and times.
func TestContextFSTimes(t *testing.T) {
	stat := func(data string, mode fs.FileMode, touched time.Time) *types.Stat {
		host := filepath.Join(t.TempDir(), "f")
		writeFile(t, host, data, mode)
		must(t, os.Chtimes(host, touched, touched))
		return newTestFS(t, plan.Context{Dirs: []*plan.Dir{{Name: "d",
			Host: filepath.Dir(host)}}}).index["d/f"].stat()
	}
	a := stat("version 1", 0o644, time.Unix(1e9, 0))
	if b := stat("version 1", 0o600, time.Unix(1.5e9, 7)); a.String() != b.String() {
		t.Errorf("same contents look different:\n%v\n%v", a, b)
	}
	if b := stat("version 2", 0o644, time.Unix(1e9, 0)); a.ModTime == b.ModTime {
		t.Error("an edit of equal size has the same time")
	}
	if a.ModTime/1e9 != contextSecond || a.ModTime%1e9 == 0 {
		t.Errorf("time %d", a.ModTime)
	}
	fromMemory := newTestFS(t,
		plan.Context{Files: []plan.File{{Name: "d/f", Data: []byte("version 1")}}}).index["d/f"].stat()
	if a.String() != fromMemory.String() {
		t.Errorf("host file and memory differ:\n%v\n%v", a, fromMemory)
	}
}

func TestContextFSRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, "x", 0o644)
	special := func(name string, make func(path string) error) string {
		sub := filepath.Join(t.TempDir(), name)
		must(t, os.Mkdir(sub, 0o755))
		must(t, make(filepath.Join(sub, "odd")))
		return sub
	}
	link := special("link", func(p string) error { return os.Symlink("/etc/passwd", p) })
	fifo := special("fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) })
	sock := special("sock", func(p string) error {
		l, err := net.Listen("unix", p)
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	for _, c := range []struct {
		name, want string
		ctx        plan.Context
	}{
		{"symlink in a directory", "symlink", plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: link}}}},
		{"FIFO in a directory", "FIFO", plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: fifo}}}},
		{"socket in a directory", "socket", plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: sock}}}},
		{"symlink as file", "symlink",
			plan.Context{Files: []plan.File{{Name: "a", Host: link + "/odd"}}}},
		{"symlink as directory", "symlink",
			plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: link + "/odd"}}}},
		{"FIFO as file", "FIFO", plan.Context{Files: []plan.File{{Name: "a", Host: fifo + "/odd"}}}},
		{"directory as file", "directory", plan.Context{Files: []plan.File{{Name: "a", Host: dir}}}},
		{"file as directory", "not a directory",
			plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: file}}}},
		{"missing file", "no such file",
			plan.Context{Files: []plan.File{{Name: "a", Host: dir + "/none"}}}},
		{"missing directory", "no such file",
			plan.Context{Dirs: []*plan.Dir{{Name: "d", Host: dir + "/none"}}}},
		{"escape", "clean relative path", plan.Context{Files: []plan.File{{Name: "../a"}}}},
		{"absolute", "clean relative path", plan.Context{Files: []plan.File{{Name: "/a"}}}},
		{"escaping directory", "clean relative path",
			plan.Context{Dirs: []*plan.Dir{{Name: "..", Host: dir}}}},
		{"duplicate", "have this name", plan.Context{Files: []plan.File{{Name: "a"}, {Name: "a"}}}},
		{"duplicate through a directory", "have this name",
			plan.Context{Files: []plan.File{{Name: "d/file"}}, Dirs: []*plan.Dir{{Name: "d", Host: dir}}}},
		{"file below a file", "a file in one input",
			plan.Context{Files: []plan.File{{Name: "a"}, {Name: "a/b"}}}},
		{"ignore file", "hide other inputs", plan.Context{Files: []plan.File{{Name: ".dockerignore"}}}},
	} {
		fsys, err := newContextFS(c.ctx, &digestMemo{}, nil)
		if err == nil {
			err = fsys.checkNamed()
		}
		var ce *ContextError
		if !errors.As(err, &ce) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a *ContextError with %q", c.name, err, c.want)
		}
	}
}

// TestContextFSChanged checks that the context itself reports a file that cannot be opened: fsutil
// would send an empty file.
func TestContextFSChanged(t *testing.T) {
	for name, change := range map[string]func(host string) error{
		"removed": os.Remove,
		"replaced": func(host string) error {
			return errors.Join(os.Remove(host),
				os.WriteFile(host, []byte("x"), 0o644))
		},
		"grown": func(host string) error { return os.WriteFile(host, []byte("xyz"), 0o644) },
		"linked": func(host string) error {
			return errors.Join(os.Remove(host),
				os.Symlink("/etc/passwd", host))
		},
	} {
		host := filepath.Join(t.TempDir(), "f")
		writeFile(t, host, "x", 0o644)
		var told error
		fsys, err := newContextFS(plan.Context{Files: []plan.File{{Name: "f", Host: host}}},
			&digestMemo{}, func(err error) { told = err })
		must(t, err)
		must(t, change(host))
		var ce *ContextError
		if _, err := fsys.Open("f"); err == nil || !errors.As(told, &ce) || ce.Path != host {
			t.Errorf("%s: open gave %v, the build was told %v", name, err, told)
		}
	}
}

func TestContextFSChangedWhileRead(t *testing.T) {
	host := filepath.Join(t.TempDir(), "f")
	writeFile(t, host, "some bytes", 0o644)
	var told error
	fsys, err := newContextFS(plan.Context{Files: []plan.File{{Name: "f", Host: host}}}, &digestMemo{},
		func(err error) { told = err })
	must(t, err)
	r, err := fsys.Open("f")
	must(t, err)
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, 4))
	must(t, err)
	must(t, os.Truncate(host, 4))
	if _, err := io.ReadAll(r); !errors.Is(err, errChanged) || !errors.Is(told, errChanged) {
		t.Errorf("read gave %v, the build was told %v", err, told)
	}
}
