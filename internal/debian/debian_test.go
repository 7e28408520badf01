// debian_test: versions, dependencies and order, as apt and dpkg have them.

package debian

import (
	"fmt"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	for _, c := range []struct {
		a    string
		want int
		b    string
	}{
		{"1.0", 0, "1.0"}, {"0:1.0", 0, "1.0"}, {"1:1.0", 1, "2.0"}, {"1.0-1", 1, "1.0"},
		{"1.0-0", 0, "1.0"}, {"1.0~rc1", -1, "1.0"}, {"1.0~~", -1, "1.0~"}, {"1.0a", 1, "1.0"},
		{"1.0+b1", 1, "1.0"}, {"1.0a", -1, "1.0+"}, {"1.10", 1, "1.9"}, {"1.010", 0, "1.10"},
		{"1.0-1+deb13u10", 1, "1.0-1+deb13u9"}, {"2.41-12+deb13u5", 1, "2.41-11cross1"},
		{"13.8+deb13u8", 1, "13.8"}, {"1.2-3-1", 1, "1.2-2"}, {"99999999999999999999", 1, "9"},
		{"1.0-1~bpo", -1, "1.0-1"}, {"a", 1, "1"}, {"1.", 0, "1."}, {"1.0.0", 1, "1.0"},
	} {
		if got := Compare(c.a, c.b); sign(got) != c.want {
			t.Errorf("Compare(%s, %s) = %d", c.a, c.b, got)
		}
		if got := Compare(c.b, c.a); sign(got) != -c.want {
			t.Errorf("Compare(%s, %s) = %d", c.b, c.a, got)
		}
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

// index writes an index of packages, of which each has a line of fields separated by semicolons:
// name, version and architecture, then others with their names.
func index(t *testing.T, text string) (all []*Package) {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), "; ")
		if fields[0] == "" {
			continue
		}
		words := strings.Fields(fields[0])
		fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nFilename: pool/%s.deb\nSize: 1\n"+
			"SHA256: %064d\n", words[0], words[1], words[2], words[0], 1)
		for _, f := range fields[1:] {
			fmt.Fprintln(&b, f)
		}
		fmt.Fprintln(&b)
	}
	all, err := ParseIndex(strings.NewReader(b.String()), "debian")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const world = `
base 1 amd64; Essential: yes; Pre-Depends: awk; Depends: libc (>= 2)
libc 2 amd64; Multi-Arch: same
libc 2 arm64; Multi-Arch: same
mawk 1 amd64; Priority: required; Provides: awk
gawk 1 amd64; Priority: optional; Provides: awk
old 1 amd64
old 2 amd64; Depends: new
new 1 all
either 1 amd64; Depends: missing | new | old
chosen 1 amd64; Depends: old | new
versioned 1 amd64; Depends: virtual (>= 2)
provides1 1 amd64; Provides: virtual
provides2 1 amd64; Provides: virtual (= 2)
cross 1 arm64; Depends: libc, tool, python:any
tool 1 amd64; Multi-Arch: foreign
tool 1 arm64; Multi-Arch: foreign
python 1 amd64; Multi-Arch: allowed
enemy 1 amd64; Conflicts: new
peace 1 amd64; Depends: enemy | gawk
breaks 1 amd64; Breaks: libc (<< 2)
breaking 1 amd64; Breaks: libc (<< 3)
unmet 1 amd64; Depends: libc (>> 2)
pre 1 amd64; Pre-Depends: early
early 1 amd64; Depends: earlier
earlier 1 amd64
circle1 1 amd64; Depends: circle2
circle2 1 amd64; Depends: circle1
recommends 1 amd64; Recommends: gawk
`

func TestResolve(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"", "base libc mawk"},
		{"gawk", "base gawk libc mawk"},
		{"old", "base libc mawk new old"}, // the highest version
		{"either", "base either libc mawk new"},
		{"chosen", "base chosen libc mawk new old"},
		{"chosen new", "base chosen libc mawk new"}, // an alternative that is there
		{"versioned", "base libc mawk provides2 versioned"},
		{"cross:arm64", "base cross:arm64 libc libc:arm64 mawk python tool:arm64"},
		{"cross:arm64 tool", "base cross:arm64 libc libc:arm64 mawk python tool"},
		{"new peace", "base gawk libc mawk new peace"}, // enemy is in conflict with new
		{"peace", "base enemy libc mawk peace"},
		{"breaks", "base breaks libc mawk"},
		{"circle1", "base circle1 circle2 libc mawk"},
		{"recommends", "base libc mawk recommends"},
		{"enemy new", "error: enemy:amd64 1 and new:all 1 cannot be installed together"},
		{"breaking", "error: breaking:amd64 1 and libc:amd64 2 cannot be installed together"},
		{"unmet", "error: unmet:amd64 1 needs libc (>> 2), which cannot be installed"},
		{"none", "error: there is no package none for amd64"},
	} {
		set, err := NewSet("amd64", index(t, world))
		if err != nil {
			t.Fatal(err)
		}
		all, err := set.Resolve(nil, strings.Fields(c.names))
		got := names(all)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.names, got, c.want)
		}
	}
}

func names(all []*Package) string {
	var words []string
	for _, p := range all {
		name := p.Name
		if p.Arch != "amd64" && p.Arch != "all" {
			name = p.ID()
		}
		words = append(words, name)
	}
	return strings.Join(words, " ")
}

func TestBatches(t *testing.T) {
	set, err := NewSet("amd64", index(t, world))
	if err != nil {
		t.Fatal(err)
	}
	all, err := set.Resolve(nil, []string{"pre", "circle1", "cross:arm64"})
	if err != nil {
		t.Fatal(err)
	}
	batches, err := set.Batches(all)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range batches {
		got = append(got, names(b))
	}
	const want = "base libc mawk\nearlier early\n" +
		"circle1 circle2 cross:arm64 libc:arm64 pre python tool:arm64"
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestIndexOfOthers(t *testing.T) {
	const good = "Package: ok\nVersion: 1\nArchitecture: all\nFilename: pool/ok.deb\nSize: 1\n" +
		"SHA256: 0000000000000000000000000000000000000000000000000000000000000001\n"
	for _, c := range []struct{ old, new, want string }{
		{"Package: ok", "Package: ../ok", `the name "../ok" of ../ok is not one`},
		{"Package: ok", "Package: -o", `the name "-o"`},
		{"Version: 1", "Version: 1;x", `the version "1;x" of ok`},
		{"pool/ok.deb", "pool/../../ok.deb", `the file "pool/../../ok.deb" of ok`},
		{"pool/ok.deb", "/pool/ok.deb", "the file"},
		{"pool/ok.deb", "pool/%2e%2e/%2e%2e/ok.deb", "the file"},
		{"pool/ok.deb", "pool/ok.deb?x#.deb", "the file"},
		{"pool/ok.deb", "pool/\x1b[31m.deb", "the file"},
		{"Size: 1", "Size: 99999999999", "the size"},
		{"Size: 1", "Size: -1", "the size"},
		{"Size: 1", "Size: x", `the size "x" is not a number`},
		{"SHA256: 0", "SHA256: g", "the SHA256"},
		{"Architecture: all", "Architecture: a/b", "the architecture"},
		{"Size: 1", "Size", `"Size" is not a field`},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		_, err := ParseIndex(strings.NewReader(text), "debian")
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%q: %v", c.new, err)
		}
	}
	for _, deps := range []string{"a (1)", "a (>= 1", "a b", "a (>= ;)", "<x>", "a [amd64]"} {
		if _, err := parseClauses(deps); err == nil {
			t.Errorf("%q is read", deps)
		}
	}
}

func TestIndexIsBounded(t *testing.T) {
	if _, err := ParseIndex(endless{}, "debian"); err == nil {
		t.Error("a line without an end is read")
	}
}

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
