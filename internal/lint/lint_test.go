// lint_test: trees with one disagreement each in testdata/*.txtar, with every finding to the
// letter; and our own tree, which has none.

package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/buildtest"
	"buildsys/internal/golden"
	"buildsys/internal/workspace"
)

func TestFindings(t *testing.T) {
	wants := []string{"want"}
	golden.Trees(t, "testdata/*.txtar", 15, wants,
		func(t *testing.T, archive *txtar.Archive) []string {
			whole := &txtar.Archive{Files: append(common(), archive.Files...)}
			return []string{lintTree(t, buildtest.Tree(t, string(txtar.Format(whole))))}
		})
}

// common is part of every tree: a C library, and a package that is built with it. A tree may
// replace them.
func common() []txtar.File {
	return txtar.Parse([]byte(`
-- Release.toml --
version = "1.0.0"
-- macros/shared --
%_cross_os skiff-
-- macros/x86_64 --
%_cross_arch x86_64
-- macros/aarch64 --
%_cross_arch aarch64
-- packages/libc/Cargo.toml --
[package]
name = "libc"
-- packages/libc/libc.spec --
Name: %{_cross_os}libc
%package devel
Requires: %{name}
%files
%files devel
-- packages/app/Cargo.toml --
[package]
name = "app"
[build-dependencies]
libc = { path = "../libc" }
-- packages/app/app.spec --
Name: %{_cross_os}app
BuildRequires: %{_cross_os}libc-devel
Requires: %{_cross_os}libc
%files
`)).Files
}

func lintTree(t *testing.T, root string) string {
	t.Helper()
	ws, err := workspace.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	findings, err := Tree(t.Context(), ws, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

func TestOwnTreeIsClean(t *testing.T) {
	if got := lintTree(t, "../.."); got != "" {
		t.Errorf("the sample OS does not lint clean:\n%s", got)
	}
	ws, err := workspace.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	base, err := readMacros(ws.FS, nil, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ws.PackageNames() { // no findings must not mean not understood
		data, err := os.ReadFile(filepath.Join("../../packages", name, name+".spec"))
		if err != nil {
			t.Fatal(err)
		}
		if spec := ParseSpec(t.Context(), string(data), base); spec.Uncertain || len(spec.RPMs) == 0 {
			t.Errorf("packages/%s/%s.spec is not understood: %d RPMs, uncertain %v", name, name,
				len(spec.RPMs), spec.Uncertain)
		}
	}
}
