// project_test: Twoliter.toml, Twoliter.lock and Twoliter.override, and how their parsers take
// arbitrary input.

package manifest

import (
	"reflect"
	"strings"
	"testing"
)

const goodProject = `schema-version = 1
release-version = "1.26.1"

[vendor.acme]
registry = "registry.example.com/acme"

[sdk]
name = "acme-sdk"
version = "0.46.0"
vendor = "acme"

[[kit]]
name = "core-kit"
version = "3.1.1-rc.1"
vendor = "acme"
`

func TestParseProject(t *testing.T) {
	p, problems := ParseProject("Twoliter.toml", []byte(goodProject), Rules{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &Project{
		Schema:         1,
		ReleaseVersion: "1.26.1",
		Vendors:        map[string]Vendor{"acme": {Registry: "registry.example.com/acme", Line: 4}},
		SDK:            &Image{Name: "acme-sdk", Version: "0.46.0", Vendor: "acme", Line: 7},
		Kits:           []Image{{Name: "core-kit", Version: "3.1.1-rc.1", Vendor: "acme", Line: 12}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

// twoliterLock is written as Twoliter's serializer writes it.
const twoliterLock = `schema-version = 1
kit = []

[sdk]
name = "acme-sdk"
version = "0.46.0"
vendor = "acme"
source = "registry.example.com/acme/acme-sdk:v0.46.0"
digest = "V2lUX6Rs9rZLg8POxV7P785Mr5nallfyxor0Scrvh3Y="
`

func TestParseLock(t *testing.T) {
	l, problems := ParseLock("Twoliter.lock", []byte(twoliterLock))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if l.SDK == nil || l.SDK.Digest != "V2lUX6Rs9rZLg8POxV7P785Mr5nallfyxor0Scrvh3Y=" ||
		len(l.Kits) != 0 {
		t.Errorf("got %+v", l)
	}
	if got := string(l.Format()); got != LockHeader+twoliterLock {
		t.Errorf("got\n%s", got)
	}
	kit := *l.SDK
	kit.Name, kit.Source = "core-kit", `oci-layout:a\"b:v0.46.0`
	l.Kits = []LockedImage{kit}
	again, problems := ParseLock("Twoliter.lock", l.Format())
	if len(problems) > 0 || len(again.Kits) != 1 || again.Kits[0].Source != kit.Source ||
		!again.Kits[0].SameImage(kit.Image) {
		t.Errorf("got %+v, %v", again, problems)
	}
}

// TestSchemas: a project of schema 2 needs its vendor; locks of schema 2 have it, and those of
// Twoliter 0.4 have a version and a digest of their own.
func TestSchemas(t *testing.T) {
	two := strings.Replace(goodProject, "= 1\n", "= 2\nproject-vendor = \"Acme & Söhne\"\n", 1)
	p, problems := ParseProject("Twoliter.toml", []byte(two), Rules{})
	if len(problems) > 0 || p.Schema != 2 || p.Vendor != "Acme & Söhne" {
		t.Errorf("got %+v, %v", p, problems)
	}
	for _, c := range []struct{ old, new, want string }{
		{"project-vendor = \"Acme & Söhne\"\n", "", `Twoliter.toml:1: "project-vendor" is missing; ` +
			`add project-vendor = "NAME", the maker of the OS`},
		{"Acme & Söhne", "$(id)", `Twoliter.toml:2: "$(id)" cannot be the name of a vendor`},
		{"Acme & Söhne", "", `Twoliter.toml:2: "" cannot be the name of a vendor`},
		{"Acme & Söhne", "a\\nb", `Twoliter.toml:2: "a\nb" cannot be the name of a vendor`},
		{"version = 2", "version = 1", `Twoliter.toml:2: unknown key "project-vendor"`},
	} {
		_, problems := ParseProject("Twoliter.toml", []byte(strings.Replace(two, c.old, c.new, 1)),
			Rules{})
		if got := problems.Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: got\n%s\nwant\n%s", c.new, got, c.want)
		}
	}
	today := strings.Replace(twoliterLock, "= 1\n", "= 2\nproject-vendor = \"Acme & Söhne\"\n", 1)
	l, problems := ParseLock("Twoliter.lock", []byte(today))
	if len(problems) > 0 || l.Schema != 2 || string(l.Format()) != LockHeader+today {
		t.Errorf("got %v\n%s", problems, l.Format())
	}
	l, problems = ParseLock("Twoliter.lock", []byte(strings.Replace(twoliterLock, "kit = []\n",
		"release-version = \"2.0.0\"\nkit = []\ndigest = \"0KJe\"\n", 1)))
	if len(problems) > 0 || l.Schema != 1 || string(l.Format()) != LockHeader+twoliterLock {
		t.Errorf("got %v\n%s", problems, l.Format())
	}
}

func TestParseBadLock(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"schema-version = 1", "schema-version = 7",
			`Twoliter.lock:1: "schema-version" is 7, but this buildsys supports only 1 to 2; ` +
				"use a buildsys that supports it, or write the file for a supported schema"},
		{"V2lUX6", "zzz", `Twoliter.lock:9: digest "zzzRs9rZLg8POxV7P785Mr5nallfyxor0Scrvh3Y=" ` +
			`is not a sha256 in base64; run "buildsys update"`},
		{"digest = ", "digits = ",
			`Twoliter.lock:4: "digest" is missing in [sdk]; run "buildsys update"`},
		{"0.46.0\"\nvendor", "0.46\"\nvendor",
			`Twoliter.lock:6: "0.46" cannot be the version of the SDK; write three numbers, as in "1.20.3"`},
		{":v0.46.0", ":v0.45.0", `Twoliter.lock:8: source "registry.example.com/acme/acme-sdk:v0.45.0" ` +
			`of the SDK acme-sdk does not end in ":v0.46.0", the tag of version 0.46.0; ` +
			`run "buildsys update"`},
		{"schema-version = 1", "schema-version = 2",
			`Twoliter.lock:1: "project-vendor" is missing; run "buildsys update"`},
		{"kit = []", "kit = []\nproject-vendor = \"x\"",
			`Twoliter.lock:3: unknown key "project-vendor"`},
		{"kit = []", "kit = 3", `Twoliter.lock:2: "kit" must be an array of tables, not a number`},
	} {
		_, problems := ParseLock("Twoliter.lock", []byte(strings.Replace(twoliterLock, c.old, c.new, 1)))
		if got := problems.Error(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", c.new, got, c.want)
		}
	}
}

func TestParseOverride(t *testing.T) {
	got, problems := ParseOverride("Twoliter.override",
		[]byte("[acme.acme-sdk]\nregistry = \"here:5000\"\n[acme.core-kit]\nname = \"my-kit\"\n"))
	want := map[string]map[string]Override{"acme": {"acme-sdk": {Registry: "here:5000"},
		"core-kit": {Name: "my-kit"}}}
	if len(problems) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, problems)
	}
	_, problems = ParseOverride("Twoliter.override",
		[]byte("a = 1\n[b]\nc = 2\n[d.e]\nregistry = \"x y\"\nf = 3\n"))
	if len(problems) != 4 {
		t.Errorf("got\n%v", problems)
	}
}

func FuzzParseProject(f *testing.F) {
	for _, text := range []string{goodProject, twoliterLock, "[[kit]]\n", "[a.b]\nname=\"x\"\n",
		"vendor = 3\n", "[[vendor]]\n", "kit = [{name=1}, 2]\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, problems := ParseProject("Twoliter.toml", data, Rules{})
		if p == nil || len(problems) == 0 && p.ReleaseVersion == "" {
			t.Errorf("got %+v", p)
		}
		_, _ = ParseOverride("Twoliter.override", data)
		_, _ = ParseKit("kits/a/Cargo.toml", data, Rules{})
	})
}

// FuzzParseLock: a lock that was read without problems stays the same when it is written and read
// again.
func FuzzParseLock(f *testing.F) {
	for _, text := range []string{goodProject, twoliterLock,
		strings.Replace(twoliterLock, "kit = []\n\n[sdk]", "[[kit]]", 1)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, problems := ParseLock("Twoliter.lock", data)
		if len(problems) > 0 {
			return
		}
		again, problems := ParseLock("Twoliter.lock", l.Format())
		if len(problems) > 0 || string(again.Format()) != string(l.Format()) {
			t.Errorf("got %v of\n%s", problems, l.Format())
		}
	})
}
