// normalize_test: what manifests inherit.

package crates

import (
	"io"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"buildsys/internal/buildtest/bound"
)

// nothing takes a file and looks at nothing but its name.
func nothing(string, bool, io.Reader) error { return nil }

// manifests finds manifests by their directories.
func manifests(t testing.TB, texts map[string]string) func(string) (table, error) {
	return func(dir string) (m table, err error) {
		if text, ok := texts[dir]; ok {
			_, err = toml.Decode(text, &m)
		}
		return onlyWorkspace(m), err
	}
}

const workspaceText = `
[workspace]
members = ["crates/*"]
exclude = ["crates/out"]
[workspace.package]
version = "1.2.3"
authors = ["A"]
readme = "README.md"
license-file = "docs/LICENSE"
[workspace.lints.rust]
unsafe_code = "forbid"
[workspace.dependencies]
plain = "1"
more = { version = "2", default-features = false, features = ["a"] }
near = { path = "./crates/near", version = "3" }
far = { git = "https://example.com/far", tag = "v1" }
`

func TestNormalize(t *testing.T) {
	const head = "[package]\nname = \"x\"\nversion = \"0.1.0\"\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing is inherited": {"# as it is\n" + head + "[dependencies]\nb = { path = \"../b\" }\n" +
			"[workspace]\n", ""},
		"of the package": {"[package]\nname = \"x\"\nversion.workspace = true\n" +
			"authors = { workspace = true }\n" +
			"readme.workspace = true\nlicense-file.workspace = true\nworkspace = \"../..\"\n" +
			"[package.metadata]\nworkspace = true\n", `
[package]
authors = ["A"]
license-file = "../../docs/LICENSE"
name = "x"
readme = "../../README.md"
version = "1.2.3"
[package.metadata]
workspace = true
`},
		"dependencies": {head +
			"[dependencies]\nplain.workspace = true\nmore = { workspace = true, features = " +
			"[\"b\"], optional = true }\nown = \"4\"\nnear.workspace = true\n", `
[dependencies]
own = "4"
[dependencies.more]
default-features = false
features = ["a", "b"]
optional = true
version = "2"
[dependencies.near]
path = "../../crates/near"
version = "3"
[dependencies.plain]
version = "1"

[package]
name = "x"
version = "0.1.0"
`},
		"for targets": {head + "[target.'cfg(unix)'.build-dependencies]\nfar.workspace = true\n" +
			"[dev_dependencies]\nplain.workspace = true\n", `
[dev_dependencies]
[dev_dependencies.plain]
version = "1"

[package]
name = "x"
version = "0.1.0"

[target]
[target."cfg(unix)"]
[target."cfg(unix)".build-dependencies]
[target."cfg(unix)".build-dependencies.far]
git = "https://example.com/far"
tag = "v1"
`},
		"default features": {head +
			"[dependencies]\nmore = { workspace = true, default-features = true }\n" +
			"plain = { workspace = true, default-features = false }\n", `
[dependencies]
[dependencies.more]
features = ["a"]
version = "2"
[dependencies.plain]
version = "1"

[package]
name = "x"
version = "0.1.0"
`},
		"lints, and other tables": {head +
			"[lints]\nworkspace = true\n[[bin]]\nname = \"b\"\npath = \"b.rs\"\n" +
			"[features]\n\"a.b\" = [\"dep:c\"]\n[package.metadata.x]\nf = [1, \"s\", 1.5, {d = 2020-01-01}]\n", `
[[bin]]
name = "b"
path = "b.rs"

[features]
"a.b" = ["dep:c"]

[lints]
[lints.rust]
unsafe_code = "forbid"

[package]
name = "x"
version = "0.1.0"
[package.metadata]
[package.metadata.x]
f = [1, "s", 1.5, {d = 2020-01-01}]
`},
		"what is not there": {head + "edition.workspace = true\n",
			"! it inherits package.edition, which its workspace does not have"},
		"a dependency that is not there": {head + "[dependencies]\nb.workspace = true\n",
			"! it inherits dependencies.b, which its workspace does not have"},
		"features that are none": {head + "[dependencies]\nmore = { workspace = true, features = 1 }\n",
			"! dependency more: its features are not a list"},
	} {
		find := manifests(t, map[string]string{"": workspaceText, "crates/x": c.text})
		text, err := normalize(c.text, "crates/x", find)
		got, want := string(text), preamble+strings.TrimPrefix(c.want, "\n")
		if c.want == "" {
			want = c.text
		}
		if err != nil {
			got, want = "! "+err.Error(), c.want
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestNormalizeFinds: which workspace counts.
func TestNormalizeFinds(t *testing.T) {
	const text = "[package]\nname = \"x\"\nversion.workspace = true\n"
	with := func(version string) string {
		return "[workspace.package]\nversion = \"" +
			version + "\"\n"
	}
	for name, c := range map[string]struct {
		dir, text string
		others    map[string]string
		want      string
	}{
		"of itself": {"", text + with("1.0.0"), nil, "1.0.0"},
		"the nearest": {"a/b/c", text, map[string]string{"": with("1.0.0"),
			"a": with("2.0.0"), "a/b": "[package]\n"}, "2.0.0"},
		"not one that excludes it": {"a/b/c", text, map[string]string{"": with("1.0.0"),
			"a": "[workspace]\nexclude = [\"./b\"]\n" + with("2.0.0")}, "1.0.0"},
		"the named one": {"a/b", text + "workspace = \"../../w\"\n", map[string]string{"": with("1.0.0"),
			"w": with("2.0.0")}, "2.0.0"},
		"not one outside": {"a", text + "workspace = \"../../../etc\"\n",
			map[string]string{"": with("1.0.0")},
			"! it inherits from a workspace, of which the repository has none"},
		"not one of this machine": {"a", text + "workspace = \"/etc\"\n",
			map[string]string{"etc": with("1.0.0")},
			"! it inherits from a workspace, of which the repository has none"},
		"none":   {"a", text, nil, "! it inherits from a workspace, of which the repository has none"},
		"broken": {"a", text, map[string]string{"": "["}, "! toml"},
	} {
		if c.others == nil {
			c.others = map[string]string{}
		}
		c.others[c.dir] = c.text
		out, err := normalize(c.text, c.dir, manifests(t, c.others))
		var m struct{ Package struct{ Version string } }
		got := ""
		if err != nil {
			got = "! " + err.Error()
		} else if _, err := toml.Decode(string(out), &m); err != nil {
			t.Fatal(err)
		} else {
			got = m.Package.Version
		}
		if got != c.want && !(strings.HasPrefix(c.want, "!") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	f.Add("[package]\nname = \"x\"\nversion.workspace = true\n[lints]\nworkspace = true\n",
		workspaceText)
	f.Add("[dependencies]\nmore = { workspace = true, features = [\"b\"] }\n", workspaceText)
	f.Fuzz(func(t *testing.T, text, above string) {
		find := manifests(t, map[string]string{"": above, "crates/x": text})
		bound.Work(t, 1<<30, func() {
			out, err := normalize(text, "crates/x", find)
			if err != nil {
				return
			}
			// It stands for itself now.
			again, err := normalize(string(out), "", manifests(t, nil))
			if err != nil || string(again) != string(out) {
				t.Errorf("%q becomes %q, and then %q, %v", text, out, again, err)
			}
		})
	})
}
