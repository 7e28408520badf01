// Versions in names: which are stable, which is the newest, and what names become.

package upstream

import (
	"strings"
	"testing"
)

func TestCheckVersion(t *testing.T) {
	for _, good := range []string{"1", "1.2.3", "668", "20240117", "1.2.3a", "6.4~rc1", "2_6_3",
		"1.0+2"} {
		if err := CheckVersion(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "v1", "1-2", "1..2", "../1", "1/2", "1 2", "1\n", "1%{x}", "-1",
		"1\"", strings.Repeat("1", 65)} {
		if CheckVersion(bad) == nil {
			t.Errorf("%q is a version", bad)
		}
	}
}

func TestNewest(t *testing.T) {
	for _, c := range []struct{ current, versions, want string }{
		{"1.9", "1.2 1.10 1.9", "1.10"},
		{"1.9", "1.10~rc1 1.10rc2 1.10.beta 1.10-alpha1 1.9 1.10_pre3 1.10.dev0", "1.9"},
		{"1.10~rc1", "1.9 1.10~rc2", "1.10~rc2"},
		{"1.2", "20010101 1.1 1.3", "1.3"},
		{"20240117", "3.1 20250101 20240117", "20250101"},
		{"5.5p1", "5.5p1 5.6p1", "5.6p1"}, {"1.1.1k", "1.1.1k 1.1.1w", "1.1.1w"},
		{"1.2", "", ""},
		{"2.0", "1.0", "1.0"},
	} {
		if got := Newest(c.current, strings.Fields(c.versions)); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.current, c.versions, got, c.want)
		}
	}
}

func TestRewriteURL(t *testing.T) {
	for _, c := range []struct{ old, new, url, want string }{
		{"1.2.3", "1.2.4", "https://1.2.3.example/v1.2.3/a-1.2.3.tar.gz",
			"https://1.2.3.example/v1.2.4/a-1.2.4.tar.gz"},
		{"2.78.4", "2.80.0", "https://e/glib/2.78/glib-2.78.4.tar.xz",
			"https://e/glib/2.80/glib-2.80.0.tar.xz"},
		{"6.1.9", "7.0", "https://e/v6.x/linux-6.1.9.tar.xz", "https://e/v7.x/linux-7.0.tar.xz"},
		{"2.6.3", "2.7.0", "https://e/R_2_6_3/expat-2.6.3.tar.xz",
			"https://e/R_2_7_0/expat-2.7.0.tar.xz"},
		{"1.2", "1.3", "https://e/a-1.2.3.tar.gz", "https://e/a-1.2.3.tar.gz"},
		{"2.3", "2.4", "https://e/a-1.2.3.tar.gz", "https://e/a-1.2.3.tar.gz"},
		{"1.2", "1.3", "https://e/a-11.2.tar.gz", "https://e/a-11.2.tar.gz"},
		{"1.2", "1.3", "https://e/a-1.2rc1.tar.gz", "https://e/a-1.2rc1.tar.gz"},
		{"36", "37", "https://e/v36/dbus-broker-36.tar.xz", "https://e/v37/dbus-broker-37.tar.xz"},
		{"668", "692", "https://e/less-668.tar.gz", "https://e/less-692.tar.gz"},
	} {
		if got := rewriteURL(c.url, forms(c.old, c.new)); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.url, c.new, got, c.want)
		}
	}
}
