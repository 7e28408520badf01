// archive_test: Cargo.lock in archives of strangers.

package crates

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packed writes a tar of files, given as name and text. A text that begins with -> is a link.
func packed(t *testing.T, files ...[2]string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), Typeflag: tar.TypeReg}
		if to, ok := strings.CutPrefix(f[1], "->"); ok {
			h.Typeflag, h.Linkname, h.Size, f[1] = tar.TypeSymlink, to, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	const one = "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+https://" +
		"github.com/rust-lang/crates.io-index\"\nchecksum = \"" + sum + "\"\n"
	from := func(place string) string {
		return "[[package]]\nname = \"mine\"\nversion = \"2.0.0\"\nsource = \"" + place + "\"\n"
	}
	const hint = "; buildsys bundles crates of the public registry only: vendor them in an archive " +
		"of your own, as an external file"
	for name, c := range map[string]struct {
		root  string
		files [][2]string
		want  string
	}{
		"at the top": {"", [][2]string{{"a/Cargo.lock", one}, {"a/sub/Cargo.lock", "broken"}}, "b-1.0.0"},
		"named": {"a/x", [][2]string{{"a/Cargo.lock", "broken"}, {"a/x/Cargo.lock", one}},
			"b-1.0.0"},
		"none": {"", [][2]string{{"a/Cargo.toml", ""}},
			"there is no a/Cargo.lock in the archive; set bundle-root-path to the directory of Cargo.lock"},
		"elsewhere": {"b", [][2]string{{"a/Cargo.lock", one}},
			"there is no b/Cargo.lock in the archive; correct bundle-root-path"},
		"a link": {"", [][2]string{{"a/Cargo.lock", "->/etc/passwd"}},
			"there is no a/Cargo.lock in the archive; set bundle-root-path to the directory of Cargo.lock"},
		"git": {"", [][2]string{{"a/Cargo.lock", one + from("git+https://example.com/m?tag=v1#"+commit)}},
			"a/Cargo.lock names mine 2.0.0 from https://example.com/m (tag v1)" + hint},
		"another registry": {"", [][2]string{{"a/Cargo.lock", from("sparse+https://example.com/")}},
			"a/Cargo.lock names mine 2.0.0 from sparse+https://example.com/" + hint},
		"many": {"", [][2]string{{"a/Cargo.lock", from("1") + from("2") + from("3") + from("4") +
			from("5") + from("6")}}, "a/Cargo.lock names mine 2.0.0 from 1, mine 2.0.0 from 2, " +
			"mine 2.0.0 from 3, mine 2.0.0 from 4, mine 2.0.0 from 5, and others" +
			hint},
		"nothing": {"", [][2]string{{"a/Cargo.lock", "version = 3\n"}},
			"a/Cargo.lock names no crates; remove bundle-modules"},
		"broken": {"", [][2]string{{"a/Cargo.lock", strings.Replace(one, "\"b\"", "\"../b\"", 1)}},
			"a/Cargo.lock: \"../b\" is not the name of a crate"},
		"large": {"", [][2]string{{"a/Cargo.lock", strings.Repeat("\n", MaxLock+1)}},
			"a/Cargo.lock is larger than 8 MiB"},
	} {
		list, err := Read(t.Context(), packed(t, c.files...), c.root)
		got := ""
		for _, one := range list {
			got += one.String()
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q\nwant %q", name, got, c.want)
		}
	}
}

func TestVendorNames(t *testing.T) {
	var list []Crate
	for _, c := range []string{"a 1.2.0", "a 1.10.0", "a 1.10.0-rc.1", "b 0.1.0", "c 1.0.0+1",
		"c 1.0.0+2"} {
		name, version, _ := strings.Cut(c, " ")
		list = append(list, Crate{Name: name, Version: version})
	}
	names := VendorNames(list)
	var got []string
	for _, c := range list {
		got = append(got, names[c])
	}
	if text := strings.Join(got, " "); text != "a-1.2.0 a a-1.10.0-rc.1 b c-1.0.0+1 c" {
		t.Error(text)
	}
}
