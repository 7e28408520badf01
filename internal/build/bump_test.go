// Edits of a tree are written all or not at all, and through no link.

package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/lint"
	"buildsys/internal/survey"
)

func TestWriteEdits(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	at := func(name string) string { return filepath.Join(root, name) }
	for name, text := range map[string]string{at("a"): "a", at("b"): "b", outside: "b"} {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, at("link")); err != nil {
		t.Fatal(err)
	}
	s := (&Session{}).with(Config{Root: root})
	holds := func(what, a, b string) {
		t.Helper()
		for name, want := range map[string]string{at("a"): a, at("b"): b, outside: "b"} {
			if got, err := os.ReadFile(name); err != nil || string(got) != want {
				t.Errorf("%s: %s has %q, want %q (%v)", what, name, got, want, err)
			}
		}
	}
	change := func(name, before string) edit { return edit{name, []byte(before), []byte("new")} }
	err := s.writeEdits([]edit{change("a", "a"), change("b", "something else")})
	if err == nil || !strings.Contains(err.Error(), "b was changed while") {
		t.Error(err)
	}
	holds("one was changed meanwhile", "a", "b")
	for _, name := range []string{"link", "none", "../x"} {
		if err := s.writeEdits([]edit{change("a", "a"), change(name, "b")}); err == nil {
			t.Errorf("%s was written", name)
		}
		holds(name, "a", "b")
	}
	if err := s.writeEdits([]edit{change("a", "a"), change("b", "b")}); err != nil {
		t.Error(err)
	}
	holds("both", "new", "new")
	if info, err := os.Stat(at("a")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestProviders(t *testing.T) {
	w := providers{modules: map[string]provided{}, rpms: map[string]provided{}}
	for name, text := range map[string]string{
		"libnl": "%files devel\n/usr/lib/pkgconfig/libnl-3.0.pc\n", "zlib": "%files devel\n/x/*.pc\n",
		"libcap": "%files devel\n", "tool": "",
	} {
		spec := "Name: os-" + name + "\n"
		if text != "" {
			spec += "%package devel\n" + text
		}
		w.addSpec(name, "os-", lint.ParseSpec(t.Context(), spec, nil))
	}
	for _, c := range []struct {
		kind       survey.Kind
		name, want string
	}{
		{survey.PkgConfig, "libnl-3.0", "libnl-devel"}, {survey.PkgConfig, "libnl-2", ""},
		{survey.PkgConfig, "zlib", "zlib-devel"}, {survey.Package, "ZLIB", "zlib-devel"},
		{survey.Library, "z", "zlib-devel"}, {survey.Library, "cap", "libcap-devel"},
		{survey.PkgConfig, "*", ""}, {survey.Library, "tool", ""}, {survey.Package, "Qt6", ""},
	} {
		if _, rpm, _ := w.find(c.kind, c.name); rpm != c.want {
			t.Errorf("%s %s: %q, want %q", c.kind, c.name, rpm, c.want)
		}
	}
}
