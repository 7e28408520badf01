// root_test: what is unpacked of packages, and what is refused.

package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// member is a file of a package.
type member struct {
	name, data string
	kind       byte // 0: a regular file, or a directory if the name ends in a slash
	link       string
}

// tarOf returns the tar of members.
func tarOf(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		kind := m.kind
		if kind == 0 && strings.HasSuffix(m.name, "/") {
			kind = tar.TypeDir
		}
		if err := w.WriteHeader(&tar.Header{Name: m.name, Typeflag: kind, Linkname: m.link, Mode: 0o755,
			Size: int64(len(m.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeDeb writes a package with an archive of a name.
func writeDeb(t *testing.T, name, archive string, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", []byte("x")}, {archive, data}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.data),
			m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// dpkgDirs are those in which the root of every test has its state.
var dpkgDirs = []member{{name: "./"}, {name: "./var/"}, {name: "./var/lib/"},
	{name: "./var/lib/dpkg/"}}

func packed(t *testing.T, data []byte, how func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := how(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriteRoot(t *testing.T) {
	first := tarOf(t, append(dpkgDirs, member{name: "./usr/"}, member{name: "./usr/bin/"},
		member{name: "./usr/bin/a", data: "a"}, member{name: "./bin", kind: tar.TypeSymlink,
			link: "usr/bin"})...)
	second := tarOf(t, member{name: "./"}, member{name: "./usr/"}, member{name: "./usr/bin/"},
		member{name: "./usr/bin/b", kind: tar.TypeReg, data: "b"}, member{name: "./usr/bin/c",
			kind: tar.TypeLink, link: "./usr/bin/b"}, member{name: "./usr/share/doc/b/x", data: "x"})
	files := []string{
		writeDeb(t, "1.deb", "data.tar.gz", packed(t, first, func(w io.Writer) io.WriteCloser {
			return gzip.NewWriter(w)
		})),
		writeDeb(t, "2.deb", "data.tar.zst/", packed(t, second, func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		})),
	}
	var b bytes.Buffer
	if err := WriteRoot(t.Context(), &b, files); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %c %s", h.Name, h.Typeflag, h.Linkname))
	}
	const want = "var/ 5 \nvar/lib/ 5 \nvar/lib/dpkg/ 5 \nusr/ 5 \nusr/bin/ 5 \nusr/bin/a 0 \n" +
		"bin 2 usr/bin\nusr/bin/b 0 \nusr/bin/c 1 usr/bin/b\nvar/lib/dpkg/status 0 "
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestHostilePackages(t *testing.T) {
	dir := member{name: "./d/"}
	for _, c := range []struct {
		members []member
		want    string
	}{
		{[]member{{name: "../x", data: "x"}}, "not a path below the root"},
		{[]member{{name: "/etc/x", data: "x"}}, "not a path below the root"},
		{[]member{{name: "./d/../../x"}}, "not a path below the root"},
		{[]member{dir, {name: "./d/l", kind: tar.TypeSymlink, link: "/etc"}, {name: "./d/l/x"}},
			"d/l/x: it is not in a directory of a package"},
		{[]member{dir, {name: "./d/" + strings.Repeat("x", maxPath)}}, "longer than any path"},
		{[]member{{name: "./no/x"}}, "no/x: it is not in a directory of a package"},
		{[]member{dir, {name: "./d/x"}, {name: "./d/x"}}, "d/x: another package has it as well"},
		{[]member{dir, {name: "./d", kind: tar.TypeSymlink, link: "/"}}, "another package has it"},
		{[]member{{name: "./x", kind: tar.TypeLink, link: "/etc/shadow"}}, "a link to what is no file"},
		{[]member{{name: "./x", kind: tar.TypeBlock}}, "neither a file, a directory nor a link"},
		{[]member{{name: "./x", kind: tar.TypeFifo}}, "neither a file, a directory nor a link"},
		{[]member{{name: "./\x1b[31m/x"}}, "not in a directory"},
		{[]member{dir}, "none of the packages to begin with has var/lib/dpkg"},
	} {
		file := writeDeb(t, "evil.deb", "data.tar", tarOf(t, c.members...))
		err := WriteRoot(t.Context(), io.Discard, []string{file})
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%+v: %v", c.members, err)
		}
	}
	for name, data := range map[string]string{"empty": "", "not": "#!/bin/sh\n",
		"cut": "!<arch>\ndebian-binary   "} {
		file := filepath.Join(t.TempDir(), name+".deb")
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		err := WriteRoot(t.Context(), io.Discard, []string{file})
		if err == nil || !strings.Contains(err.Error(), name+".deb: it is not a Debian package") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRootIsBounded reads a package that unpacks to more than a root may have.
func TestRootIsBounded(t *testing.T) {
	r := &root{to: tar.NewWriter(io.Discard), left: 1 << 20, kind: map[string]byte{}}
	data := tarOf(t, member{name: "./x", data: strings.Repeat("\x00", 2<<20)})
	file := writeDeb(t, "bomb.deb", "data.tar.gz", packed(t, data, func(w io.Writer) io.WriteCloser {
		return gzip.NewWriter(w)
	}))
	if err := r.unpack(context.Background(), file); err == nil ||
		!strings.Contains(err.Error(), "x: the packages unpack to more than") {
		t.Errorf("%v", err)
	}
}
