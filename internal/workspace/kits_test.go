// kits_test: the contents of a kit and which steps see it, by Twoliter's rules.

package workspace

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// kitTree has every way in which a package gets into a kit, or does not: by build-dependency, by
// the run-time dependency of one, only through another kit, and not by its own run-time dependency.
const kitTree = `
-- Twoliter.toml --
schema-version = 1
release-version = "2.0.0"
-- kits/core-kit/Cargo.toml --
[package]
name = "core-kit"
[package.metadata.build-kit]
vendor = "me"
[build-dependencies]
musl = { path = "../../packages/musl" }
-- kits/tools/Cargo.toml --
[package]
name = "tools-kit"
[package.metadata.build-kit]
vendor = "me"
kit-name = "tools"
[build-dependencies]
core-kit = { path = "../core-kit" }
editor = { path = "../../packages/editor" }
-- packages/musl/Cargo.toml --
[package]
name = "musl"
-- packages/musl/musl.spec --
-- packages/ncurses/Cargo.toml --
[package]
name = "ncurses"
[build-dependencies]
core-kit = { path = "../../kits/core-kit" }
-- packages/ncurses/ncurses.spec --
-- packages/editor/Cargo.toml --
[package]
name = "editor"
[build-dependencies]
ncurses = { path = "../ncurses" }
[dependencies]
spell = { path = "../spell" }
-- packages/editor/editor.spec --
-- packages/spell/Cargo.toml --
[package]
name = "spell"
[build-dependencies]
core-kit = { path = "../../kits/core-kit" }
-- packages/spell/spell.spec --
-- packages/app/Cargo.toml --
[package]
name = "app"
[build-dependencies]
tools-kit = { path = "../../kits/tools" }
[dependencies]
extra = { path = "../extra" }
-- packages/app/app.spec --
-- packages/extra/Cargo.toml --
[package]
name = "extra"
-- packages/extra/extra.spec --
-- variants/qemu-kit/Cargo.toml --
[package]
name = "qemu-kit"
[package.metadata.build-variant]
included-packages = ["app"]
[build-dependencies]
app = { path = "../../packages/app" }
`

func TestKits(t *testing.T) {
	w := load(t, writeTree(t, txtar.Parse([]byte(kitTree))))
	if w.Release.Version != "2.0.0" || w.Project == nil {
		t.Errorf("version %q, project %v", w.Release.Version, w.Project)
	}
	for kit, want := range map[string]string{"core-kit": "musl", "tools": "editor ncurses spell"} {
		if got := strings.Join(w.KitContents(kit), " "); got != want {
			t.Errorf("%s holds %q, want %q", kit, got, want)
		}
	}
	if got := w.KitsBelow("tools"); !slices.Equal(got, []string{"core-kit"}) {
		t.Errorf("tools needs the kits %q", got)
	}
	g := w.Graph()
	// Of a kit all packages are visible, and those of the kits it needs; not the package's own
	// run-time dependencies.
	for pkg, want := range map[string]string{"app": "editor musl ncurses spell",
		"editor": "musl ncurses", "musl": ""} {
		if got := strings.Join(Packages(g.BuildClosure(pkg)), " "); got != want {
			t.Errorf("%s sees %q, want %q", pkg, got, want)
		}
	}
	if got := strings.Join(Packages(g.Closure(w.Variants["qemu-kit"].BuildRequires...)),
		" "); got != "app editor extra musl ncurses spell" {
		t.Errorf("the variant has %q", got)
	}
}
