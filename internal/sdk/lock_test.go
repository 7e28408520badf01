// lock_test: lists, locks and mirrors.

package sdk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys"
	"buildsys/internal/buildtest"
	"buildsys/internal/debian"
)

func TestParseList(t *testing.T) {
	l, err := ParseList([]byte("# packages\ngcc # a compiler\n\nb:arm64  # c\ncross [arm64]\n" +
		"x [amd64 arm64]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(l.For("amd64"), " "); got != "gcc b:arm64 x" {
		t.Errorf("amd64: %s", got)
	}
	if got := strings.Join(l.For("arm64"), " "); got != "gcc b:arm64 cross x" {
		t.Errorf("arm64: %s", got)
	}
	same, err := ParseList([]byte("x [amd64 arm64]\ncross [arm64]\nb:arm64\ngcc\n"))
	if err != nil || same.Sum() != l.Sum() {
		t.Errorf("order and comments count: %v", err)
	}
	other, err := ParseList([]byte("x [amd64 arm64]\ncross\nb:arm64\ngcc\n"))
	if err != nil || other.Sum() == l.Sum() {
		t.Errorf("hosts do not count: %v", err)
	}
	for text, want := range map[string]string{
		"": "it names no package", "# x\n": "it names no package", "a b\n": "line 1",
		"a\nb [x86]\n": "line 2", "a [amd64\n": "line 1", "a []\n": "line 1", "[amd64]\n": "line 1",
	} {
		if _, err := ParseList([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// packages returns an index with packages of which each is as "NAME VERSION; FIELD: VALUE".
func packages(t *testing.T, arch string, lines ...string) []*debian.Package {
	t.Helper()
	text := ""
	for _, line := range lines {
		fields := strings.Split(line, "; ")
		name, version, _ := strings.Cut(fields[0], " ")
		text += fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nFilename: pool/%s.deb\n"+
			"Size: 3\nSHA256: %064x\n%s\n\n", name, version, arch, name, len(text)+1,
			strings.Join(fields[1:], "\n"))
	}
	all, err := debian.ParseIndex(strings.NewReader(text), "debian")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newTestLock returns a lock of gcc and what else is there, with versions that can be told.
func newTestLock(t *testing.T, gcc string, more ...string) *Lock {
	t.Helper()
	list, err := ParseList([]byte("gcc\n" + strings.Join(more, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	var all []*debian.Package
	for _, arch := range Hosts {
		all = append(all, packages(t, arch, "base 1; Essential: yes", "apt 2:3",
			"gcc "+gcc+"; Depends: libc", "libc 5", "efi 1; Multi-Arch: same")...)
	}
	l, err := NewLock(t.Context(), list, all, time.Date(2026, 11, 30, 6, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLock(t *testing.T) {
	l := newTestLock(t, "1", "efi:arm64")
	text := l.Format()
	again, err := ParseLock(text)
	if err != nil || string(again.Format()) != string(text) {
		t.Fatalf("%v\n%s\nbecomes\n%s", err, text, again.Format())
	}
	const want = "format 1\nsuite trixie\nlist LIST\nsnapshot 20261130T120000Z\n\nhost amd64\n" +
		"apt 2:3 amd64 1 3 SUM debian/pool/apt.deb\n" +
		"base 1 amd64 0 3 SUM debian/pool/base.deb\n" +
		"efi 1 arm64 1 3 SUM debian/pool/efi.deb\n" +
		"gcc 1 amd64 1 3 SUM debian/pool/gcc.deb\n"
	plain := strings.Replace(string(text), l.List, "LIST", 1)
	for _, p := range l.Hosts["amd64"] {
		plain = strings.ReplaceAll(plain, p.SHA256, "SUM")
	}
	if !strings.Contains(plain, want) {
		t.Errorf("%s", plain)
	}
	groups, err := again.Groups("amd64")
	if err != nil || len(groups) != 2 || groups[0][0].FileName() != "base_1_amd64.deb" ||
		groups[1][0].FileName() != "apt_3_amd64.deb" {
		t.Errorf("%v %v", groups, err)
	}
	if got := again.Foreign("amd64"); !slices.Equal(got, []string{"arm64"}) {
		t.Errorf("foreign: %q", got)
	}
	if got := again.Foreign("arm64"); len(got) > 0 {
		t.Errorf("foreign: %q", got)
	}
}

func TestChanges(t *testing.T) {
	old, now := newTestLock(t, "1", "efi:arm64"), newTestLock(t, "2")
	want := []Change{{"amd64", "efi:arm64", "1", ""}, {"amd64", "gcc", "1", "2"},
		{"arm64", "efi", "1", ""}, {"arm64", "gcc", "1", "2"}}
	if got := now.Changes(old); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := now.Changes(now); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if got := now.Changes(nil); len(got) != 8 || got[0] != (Change{"amd64", "apt", "", "2:3"}) {
		t.Errorf("%q", got)
	}
	if old.Sum() == now.Sum() {
		t.Error("other packages have the same sum")
	}
}

func TestLockOfOthers(t *testing.T) {
	good := string(newTestLock(t, "1").Format())
	for _, c := range []struct{ old, new, want string }{
		{"format 1", "format 2", "another version of buildsys"},
		{"suite trixie", "suite ../x", "is not a suite"},
		{"snapshot 2026", "snapshot x", "line 6"},
		{"host arm64", "host mips", `"mips" is no host`},
		{"host arm64", "host amd64", `"amd64" is no host, or is there twice`},
		{"gcc 1 amd64", "gcc 1 amd64 x", "neither two words nor the seven"},
		{"gcc 1 amd64", "../gcc 1 amd64", `the name "../gcc"`},
		{"gcc 1 amd64", "aaa 1 amd64", "aaa:amd64 is not in its place, or there twice"},
		{"gcc 1 amd64", "efi 1 amd64", ""},
		{"gcc 1 amd64", "libc 1 amd64", "libc:amd64 is not in its place, or there twice"},
		{"debian/pool/gcc", "elsewhere/pool/gcc", `"elsewhere" is not an archive`},
		{"debian/pool/gcc", "debian/../../gcc", `the file "../../gcc.deb"`},
		{"debian/pool/gcc", "debian//gcc", "the file"},
		{"gcc 1 amd64 1 3", "gcc 1 amd64 1 0", `the size "0"`},
		{"gcc 1 amd64 1 3", "gcc 1 amd64 -1 3", "-1 is no group"},
		{"gcc 1 amd64 1 3", "gcc 1 amd64 x 3", "invalid syntax"},
		{good, "", "it is cut off"},
		{"gcc 1 amd64 1 3", "gcc 1 amd64 1 2000000000", "gcc:amd64 has 2000000000 bytes"},
	} {
		_, err := ParseLock([]byte(strings.Replace(good, c.old, c.new, 1)))
		if c.want == "" && err != nil || c.want != "" && (err == nil ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
}

// TestOwnLock holds the lock of this tree against its list.
func TestOwnLock(t *testing.T) {
	for _, host := range Hosts {
		r := &Recipe{files: buildsys.Recipe, Host: host}
		l, err := r.Lock()
		if err != nil {
			t.Fatal(err)
		}
		groups, err := l.Groups(host)
		if err != nil || len(groups[0]) < 50 {
			t.Errorf("%s: %v", host, err)
		}
		list, err := r.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list.For(host) {
			if !slices.ContainsFunc(l.Hosts[host], func(p Locked) bool {
				return p.Name == name || p.ID() == name
			}) {
				t.Errorf("%s is in the list and not in the lock of %s", name, host)
			}
		}
	}
}

func TestMirrors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"sources.list": "# deb http://no.example/debian x main\n" +
			"deb-src http://src.example/debian x main\n" +
			"deb [arch=amd64 signed-by=/k] http://a.example/debian/ trixie main\n" +
			"deb cdrom:[x]/debian x main\ndeb http://other.example/vendor x main\n",
		"sources.list.d/b.sources": "Types: deb\n# a comment\nURIs: http://b.example/debian\n" +
			" https://c.example/debian\nSuites: x\n\nTypes: deb\nEnabled: no\n" +
			"URIs: http://off.example/debian\n\nTypes: deb-src\nURIs: http://src.example/debian\n",
		"sources.list.d/s.list":    "deb http://a.example/debian-security x main\n",
		"sources.list.d/s.disused": "deb http://disused.example/debian x main\n",
	} {
		path := filepath.Join(dir, name)
		buildtest.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		buildtest.Must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	m := MirrorsOfApt(dir)
	if got := strings.Join(m["debian"], " "); got !=
		"http://a.example/debian http://b.example/debian https://c.example/debian" {
		t.Errorf("%s", got)
	}
	if got := strings.Join(m["debian-security"], " "); got != "http://a.example/debian-security" {
		t.Errorf("%s", got)
	}
	if got := MirrorsOfApt(filepath.Join(dir, "none")); len(got) > 0 {
		t.Errorf("%v", got)
	}
	l := newTestLock(t, "1")
	mirrors := MirrorsAt([]string{"http://m.example/"})
	urls := l.URLs(&l.Hosts["amd64"][0], mirrors, "http://s.example/a")
	want := []string{"http://m.example/debian/pool/apt.deb",
		"http://s.example/a/debian/20261130T120000Z/pool/apt.deb",
		"http://s.example/a/debian/20261201T120000Z/pool/apt.deb"}
	if !slices.Equal(urls, want) {
		t.Errorf("%q", urls)
	}
	if got := l.URLs(&l.Hosts["amd64"][0], Mirrors{}, ""); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestNamesOfHosts(t *testing.T) {
	root := t.TempDir()
	x86, err1 := Name(root, "amd64")
	arm, err2 := Name(root, "arm64")
	if err1 != nil || err2 != nil || arm != x86+"-arm64" {
		t.Errorf("%s %v, %s %v", x86, err1, arm, err2)
	}
}
