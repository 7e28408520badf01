// Tests of the receiver, on streams that an engine could send for a hostile package.

package buildkit

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// sent is a file as an engine sends it.
type sent struct {
	tar.Header
	data string
}

func file(name string) sent {
	return sent{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: 1}, "x"}
}

func dir(name string) sent {
	return sent{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o700}}
}

func symlink(target, name string) sent {
	return sent{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target,
		Mode: 0o777}}
}

func special(kind byte, name string) sent {
	return sent{Header: tar.Header{Typeflag: kind, Name: name, Mode: 0o666, Devmajor: 8}}
}

// mode changes a file's mode.
func (s sent) mode(mode int64) sent { s.Mode = mode; return s }

// archive writes files as an engine does. With a size that is larger than its data, a file is the
// last.
func archive(t *testing.T, files []sent) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		must(t, w.WriteHeader(&f.Header))
		_, err := io.WriteString(w, f.data)
		must(t, err)
		if f.Size > int64(len(f.data)) {
			return buf.Bytes()
		}
	}
	must(t, w.Close())
	return buf.Bytes()
}

// solveOf returns a build whose outputs are trees, or files side by side.
func solveOf(trees bool) plan.Solve {
	s := plan.Solve{Name: "bash", Target: string(plan.Package)}
	if trees {
		s.Target = string(plan.Variant)
	}
	return s
}

// received sends a stream to a receiver into dir.
func received(t *testing.T, dir string, trees bool, limits engine.Limits, stream []byte,
	keys ...keyPart) error {
	t.Helper()
	r, err := newReceiver(solveOf(trees), dir, limits, func(error) {})
	must(t, err)
	r.keys = keys
	to, err := r.exports()[0].Output(nil)
	must(t, err)
	_, failed := to.Write(stream)
	if err := to.Close(); (failed != nil || err != nil) != (r.err != nil) {
		t.Errorf("the engine learns %v, %v of %v", failed, err, r.err)
	}
	return r.finish(t.Context(), nil)
}

// TestOutputsInsideADirectory: recipes of some trees put images into a directory with the name of
// their version.
func TestOutputsInsideADirectory(t *testing.T) {
	for name, c := range map[string]struct {
		files     []sent
		want, bad string
	}{
		"in it": {[]sent{dir("1.0-a"), file("1.0-a/x"), dir("1.0-a/d"), file("1.0-a/d/y"),
			sent{Header: tar.Header{Typeflag: tar.TypeLink, Name: "1.0-a/z",
				Linkname: "1.0-a/x", Mode: 0o600}}, symlink("x", "1.0-a/latest")}, "d d/y latest x z", ""},
		"not in it": {[]sent{file("x"), dir("1.0-ab"), file("1.0-ab/y")}, "1.0-ab 1.0-ab/y x",
			""},
		"in and beside it":   {[]sent{dir("1.0-a"), file("1.0-a/x"), file("y")}, "x y", ""},
		"twice":              {[]sent{file("x"), dir("1.0-a"), file("1.0-a/x")}, "", "twice"},
		"a file of its name": {[]sent{file("1.0-a")}, "1.0-a", ""},
		"out of it":          {[]sent{dir("1.0-a"), symlink("../y", "1.0-a/x")}, "", "x"},
	} {
		out, s := t.TempDir(), solveOf(true)
		s.Inside = "1.0-a"
		r, err := newReceiver(s, out, engine.Limits{}, func(error) {})
		must(t, err)
		to, err := r.exports()[0].Output(nil)
		must(t, err)
		_, _ = to.Write(archive(t, c.files))
		_ = to.Close()
		err = r.finish(t.Context(), nil)
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: %v, want %q", name, err, c.bad)
			}
			continue
		}
		var names []string
		must(t, err)
		must(t, filepath.WalkDir(out, func(at string, _ fs.DirEntry, err error) error {
			if rel, _ := filepath.Rel(out, at); rel != "." {
				names = append(names, rel)
			}
			return err
		}))
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestOutputsOfForbiddenKindsAreNeverMade(t *testing.T) {
	for _, c := range []struct {
		name  string
		trees bool
		files []sent
		bad   string // the file that the error names; "*" for an error without one
	}{
		{"files", false, []sent{file("a.rpm"), file("b-1.0~rc1+git^2.x86_64.rpm")}, ""},
		{"nothing", false, nil, "*"},
		{"only a directory", true, []sent{dir("d")}, "*"},
		{"directory", false, []sent{file("a.rpm"), dir("d"), file("d/x")}, "d"},
		{"directory of a variant", true, []sent{dir("d"), file("d/x")}, ""},
		{"symlink", false, []sent{file("a.rpm"), symlink("a.rpm", "b.rpm")}, "b.rpm"},
		{"symlink of a variant", true,
			[]sent{file("b.img"), dir("d"), symlink("../b.img", "d/l"), symlink("d/../b.img", "m")}, ""},
		{"symlink to what comes later", true, []sent{symlink("b.img", "a"), file("b.img")}, ""},
		{"absolute symlink", true, []sent{file("a"), symlink("/etc/passwd", "b")}, "b"},
		{"symlink out", true, []sent{file("a.rpm"), symlink("../a.rpm", "b")}, "b"},
		{"dangling symlink", true, []sent{file("a"), symlink("none", "b")}, "b"},
		{"symlink without a target", true, []sent{file("a"), symlink("", "b")}, "b"},
		{"symlinks in a circle", true, []sent{file("a"), symlink("c", "b"), symlink("b", "c")}, "b"},
		{"symlink out by way of another", true, []sent{dir("s"), dir("s/a"), file("s/a/f"),
			symlink("../..", "s/a/up"), symlink("up/../x", "s/a/z")}, "s/a/z"},
		{"through a symlink", true, []sent{dir("d"), file("d/f"), symlink("d", "l"), file("l/g")}, "l/g"},
		{"in the place of a symlink", true, []sent{file("a"), symlink("/etc/x", "l"), file("l")}, "l"},
		{"hard link", false, []sent{file("a"), {Header: tar.Header{Typeflag: tar.TypeLink, Name: "b",
			Linkname: "a", Mode: 0o644}}}, ""},
		{"hard link out", false, []sent{file("a"), {Header: tar.Header{Typeflag: tar.TypeLink, Name: "b",
			Linkname: "../../etc/passwd", Mode: 0o644}}}, "b"},
		{"hard link with another mode", false, []sent{file("a"), {Header: tar.Header{
			Typeflag: tar.TypeLink, Name: "b", Linkname: "a", Mode: 0o4755}}}, "b"},
		{"FIFO", false, []sent{file("a"), special(tar.TypeFifo, "p")}, "p"},
		{"FIFO of a variant", true, []sent{file("a"), special(tar.TypeFifo, "p")}, "p"},
		{"disk", true, []sent{file("a"), special(tar.TypeBlock, "sda")}, "sda"},
		{"character device", true, []sent{file("a"), special(tar.TypeChar, "mem")}, "mem"},
		{"setuid", false, []sent{file("a").mode(0o4755)}, "a"},
		{"setgid", false, []sent{file("a").mode(0o2755)}, "a"},
		{"sticky", true, []sent{file("a"), dir("d").mode(0o1777)}, "d"},
		{"setgid directory", true, []sent{dir("d").mode(0o2755), file("d/a")}, "d"},
		{"capabilities", false, []sent{{tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o755, Size: 1,
			PAXRecords: map[string]string{capability: "\x01"}}, "x"}}, "a"},
		{"label of the engine's file system", false, []sent{{tar.Header{Typeflag: tar.TypeReg, Name: "a",
			Size: 1, PAXRecords: map[string]string{"SCHILY.xattr.security.selinux": "x"}}, "x"}}, ""},
		{"other users' file", false, []sent{{tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1,
			Uid: 4711, Gid: 4711, Mode: 0}, "x"}}, ""},
		{"option", false, []sent{file("-rf")}, "-rf"},
		{"hidden", false, []sent{file(".x")}, ".x"},
		{"shell", false, []sent{file("a;b.rpm")}, "a;b.rpm"},
		{"newline", false, []sent{file("a\nb")}, "a\nb"},
		{"escape", false, []sent{file("a\x1b[31m")}, "a\x1b[31m"},
		{"invalid UTF-8", false, []sent{file("a\xff")}, "a\xff"},
		{"above", true, []sent{file("../a")}, "../a"},
		{"absolute", true, []sent{file("/a")}, "/a"},
		{"top", true, []sent{dir("")}, "*"},
		{"without its directory", true, []sent{file("d/a")}, "d/a"},
		{"below a file", true, []sent{file("a"), file("a/b")}, "a/b"},
		{"twice", false, []sent{file("a"), file("a")}, "a"},
		{"deep", true, deep(65), strings.Repeat("d/", 64) + "d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			must(t, os.WriteFile(filepath.Join(filepath.Dir(out), "beside"), nil, 0o600))
			err := received(t, out, c.trees, engine.Limits{}, archive(t, c.files))
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
			checkHarmless(t, out, err == nil)
		})
	}
}

func deep(n int) (files []sent) {
	for i := range n {
		files = append(files, dir(strings.Repeat("d/", i)+"d"))
	}
	return append(files, file("a"))
}

// checkHarmless fails if there is more below dir than files and directories of this user with plain
// modes, and links between them in what was accepted.
func checkHarmless(t *testing.T, dir string, accepted bool) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		must(t, err)
		want := []os.FileMode{0o644, os.ModeDir | 0o755}
		if accepted {
			want = append(want, os.ModeSymlink|0o777)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; !slices.Contains(want, info.Mode()) ||
			int(uid) != os.Getuid() {
			t.Errorf("%s: %v of user %d", path, info.Mode(), uid)
		}
		return nil
	}))
}

// Outputs that are too large are refused before a byte of them is written.
func TestOutputsAreCountedBeforeTheyAreWritten(t *testing.T) {
	huge := func(name string, size int64) sent {
		return sent{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}}
	}
	link := func(name string) sent {
		return sent{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: "a", Mode: 0o600}}
	}
	large := sent{tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 600}, strings.Repeat("x", 600)}
	many := []sent{dir("d")}
	for i := range 10 {
		many = append(many, dir(fmt.Sprint("d/", i)))
	}
	long := []sent{dir("d")}
	for i := range maxNames/(4*255) + 1 {
		long = append(long, symlink(strings.Repeat("x", 1024), fmt.Sprint("d/", i)))
	}
	limits := engine.Limits{Bytes: 1000, Files: 10}
	for name, tt := range map[string]struct {
		limits engine.Limits
		files  []sent
		want   string
	}{
		"a hole of 8 EiB": {limits, []sent{huge("a", math.MaxInt64)}, "more than 1000 bytes (--step"},
		"a byte too many": {limits, []sent{huge("a", 1001)}, "more than 1000 bytes (--step"},
		"the sum":         {limits, []sent{large, huge("b", 401)}, "more than 1000 bytes (--step"},
		"a sum of 16 EiB": {engine.Limits{Bytes: math.MaxInt64 - 1},
			[]sent{file("a"), huge("b", math.MaxInt64)}, "(--step-output)"},
		"hard links": {limits, []sent{large, link("b")}, "more than 1000 bytes (--step"},
		"files":      {limits, many, "more than 10 files"},
		"names":      {engine.Limits{}, long, "names of its outputs have more than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			err := received(t, out, true, tt.limits, archive(t, tt.files))
			if !errkind.Is[*engine.LimitError](err) || !strings.Contains(err.Error(), tt.want) ||
				errkind.Of(err) != errkind.StepFailed {
				t.Errorf("%v; want %q", err, tt.want)
			}
			for name, text := range readTree(t, out) {
				if len(text) > len("-rw-r--r-- ")+600 {
					t.Errorf("%s has %d bytes", name, len(text))
				}
			}
		})
	}
	exact := []sent{file("a"), {tar.Header{Typeflag: tar.TypeReg, Name: "b", Size: 999},
		strings.Repeat("x", 999)}}
	must(t, received(t, t.TempDir(), false, limits, archive(t, exact)))
}

func TestOutputsHaveOurModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	out := t.TempDir()
	must(t, received(t, out, true, engine.Limits{}, archive(t, []sent{file("b").mode(0o777),
		dir("d").mode(0), file("d/a").mode(0)})))
	want := map[string]string{"d/a": "-rw-r--r-- x", "b": "-rw-r--r-- x"}
	if got := readTree(t, out); !maps.Equal(got, want) {
		t.Errorf("modes %q, want %q", got, want)
	}
	checkHarmless(t, out, true)
}

// Outputs are whole or an error, wherever their stream ends.
func TestCutOutputsAreAnError(t *testing.T) {
	whole := archive(t, []sent{file("a"), file("b")})
	for n := 0; n < len(whole); n += 256 {
		if err := received(t, t.TempDir(), false, engine.Limits{}, whole[:n]); err == nil ||
			refused(err) {
			t.Errorf("after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	more := append(slices.Clone(whole), make([]byte, 512)...)
	if err := received(t, t.TempDir(), false, engine.Limits{}, more); !refused(err) {
		t.Errorf("with more after the end: %v", err)
	}
	r, err := newReceiver(solveOf(false), t.TempDir(), engine.Limits{}, func(error) {})
	must(t, err)
	to, err := r.open(nil)
	must(t, err)
	if _, err := r.open(nil); !errors.Is(err, errTwice) {
		t.Errorf("a second stream: %v", err)
	}
	if err := to.Close(); err == nil {
		t.Error("an empty stream is accepted")
	}
}

// An engine that is given up writes nothing any more.
func TestNothingIsWrittenAfterTheBuild(t *testing.T) {
	out, lost := t.TempDir(), errors.New("connection lost")
	r, err := newReceiver(solveOf(false), out, engine.Limits{}, func(error) {})
	must(t, err)
	to, err := r.open(nil)
	must(t, err)
	stream := archive(t, []sent{file("a"), file("b")})
	_, err = to.Write(stream[:1024])
	must(t, err)
	if err := r.finish(t.Context(), lost); err != lost {
		t.Errorf("error %v", err)
	}
	if _, err := to.Write(stream[1024:]); err == nil {
		t.Error("the rest is accepted")
	}
	if got := readTree(t, out); len(got) != 1 {
		t.Errorf("there is %q", got)
	}
	late, err := newReceiver(solveOf(false), out, engine.Limits{}, func(error) {})
	must(t, err)
	if err := late.finish(t.Context(), nil); !errors.Is(err, errNothing) {
		t.Errorf("no stream at all: %v", err)
	}
	if _, err := late.open(nil); !errors.Is(err, errTwice) {
		t.Errorf("a stream after the end: %v", err)
	}
}

// FuzzReceive gives a receiver streams that no engine sends. Whatever comes, there is nothing but
// files and directories in the directory and nothing beside it, and no more than the limits allow.
func FuzzReceive(f *testing.F) {
	for _, files := range [][]sent{
		{file("a"), dir("d"), file("d/b"), symlink("d/b", "l")},
		{special(tar.TypeBlock, "b")},
		{file("a").mode(0o4755)},
		{file("a"), {Header: tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}}},
		{file("../a"), symlink("..", "l"), file("l/b")},
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, one := range files {
			if err := w.WriteHeader(&one.Header); err != nil {
				f.Fatal(err)
			}
			_, _ = io.WriteString(w, one.data)
		}
		_ = w.Close()
		f.Add(buf.Bytes())
	}
	const most = 64 << 10
	f.Fuzz(func(t *testing.T, stream []byte) {
		top := t.TempDir()
		out := filepath.Join(top, "out")
		must(t, os.Mkdir(out, 0o700))
		err := received(t, out, true, engine.Limits{Bytes: most, Files: 20}, stream)
		checkHarmless(t, out, err == nil)
		size, entries := 0, 0
		for _, text := range readTree(t, out) {
			size += len(text)
			entries++
		}
		if beside, err := os.ReadDir(top); err != nil || len(beside) != 1 || entries > 20 ||
			size > most+20*(maxNames>>12) {
			t.Errorf("%d files of %d bytes, beside them %v, %v", entries, size, beside, err)
		}
	})
}

func TestOutputsWithHolesAreRefused(t *testing.T) {
	var out *OutputError
	err := received(t, t.TempDir(), false, engine.Limits{}, bound.Hole(t, "x"))
	if !errors.As(err, &out) || !strings.Contains(err.Error(), "has holes") {
		t.Errorf("%v, want an error about holes", err)
	}
}
