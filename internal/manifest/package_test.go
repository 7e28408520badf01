package manifest

import (
	"reflect"
	"strings"
	"testing"
)

var (
	hashA = strings.Repeat("0123456789abcdef", 8)
	hashB = strings.Repeat("fedcba9876543210", 8)
)

// goodPackage uses every key of the schema.
var goodPackage = `[package]
name = "kernel-6_12"
version = "0.1.0"
edition = "2021"
publish = false
build = "../build.rs"
links = "kernel"
exclude = ["x"]

[package.metadata.cargo-udeps]
anything = "goes"

[lib]
path = "pkg.rs"

[[package.metadata.build-package.external-files]]
url = "https://cdn.example.com/linux-6.12.tar.xz?mirror=1#top"
sha512 = "` + hashA + `"

[[package.metadata.build-package.external-files]]
path = "microcode.tar"
url = "http://example.com/download/"
sha512 = "` + hashB + `"
force-upstream = true

[package.metadata.build-package]
package-name = "kernel-6.12"
releases-url = "https://www.example.com/"
variant-sensitive = "platform"
package-features = ["fips"]
source-groups = [
    # two of them
    "clock", "api/model",
]

[build-dependencies]
musl = { path = "../musl" } # libc
filesystem.path = "../filesystem"

[dependencies]
release = { path = "../release" }
`

func TestParsePackage(t *testing.T) {
	got, problems := ParsePackage("packages/kernel-6.12/Cargo.toml", []byte(goodPackage), Rules{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &Package{
		Name: "kernel-6.12", NameLine: 27, Crate: "kernel-6_12", File: "packages/kernel-6.12/Cargo.toml",
		SourceGroups: []string{"clock", "api/model"}, GroupLines: []int{33, 33},
		ReleasesURL: "https://www.example.com/", VariantSensitive: "platform",
		PackageFeatures: []string{"fips"},
		ExternalFiles: []ExternalFile{
			{URL: "https://cdn.example.com/linux-6.12.tar.xz?mirror=1#top", SHA512: hashA, Line: 17},
			{URL: "http://example.com/download/", SHA512: hashB, Path: "microcode.tar", ForceUpstream: true,
				Line: 22},
		},
		BuildDeps:  []Dependency{{"musl", "../musl", 37}, {"filesystem", "../filesystem", 38}},
		Deps:       []Dependency{{"release", "../release", 41}},
		CargoFiles: []string{"pkg.rs", "../build.rs"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestEncodings: files saved by editors of other systems are read, or refused in plain words.
func TestEncodings(t *testing.T) {
	utf16 := []byte{0xff, 0xfe}
	for _, c := range []byte(goodPackage) {
		utf16 = append(utf16, c, 0)
	}
	for name, c := range map[string]struct{ text, want string }{
		"CRLF":           {strings.ReplaceAll(goodPackage, "\n", "\r\n"), ""},
		"BOM":            {"\ufeff" + goodPackage, ""},
		"UTF-16":         {string(utf16), "f: the file is UTF-16; save it as UTF-8"},
		"UTF-16, no BOM": {string(utf16[2:]), "f: the file is UTF-16; save it as UTF-8"},
		"Latin-1":        {"# caf\xe9\n" + goodPackage, "f: the file is not UTF-8; save it as UTF-8"},
		"NUL": {goodPackage + "\x00",
			"f:42: invalid TOML: TOML files cannot contain control characters: '0x00'"},
		"too big": {goodPackage + strings.Repeat("\n", MaxSize),
			"f: the file is larger than 1048576 bytes; is this really a manifest?"},
		"CR alone": {strings.ReplaceAll(goodPackage, "\n", "\r"), "f:1: invalid TOML: "},
	} {
		_, problems := ParsePackage("f", []byte(c.text), Rules{})
		if got := problems.Error(); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestVariantSensitive(t *testing.T) {
	for text, want := range map[string]string{"true": "variant", "false": "", `"flavor"`: "flavor",
		`"family"`: "family"} {
		p, problems := ParsePackage("f",
			[]byte("[package]\nname = \"a\"\n[package.metadata.build-package]\nvariant-sensitive = "+text),
			Rules{})
		if p.VariantSensitive != want || len(problems) > 0 {
			t.Errorf("%s: got %q and %v, want %q", text, p.VariantSensitive, problems, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"external-files", "source-groups", "url", "fips", "x86_64"}
	for word, want := range map[string]string{
		"externl-files": "external-files", "external-file": "external-files",
		"extrenal-fiels": "external-files",
		"source_groups":  "source-groups", "ulr": "url", "fip": "fips", "x86-64": "x86_64",
		"": "", "zzz": "", "url": "", "sourcegroup": "source-groups", "completely-different": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"ca",
		"abc", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzParsePackage: whatever the bytes, every problem has a line and a message, and every accepted
// value is safe to use as a file name, a macro or an argument.
func FuzzParsePackage(f *testing.F) {
	f.Add([]byte(goodPackage))
	f.Add([]byte("[package]\nname = 1\n[build-dependencies]\na = { path = 1 }\n"))
	f.Add([]byte("package = [1]\ndependencies = 1\n"))
	f.Add([]byte("[package.metadata]\nbuild-package = { external-files = [1, {}, {url=1}], " +
		"source-groups = [\"\", 1] }"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, rules := range []Rules{{Generation: TwoliterKits, Lenient: true},
			{Generation: InTree, Lenient: true, WholeTree: true}} {
			_, _ = ParsePackage("f", data, rules)
			_, _ = ParseVariant("variants/a-b/Cargo.toml", data, rules)
		}
		p, problems := ParsePackage("f", data, Rules{})
		lines := strings.Count(string(data), "\n") + 1
		for _, problem := range problems {
			if problem.Line < 0 || problem.Line > lines || problem.Msg == "" || problem.File != "f" {
				t.Errorf("a problem with no proper place or words: %+v", problem)
			}
			if strings.ContainsAny(problem.String(), "\x1b\n\r\x00") {
				t.Errorf("a message a terminal would obey: %q", problem)
			}
		}
		if len(problems) > 0 {
			return
		}
		names := []string{p.Name, p.Crate}
		for _, e := range p.ExternalFiles {
			names = append(names, e.Name(), e.SHA512)
		}
		for _, name := range append(names, p.SourceGroups...) {
			if name == "" || name == "." || strings.Contains(name, "..") && strings.Contains(name, "/") ||
				strings.ContainsAny(name, " \t\n\"'`$;&|<>\\") || name[0] == '-' || name[0] == '/' {
				t.Errorf("accepted %q as a name", name)
			}
		}
		if _, again := ParseVariant("variants/a-b/Cargo.toml", data, Rules{}); len(again) == 0 {
			t.Error("accepted as a package and as a variant")
		}
	})
}

func TestNameHint(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, "package-"+strings.Repeat("x", i))
	}
	tests := []struct {
		name  string
		known []string
		want  string
	}{
		{"ap", []string{"app", "lib"}, `did you mean "app"?`},
		{"zzz", []string{"app", "lib"}, "there are: app, lib"},
		{"zzz", nil, "there are none"},
		{"zzz", many, "there are: " + strings.Join(many[:20], ", ") + " and 10 more"},
	}
	for _, test := range tests {
		if got := NameHint(test.name, test.known); got != test.want {
			t.Errorf("NameHint(%q) = %q, want %q", test.name, got, test.want)
		}
	}
}
