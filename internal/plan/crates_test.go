// crates_test: the crates that a package with first-party Rust code sees.

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const registry = "registry+https://github.com/rust-lang/crates.io-index"

// withCrates makes greeter a member of a cargo workspace that needs a crate.
func withCrates(t *testing.T) fstest.MapFS {
	t.Helper()
	files := g1(t)
	lock := "version = 3\n\n[[package]]\nname = \"greeter\"\nversion = \"0.1.0\"\n\n[[package]]\n" +
		"name = \"dep\"\nversion = \"1.2.3\"\nsource = \"" + registry + "\"\nchecksum = \"" +
		strings.Repeat("ab", 32) + "\"\n"
	for name, text := range map[string]string{"sources/Cargo.toml": "[workspace]\n",
		"sources/Cargo.lock": lock} {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	edit(files, "packages/greeter/greeter.spec", "%install",
		"%build\ncargo build --manifest-path %{_builddir}/sources/Cargo.toml\n\n%install")
	return files
}

// cargoOf returns what a package sees below .cargo/, and its step.
func cargoOf(t *testing.T, files fstest.MapFS) (names []string, config string, s Step, p Plan) {
	t.Helper()
	r := ownRequest()
	r.Packages = []string{"greeter"}
	p = mustMake(t, files, r)
	s = step(t, p, "package/greeter")
	all := map[string]bool{}
	tree := s.Solve.Contexts[TreeContext]
	for _, f := range tree.Files {
		if within(f.Name, cargoTop) {
			all[f.Name] = true
			config += string(f.Data)
		}
	}
	for _, d := range tree.Derived {
		all[d.Name+"="+d.Host] = true
	}
	return slices.Sorted(maps.Keys(all)), config, s, p
}

func TestOwnCrates(t *testing.T) {
	names, config, s, p := cargoOf(t, withCrates(t))
	const want = ".cargo/config.toml .cargo/vendor/dep-1.2.3=/crates/dep-1.2.3"
	if got := strings.Join(names, " "); got != want || config != cargoSources {
		t.Errorf("greeter sees %s and %q\nwant %s", got, config, want)
	}
	if len(s.Crates) != 1 || s.Crates[0].Of != "sources/Cargo.lock" || !s.Fetches() {
		t.Errorf("it fetches %+v", s.Crates)
	}
	if base := step(t, p, "package/base"); len(base.Crates) > 0 || base.Fetches() {
		t.Errorf("a package without cargo fetches %+v", base.Crates)
	}
}

// TestOwnCratesOfTheTree: what somebody has put into .cargo/ counts.
func TestOwnCratesOfTheTree(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want, config string }{
		"downloaded crates": {".cargo/registry/cache/a.crate", "x", ".cargo/registry/cache/a.crate", ""},
		"vendored crates":   {".cargo/vendor/a/Cargo.toml", "x", ".cargo/vendor/a/Cargo.toml", ""},
		"a configuration": {".cargo/config", "[net]\noffline = true\n",
			".cargo/config .cargo/vendor/dep-1.2.3=/crates/dep-1.2.3", "[net]\noffline = true\n\n" +
				cargoSources},
		"sources of its own": {".cargo/config.toml", "[source.crates-io]\nreplace-with = \"x\"\n",
			".cargo/config.toml", ""},
	} {
		files := withCrates(t)
		files[c.file] = &fstest.MapFile{Data: []byte(c.text), Mode: 0o644}
		names, config, s, p := cargoOf(t, files)
		if got := strings.Join(names, " "); got != c.want || config != c.config ||
			(len(s.Crates) > 0) != (c.config != "") {
			t.Errorf("%s: greeter sees %s and %q, and fetches %+v", name, got, config, s.Crates)
		}
		if warned := len(p.Warnings) > 0; warned != strings.Contains(c.text, "[source") {
			t.Errorf("%s: warnings %q", name, p.Warnings)
		}
	}
}

// fromElsewhere adds packages with other sources to the Cargo.lock.
func fromElsewhere(files fstest.MapFS, sources ...string) {
	for _, source := range sources {
		edit(files, "sources/Cargo.lock", "[[package]]\nname = \"dep\"", "[[package]]\nname = \"far\"\n"+
			"version = \"0.1.0\"\nsource = \""+source+"\"\n\n[[package]]\nname = \"dep\"")
	}
}

// TestOwnCratesOfGit: each repository has a directory of its own, and one commit only one.
func TestOwnCratesOfGit(t *testing.T) {
	files := withCrates(t)
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	fromElsewhere(files, "git+https://example.com/far?tag=v1#"+one,
		"git+https://example.com/far?tag=v2#"+one, "git+https://github.com/A/b#"+two,
		"git+https://github.com/a/B.git#"+two)
	names, config, s, p := cargoOf(t, files)
	want := ".cargo/config.toml .cargo/vendor-git/" + one + "/far-0.1.0=/git/" + one + "/far-0.1.0 " +
		".cargo/vendor-git/" + two + "/far-0.1.0=/git/" + two + "/far-0.1.0 " +
		".cargo/vendor/dep-1.2.3=/crates/dep-1.2.3"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("greeter sees %s\nwant %s", got, want)
	}
	section := func(name, git, more, commit string) string {
		return "\n[source.\"git+" + name + "\"]\ngit = \"" + git + "\"\nreplace-with = \"vendor-git-" +
			commit + "\"\n" + more
	}
	at := func(commit string) string {
		return "\n[source.vendor-git-" + commit + "]\ndirectory = \".cargo/vendor-git/" + commit + "\"\n"
	}
	const far = "https://example.com/far"
	if want := cargoSources + section(far+"?tag=v1", far, "tag = \"v1\"\n", one) + at(one) +
		section(far+"?tag=v2", far, "tag = \"v2\"\n", one) +
		section("https://github.com/A/b", "https://github.com/A/b", "", two) + at(two); config != want {
		t.Errorf("configuration %s\nwant %s", config, want)
	}
	if len(s.Crates) != 1 || len(s.Crates[0].Git) != 4 || len(p.Warnings) > 0 {
		t.Errorf("it fetches %+v; warnings %q", s.Crates, p.Warnings)
	}
}

func TestOwnCratesFromElsewhere(t *testing.T) {
	files := withCrates(t)
	const far = "[[package]]\nname = \"far%s\"\nversion = \"0.1.0\"\n" +
		"source = \"sparse+https://example.com/index/\"\n\n"
	edit(files, "sources/Cargo.lock", "[[package]]\nname = \"dep\"", fmt.Sprintf(far, "")+
		fmt.Sprintf(far, "-off")+"[[package]]\nname = \"dep\"")
	_, _, _, p := cargoOf(t, files)
	const want = "sources/Cargo.lock: far 0.1.0 and 1 more come from " +
		"sparse+https://example.com/index/, which buildsys does not fetch"
	if len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], want) {
		t.Errorf("warnings %q, want %s", p.Warnings, want)
	}
	files["sources/Cargo.lock"].Data = []byte("nothing")
	r := ownRequest()
	r.Packages = []string{"greeter"}
	if _, err := try(t, files, r); err == nil || !strings.Contains(err.Error(), "sources/Cargo.lock") {
		t.Errorf("a lock that is none: %v", err)
	}
}
