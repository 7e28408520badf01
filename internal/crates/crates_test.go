package crates

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/bound"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseLock(t *testing.T) {
	const registry = "registry+https://github.com/rust-lang/crates.io-index"
	entry := func(name, version, more string) string {
		return "[[package]]\nname = \"" + name + "\"\nversion = \"" + version + "\"\n" + more
	}
	of := "source = \"" + registry + "\"\n"
	check := "checksum = \"" + sum + "\"\n"
	git := func(from string) string { return "source = \"git+" + from + "#" + commit + "\"\n" }
	for name, c := range map[string]struct{ text, want string }{
		"of the registry": {"version = 3\n" + entry("b-c", "1.0.0+x", of+check), "b-c-1.0.0+x"},
		"sorted": {entry("b", "1.0.0", of+check) + entry("a", "2.0.0", of+check),
			"a-2.0.0 b-1.0.0"},
		"twice":       {entry("b", "1.0.0", of+check) + entry("b", "1.0.0", of+check), "b-1.0.0"},
		"of the tree": {entry("b", "1.0.0", "dependencies = [\"a\"]\n"), ""},
		"of a sparse index": {entry("b", "1.0.0", "source = \"sparse+https://index.crates.io/\"\n"+check),
			"b-1.0.0"},
		"of git": {entry("b", "1.0.0", git("https://example.com/b?tag=v1")) +
			entry("a", "2.0.0", git("ssh://git@example.com/x/a.git")),
			"a-2.0.0@ssh://git@example.com/x/a.git b-1.0.0@https://example.com/b (tag v1)"},
		"of git, encoded": {entry("b", "1.0.0", git("https://example.com/b?branch=a%2Fb&other=1")),
			"b-1.0.0@https://example.com/b (branch a/b)"},
		"of git without a commit": {entry("b", "1.0.0", "source = \"git+https://example.com/b#abc\"\n"),
			"! L: b 1.0.0 comes from git+https://example.com/b#abc, which names no commit"},
		"of git of this machine": {entry("b", "1.0.0", git("file:///srv/b")),
			"! L: b 1.0.0 comes from git+file:///srv/b#" + commit + ", which is not the address"},
		"of git above": {entry("b", "1.0.0", git("https://example.com/a/../../b")),
			"! L: b 1.0.0 comes from git+https://example.com/a/../../b#" + commit + ", which is not"},
		"of git with a password": {entry("b", "1.0.0",
			git("https://me:x@example.com/b")), "! L: b 1.0.0 " +
			"comes from git+https://me:x@example.com/b#" + commit + ", which has a password"},
		"of git with a name that climbs": {entry("../b", "1.0.0", git("https://example.com/b")),
			"! L: \"../b\" is not the name"},
		"of git twice": {entry("b", "1.0.0", git("https://example.com/b")) + entry("b", "1.1.0",
			strings.Replace(git("https://example.com/b.git"), commit[:2], "11", 1)),
			"! L: there are two commits for https://example.com/b.git: "},
		"in the first form": {entry("b", "1.0.0", of) + "[metadata]\n\"checksum b 1.0.0 (" + registry +
			")\" = \"" + sum + "\"\n", "b-1.0.0"},
		"without a checksum":  {entry("b", "1.0.0", of), "! L: the checksum \"\" of b-1.0.0 is not"},
		"a name that climbs":  {entry("../b", "1.0.0", of+check), "! L: \"../b\" is not the name"},
		"a version that does": {entry("b", "1.0/..", of+check), "! L: \"1.0/..\" is not a version"},
		"another checksum": {entry("b", "1.0.0", of+check) + entry("b", "1.0.0", of+
			strings.Replace(check, "0", "1", 1)), "! L: there are two checksums for b-1.0.0"},
		"what is no TOML": {"[[package\n", "! L: toml"},
	} {
		lock, err := ParseLock("L", []byte(c.text))
		var words []string
		for _, one := range lock.Crates {
			words = append(words, one.String())
		}
		for _, c := range lock.Git {
			words = append(words, c.String()+"@"+c.From.String())
		}
		for _, o := range lock.Others {
			words = append(words, "("+o.Name+" "+o.Source+")")
		}
		got := strings.Join(words, " ")
		if err != nil {
			got = "! " + err.Error()
		}
		if wrong := strings.HasPrefix(c.want, "!"); got != c.want && !(wrong &&
			strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	a, b := Crate{"b", "1.0.0", sum}, Crate{"b", "1.0.0", strings.Repeat("0", 64)}
	if _, err := Merge(Lock{Crates: []Crate{a}}, Lock{Crates: []Crate{b}}); err == nil {
		t.Error("locks that contradict each other are merged")
	}
}

// sent is a file of a crate.
type sent struct {
	name, data string
	kind       byte
	mode       int64
}

func crateOf(t testing.TB, files ...sent) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := tar.Header{Name: f.name, Typeflag: f.kind, Mode: f.mode | 0o644, Linkname: "x"}
		if f.kind == 0 || f.kind == tar.TypeReg {
			h.Size, h.Typeflag, h.Linkname = int64(len(f.data)), tar.TypeReg, ""
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(f.data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func unpacked(t testing.TB, c Crate, data []byte) (*os.Root, error) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, c.Unpack(t.Context(), bytes.NewReader(data), root)
}

func TestUnpack(t *testing.T) {
	c := Crate{"a", "1.0.0", sum}
	data := crateOf(t, sent{name: "a-1.0.0/Cargo.toml", data: "x"},
		sent{name: "a-1.0.0/src", kind: tar.TypeDir}, sent{name: "a-1.0.0/src/.hidden", data: "z"},
		sent{name: "a-1.0.0/src/lib.rs", data: "y"}, sent{name: "a-1.0.0/run", data: "r", mode: 0o755},
		sent{name: "a-1.0.0/.gitignore", data: "target"},
		sent{name: "a-1.0.0/" + checksumFile, data: "{}"})
	root, err := unpacked(t, c, data)
	if err != nil {
		t.Fatal(err)
	}
	const list = `{"files":{` +
		`"Cargo.toml":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",` +
		`"run":"454349e422f05297191ead13e21d3db520e5abef52055e4964b82fb213f593a1",` +
		`"src/.hidden":"594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06",` +
		`"src/lib.rs":"a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"},` +
		`"package":"` + sum + `"}`
	if got, err := root.ReadFile(checksumFile); string(got) != list || err != nil {
		t.Errorf("checksums %s, %v", got, err)
	}
	if info, err := root.Stat("run"); err != nil || info.Mode() != 0o755 {
		t.Errorf("run: %v, %v", info, err)
	}
	if _, err := root.Stat(".gitignore"); err == nil {
		t.Error("it has .gitignore")
	}
	check := func() error { return c.Check(t.Context(), bytes.NewReader(data), root) }
	if err := check(); err != nil {
		t.Errorf("what was unpacked is refused: %v", err)
	}
	for name, damage := range map[string]func() error{
		"other contents": func() error { return root.WriteFile("src/lib.rs", []byte("n"), 0o644) },
		"a longer file":  func() error { return root.WriteFile("src/lib.rs", []byte("yy"), 0o644) },
		"a missing file": func() error { return root.Remove("src/lib.rs") },
		"another file":   func() error { return root.WriteFile("build.rs", nil, 0o644) },
		"a link":         func() error { return root.Symlink("Cargo.toml", "link") },
		"a checksum pipe": func() error {
			return errors.Join(root.Remove(checksumFile),
				syscall.Mkfifo(filepath.Join(root.Name(), checksumFile), 0o644))
		},
		"no checksums":   func() error { return root.Remove(checksumFile) },
		"not executable": func() error { return root.Chmod("run", 0o644) },
	} {
		if root, err = unpacked(t, c, data); err != nil {
			t.Fatal(err)
		}
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if check() == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	good := sent{name: "a-1.0.0/Cargo.toml", data: "x"}
	many := []sent{good}
	for i := range maxFiles {
		many = append(many, sent{name: fmt.Sprintf("a-1.0.0/%d", i)})
	}
	for want, files := range map[string][]sent{
		"does not lie in a-1.0.0":        {good, {name: "b-1.0.0/x"}},
		"\"a-1.0.0/../x\" does not lie":  {good, {name: "a-1.0.0/../x"}},
		"\"/a-1.0.0/x\" does not lie":    {good, {name: "/a-1.0.0/x"}},
		"\"a-1.0.0x\" does not lie":      {good, {name: "a-1.0.0x"}},
		"\"a-1.0.0\" does not lie":       {good, {name: "a-1.0.0"}},
		"neither a file nor a directory": {good, {name: "a-1.0.0/l", kind: tar.TypeSymlink}},
		"\"a-1.0.0/h\" is neither":       {good, {name: "a-1.0.0/h", kind: tar.TypeLink}},
		"\"a-1.0.0/f\" is neither":       {good, {name: "a-1.0.0/f", kind: tar.TypeFifo}},
		"it has \"Cargo.toml\" twice":    {good, good},
		"is too long a name":             {good, {name: "a-1.0.0/" + strings.Repeat("d/", 64) + "x"}},
		"is not a plain name":            {good, {name: "a-1.0.0/x\ny"}},
		"it has no Cargo.toml":           {{name: "a-1.0.0/x"}},
		"it has too many files":          many,
		"it has more than 512 MiB": {good, {name: "a-1.0.0/x",
			data: string(make([]byte, maxBytes))}},
	} {
		err := Crate{"a", "1.0.0", sum}.each(t.Context(), bytes.NewReader(crateOf(t, files...)),
			func(_ string, _ bool, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(crateOf(f, sent{name: "a-1.0.0/Cargo.toml", data: "x"}, sent{name: "a-1.0.0/s", kind: '5'}))
	f.Add(crateOf(f, sent{name: "a-1.0.0/../x", data: "x"}, sent{name: "a-1.0.0/s", kind: '2'}))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "to"), 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(filepath.Join(dir, "to"))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		c := Crate{"a", "1.0.0", sum}
		bound.Work(t, 1<<30, func() { err = c.Unpack(t.Context(), bytes.NewReader(data), root) })
		if entries, e := os.ReadDir(dir); e != nil || len(entries) != 1 {
			t.Errorf("%v, %v beside the directory", entries, e)
		}
		if err != nil {
			return
		}
		if err := c.Check(t.Context(), bytes.NewReader(data), root); err != nil {
			t.Errorf("what was unpacked is refused: %v", err)
		}
	})
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte("version = 3\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = " +
		"\"sparse+https://index.crates.io/\"\nchecksum = \"" + sum + "\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		bound.Work(t, 1<<30, func() {
			lock, err := ParseLock("L", text)
			for _, c := range lock.Crates {
				if err == nil && (strings.ContainsAny(c.String(), "/\\") || len(c.SHA256) != 64) {
					t.Errorf("%+v", c)
				}
			}
		})
	})
}

// A hole is no data of the file, so the limit on that would not end its copying.
func TestUnpackRefusesHoles(t *testing.T) {
	var data bytes.Buffer
	z := gzip.NewWriter(&data)
	_, err := z.Write(bound.Hole(t, "a-1.0.0/x"))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	err = Crate{"a", "1.0.0", sum}.each(t.Context(), &data,
		func(name string, _ bool, _ io.Reader) error { return fmt.Errorf("%s is taken", name) })
	if err == nil || !strings.Contains(err.Error(), "\"a-1.0.0/x\" has holes") {
		t.Errorf("%v, want one about holes", err)
	}
}
