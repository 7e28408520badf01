package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
)

// TestAddLine: the line goes to the end of its table, and all else stays to the byte.
func TestAddLine(t *testing.T) {
	const line = `libc = { path = "../libc" }`
	fix := Fix{File: "Cargo.toml", Table: "build-dependencies", Line: line}
	for name, tt := range map[string]struct{ before, after, fault string }{
		"at the end": {"[package]\nname = \"a\"\n\n[build-dependencies]\nx = 1 # why\n",
			"[package]\nname = \"a\"\n\n[build-dependencies]\nx = 1 # why\n" + line + "\n", ""},
		"before another table": {"[build-dependencies]\nx = 1\n\n# about b\n[[b.c]]\ny = 2",
			"[build-dependencies]\nx = 1\n\n# about b\n" + line + "\n[[b.c]]\ny = 2", ""},
		"empty table": {"[ build-dependencies ] # none\n\n[b]\n",
			"[ build-dependencies ] # none\n" + line + "\n\n[b]\n", ""},
		"no table": {"[package]\nname = \"a\"",
			"[package]\nname = \"a\"\n\n[build-dependencies]\n" + line + "\n", ""},
		"no end of line": {"[build-dependencies]\nx = 1",
			"[build-dependencies]\nx = 1\n" + line + "\n", ""},
		"line ends of Windows": {"[build-dependencies]\r\nx = 1\r\n",
			"[build-dependencies]\r\nx = 1\r\n" + line + "\r\n", ""},
		"a table inside":    {"[build-dependencies.x]\ny = 1\n", "", ""},
		"an inline table":   {"build-dependencies = { x = 1 }\n", "", "TOML"},
		"there already":     {"[build-dependencies]\nlibc = \"1\"\n", "", "has libc already"},
		"there, as a table": {"[build-dependencies.libc]\nversion = \"1\"\n", "", "has libc already"},
		"a table in a text": {"x = '''\n[build-dependencies]\n'''\n", "", "by hand"},
		"no TOML":           {"[build-dependencies\n", "", "toml"},
	} {
		got, err := fix.Apply(tt.before)
		switch {
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%s: error %v, want %q", name, err, tt.fault)
		case tt.fault == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tt.after != "" && got != tt.after:
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tt.after)
		}
	}
}

// TestWrite: two fixes of one file are one diff; a file behind a link is not written, and nothing
// is left beside it.
func TestWrite(t *testing.T) {
	const before = "[package]\nname = \"app\"\n"
	root := buildtest.Tree(t, "-- packages/app/Cargo.toml --\n"+before+"-- outside --\n"+before+
		"-- packages/link/none --\n-- packages/app/app.spec --\na\n")
	manifest := filepath.Join(root, "packages/app/Cargo.toml")
	spec := filepath.Join(root, "packages/app/app.spec")
	buildtest.Must(t, os.WriteFile(spec, []byte("a\r\nb\r\n"), 0o600))
	buildtest.Must(t, os.Chmod(spec, 0o640))
	buildtest.Must(t, os.Symlink("../../outside", filepath.Join(root, "packages/link/Cargo.toml")))
	fix := func(file, name string) Finding {
		return Finding{Fix: Fix{File: file, Table: "dependencies",
			Line: name + ` = { path = "../` + name + `" }`}}
	}
	diffs, err := Write(root, []Finding{fix("packages/app/Cargo.toml", "a"),
		fix("packages/app/Cargo.toml", "b"), fix("packages/app/Cargo.toml", "a"),
		fix("packages/link/Cargo.toml", "a"), {}, {Fix: Fix{File: "packages/app/app.spec", LF: true}}})
	if err == nil || !strings.Contains(err.Error(), "packages/link/Cargo.toml is not changed") {
		t.Errorf("error %v", err)
	}
	want := before + "\n[dependencies]\na = { path = \"../a\" }\nb = { path = \"../b\" }\n"
	if got, _ := os.ReadFile(manifest); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, _ := os.ReadFile(spec); string(got) != "a\nb\n" {
		t.Errorf("the spec is %q", got)
	}
	if info, err := os.Stat(spec); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the spec has mode %v", info.Mode())
	}
	if got, _ := os.ReadFile(filepath.Join(root, "outside")); string(got) != before {
		t.Errorf("outside the file is %q", got)
	}
	if len(diffs) != 2 || !strings.Contains(diffs[0], "+[dependencies]\n+a = { path") {
		t.Errorf("diffs %q", diffs)
	}
	if files, _ := os.ReadDir(filepath.Dir(manifest)); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
}
