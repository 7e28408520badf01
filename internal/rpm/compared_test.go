package rpm

import (
	"fmt"
	"strings"
	"testing"
)

// TestCompareOffers: what became of the RPMs of a package.
func TestCompareOffers(t *testing.T) {
	offer := func(name, version string, size int64, files, provides string) Offer {
		o := Offer{Info: Info{Name: name, Version: version, Release: "1"},
			Provides: strings.Fields(provides), Requires: []string{"libc.so", "rpmlib(X)" + version}}
		for _, file := range strings.Fields(files) {
			o.Files = append(o.Files, File{Path: file, Size: size, SHA256: file})
		}
		return o
	}
	ghost := offer("a", "1", 5, "/bin/a", "a")
	ghost.Files = append(ghost.Files, File{Path: "/run/a", Size: 100, Ghost: true})
	for _, c := range []struct {
		what          string
		before, after []Offer
		want          string
	}{
		{"the same", []Offer{ghost}, []Offer{ghost}, ""},
		{"only the version", []Offer{offer("a", "1", 5, "/bin/a", "a")},
			[]Offer{offer("a", "2", 5, "/bin/a", "a")}, "a 1-1 2-1 0 [] [] [] [] []"},
		{"files", []Offer{offer("a", "1", 5, "/bin/a /bin/b", "a")},
			[]Offer{offer("a", "1", 7, "/bin/b /bin/c /bin/aa", "a")},
			"a 1-1 1-1 11 [/bin/aa /bin/c] [/bin/a] [/bin/b] [] []"},
		{"a library", []Offer{offer("a", "1", 5, "/l", "a liba.so.1()(64bit)")},
			[]Offer{offer("a", "1", 5, "/l", "liba.so.2()(64bit) a")},
			"a 1-1 1-1 0 [] [] [] [provides liba.so.2()(64bit)] [provides liba.so.1()(64bit)]"},
		{"new and gone", []Offer{offer("b", "1", 5, "/b", "b")}, []Offer{offer("a", "1", 5, "/a", "a")},
			"a  1-1 5 [/a] [] [] [provides a requires libc.so] []|" +
				"b 1-1  -5 [] [/b] [] [] [provides b requires libc.so]"},
	} {
		var got []string
		for _, d := range CompareOffers(c.before, c.after) {
			got = append(got, fmt.Sprint(d.Name, " ", d.Before, " ", d.After, " ", d.Bytes, " ",
				d.Added, " ",
				d.Removed, " ", d.Changed, " ", d.Gained, " ", d.Lost))
		}
		if text := strings.Join(got, "|"); text != c.want {
			t.Errorf("%s: %s\nwant %s", c.what, text, c.want)
		}
	}
}
