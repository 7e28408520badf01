// Versions on pages of the kinds that releases-url names.

package upstream

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/manifest"
)

func named(t *testing.T, name, version, from string) *Named {
	t.Helper()
	n, err := Find(Package{Package: &manifest.Package{Name: name,
		ExternalFiles: []manifest.ExternalFile{{URL: from}}},
		Spec: "Name: " + name + "\nVersion: " + version + "\n"})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVersionsOnPages(t *testing.T) {
	for _, c := range []struct{ what, name, version, url, page, want string }{
		{"index", "less", "668", "https://e/less/less-668.tar.gz",
			`<a href="less-668.tar.gz">less-668.tar.gz</a> 2024 <a href="less-692.tar.gz.sig">x</a>
			<a href='less-692.zip'>, lesson-999.tar.gz, use-less-998.tar.gz, less-97-doc.tar.gz`, "668 692"},
		{"other compression", "a", "1.2", "https://e/a-1.2.tar.gz", `href="a-1.3.tar.xz"`, "1.3"},
		{"prereleases", "grub", "2.12", "https://e/grub-2.12.tar.xz",
			`grub-2.14-rc1.tar.xz grub-2.14~rc2.tar.xz grub-2.12.tar.xz`, "2.12 2.14~rc1 2.14~rc2"},
		{"releases of a forge", "libseccomp", "2.6.0",
			"https://github.com/s/libseccomp/releases/download/v2.6.0/libseccomp-2.6.0.tar.gz",
			`<a href="/s/libseccomp/releases/tag/v2.6.1">v2.6.1</a>
			<a href="/s/libseccomp/releases/tag/nightly-9.9">
			<a href="/s/libseccomp/releases/tag/helm-v8.0.0">
			<a href="/s/libseccomp/archive/refs/tags/v2.5.6.tar.gz">`, "2.5.6 2.6.1"},
		{"tags alone", "i", "20240117", "https://github.com/i/i/archive/20240117.tar.gz",
			`href="/i/i/releases/tag/20250602" href="/i/i/releases/tag/s20200821"`, "20250602"},
		{"tags of another name", "cli", "25.0.5",
			"https://github.com/d/cli/archive/v25.0.5/cli-25.0.5.tar.gz",
			`"/d/cli/releases/tag/v28.0.1"`, "28.0.1"},
		{"tags with underscores", "expat", "2.6.3", "https://e/download/R_2_6_3/expat-2.6.3.tar.xz",
			`href="/libexpat/releases/tag/R_2_7_1"`, "2.7.1"},
		{"directories of versions", "e2fsprogs", "1.47.1",
			"https://e/e2fsprogs/v1.47.1/e2fsprogs-1.47.1.tar.xz",
			`<a href="v1.46.6/">v1.46.6/</a> <a href="v1.47.2/">`, "1.46.6 1.47.2"},
		{"gitlab", "procps", "4.0.4", "https://gitlab.com/p/procps/-/archive/v4.0.4/procps-v4.0.4.tar.gz",
			`<a href="/p/procps/-/tags/v4.0.5">`, "4.0.5"},
		{"names that cannot be versions", "a", "1.2", "https://e/a-1.2.tar.gz",
			`a-1..2.tar.gz a-latest.tar.gz a-` + strings.Repeat("1", 99) + `.tar.gz a-1.3%0a.tar.gz`, ""},
	} {
		got := named(t, c.name, c.version, c.url).Pages().Versions([]byte(c.page))
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestSeriesOnPages(t *testing.T) {
	from, _ := url.Parse("https://e/sources/glib")
	page := []byte(`<a href="../">..</a> <a href="2.78/">2.78/</a><a href="/sources/glib/2.80/">
		<a href="2.9/"> <a href="2.79/"> <a href="cache.json">`)
	p := named(t, "glib", "2.78.4", "https://e/sources/glib/2.78/glib-2.78.4.tar.xz").Pages()
	want := "https://e/sources/glib/2.80/ https://e/sources/glib/2.79/ https://e/sources/glib/2.78/"
	if got := strings.Join(p.Series(page, from), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p = named(t, "less", "668", "https://e/less-668.tar.gz").Pages()
	if got := p.Series(page, from); got != nil {
		t.Errorf("directories of a package without: %q", got)
	}
}

func FuzzVersions(f *testing.F) {
	f.Add([]byte(`href="/s/a/releases/tag/v2.6.1" a-1.3-rc1.tar.xz href="1.2/"`))
	f.Fuzz(func(t *testing.T, page []byte) {
		n := named(t, "a", "1.2.3", "https://e/1.2/v1.2.3/a-1.2.3.tar.gz")
		for _, v := range n.Pages().Versions(page) {
			if err := CheckVersion(v); err != nil {
				t.Error(err)
			}
		}
	})
}
