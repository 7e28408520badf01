package build

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/fakerpm"
	"buildsys/internal/cache"
	"buildsys/internal/cachedir"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
)

// stepError is an engine's error whose reason is in the step's output, or is not.
type stepError struct{ inOutput bool }

func (stepError) Error() string                   { return "RUN x failed with exit code 7" }
func (stepError) ErrorKind() errkind.Kind         { return errkind.StepFailed }
func (e stepError) InOutput() (exit int, ok bool) { return 7, e.inOutput }

const explainedTree = `
-- Release.toml --
version = "1.0.0"
-- packages/greet/Cargo.toml --
[package]
name = "greet"
[build-dependencies]
ncurses = { path = "../ncurses" }
-- packages/greet/greet.spec --
-- packages/libc/Cargo.toml --
[package]
name = "libc"
-- packages/libc/libc.spec --
-- packages/ncurses/Cargo.toml --
[package]
name = "ncurses"
-- packages/ncurses/ncurses.spec --
-- packages/outside/Cargo.toml --
[package]
name = "outside"
-- packages/outside/outside.spec --
`

// writeRPM makes an RPM with one file.
func writeRPM(t *testing.T, dir, name, pkg, file string) {
	t.Helper()
	buildtest.Must(t, os.MkdirAll(dir, 0o755))
	data := fakerpm.Header(name, pkg, tagDirNames, []string{filepath.Dir(file) + "/"},
		tagDirIndexes, []uint32{0}, tagBaseNames, []string{filepath.Base(file)})
	buildtest.Must(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
}

// TestExplainer: the cause of a failure comes with the event, from the log, and names the RPM that
// has what is missing: of the checkout or of the store, never by a link that leads out of the tree.
func TestExplainer(t *testing.T) {
	root, dirs := buildtest.Tree(t, explainedTree), t.TempDir()
	s := New(Config{Root: root, Arch: "x86_64",
		CacheConfig: CacheConfig{CacheDir: cachedir.Dir(filepath.Join(dirs, "cache"))}},
		Surroundings{Output: silent{}})
	const lib = "/x86_64-skiff-linux-musl/sys-root/usr/lib/"
	writeRPM(t, s.dir.RPMs("libc"), "skiff-libc-devel-1-1.x86_64.rpm", "libc", lib+"libc.specs")
	stored := filepath.Join(dirs, "stored")
	writeRPM(t, stored, "skiff-ncurses-devel-1-1.x86_64.rpm", "ncurses", lib+"libncursesw.so")
	store, err := s.openStore(silent{})
	buildtest.Must(t, err)
	_, err = store.Put(cache.Entry{Step: "package/ncurses x86_64"}, stored, "")
	buildtest.Must(t, err)
	elsewhere := filepath.Join(dirs, "elsewhere")
	writeRPM(t, elsewhere, "skiff-outside-1-1.x86_64.rpm", "outside", lib+"other.specs")
	buildtest.Must(t, os.Symlink(elsewhere, s.dir.RPMs("outside")))

	for name, tt := range map[string]struct {
		output     string
		err        error
		text, hint string
	}{
		"in the checkout": {"cannot read spec file '" + lib + "libc.specs': No such file or directory",
			stepError{true}, "the compiler needs libc.specs, which is not there",
			`libc.specs is in skiff-libc-devel: add libc = { path = "../libc" } to ` +
				"[build-dependencies] in packages/greet/Cargo.toml, and \"BuildRequires: " +
				"%{_cross_os}libc-devel\" to packages/greet/greet.spec"},
		"in the store, and declared": {"/usr/bin/ld: cannot find -lncursesw", stepError{true},
			"the linker does not find the library ncursesw (-lncursesw)",
			"libncursesw.so is in skiff-ncurses-devel: add \"BuildRequires: %{_cross_os}ncurses-devel\" " +
				"to packages/greet/greet.spec"},
		"outside": {"cannot read spec file '" + lib + "other.specs'", stepError{true},
			"the compiler needs other.specs, which is not there",
			"no RPM of the tree that is built so far has other.specs"},
		"not in the output":    {"x", stepError{false}, "", ""},
		"no step of an engine": {"x", errors.New("no source has it"), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			text := strings.Repeat("x\n", maxExplained) + tt.output + "\n"
			buildtest.Must(t, os.WriteFile(log, []byte(text), 0o644))
			var told buildtest.Recorder
			x := &explainer{s: s, log: func(string) string { return log }, next: &told,
				causes: map[string]*progress.Cause{}}
			x.Event(progress.Event{Kind: progress.StepFailed, Step: "package/greet", Err: tt.err})
			summary := progress.Summary{Failures: []progress.Failure{{Step: "package/greet"}}}
			x.add(&summary)
			c := told.Events(progress.StepFailed)[0].Cause
			if c != summary.Failures[0].Cause {
				t.Error("the report has another cause")
			}
			if c == nil {
				c = &progress.Cause{}
			}
			if c.Text != tt.text || c.Hint != tt.hint {
				t.Errorf("got  %q, %q\nwant %q, %q", c.Text, c.Hint, tt.text, tt.hint)
			}
		})
	}
}

// TestNamesInRPMsAreBounded: a header has the name of a directory once, and of an RPM in a checkout
// it could become gigabytes of paths.
func TestNamesInRPMsAreBounded(t *testing.T) {
	root := buildtest.Tree(t, explainedTree)
	s := New(Config{Root: root, Arch: "x86_64",
		CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir())}},
		Surroundings{Output: silent{}})
	const files = 40_000
	dir := s.dir.RPMs("libc")
	buildtest.Must(t, os.MkdirAll(dir, 0o755))
	data := fakerpm.Header("skiff-libc-1-1.x86_64.rpm", "libc", tagDirNames,
		[]string{strings.Repeat("d", 4000)},
		tagDirIndexes, make([]uint32, files), tagBaseNames,
		slices.Repeat([]string{"x"}, files))
	buildtest.Must(t, os.WriteFile(filepath.Join(dir, "skiff-libc-1-1.x86_64.rpm"), data, 0o644))
	const lib = "/x86_64-skiff-linux-musl/sys-root/usr/lib/"
	writeRPM(t, s.dir.RPMs("ncurses"), "skiff-ncurses-1-1.x86_64.rpm", "ncurses", lib+"x.so")
	ws, err := s.Load()
	buildtest.Must(t, err)
	all := s.indexRPMs(ws)
	if len(all) != 2 || len(all[0].paths) > 0 || len(all[1].paths) != 1 {
		t.Errorf("%d RPMs", len(all))
		for _, r := range all {
			t.Errorf("%s has %d paths", r.name, len(r.paths))
		}
	}
}

// TestOwnersAreOfTheTree: RPMs are looked for in no directory that a link leads to out of the tree.
func TestOwnersAreOfTheTree(t *testing.T) {
	root, elsewhere := buildtest.Tree(t, explainedTree), t.TempDir()
	s := New(Config{Root: root, Arch: "x86_64",
		CacheConfig: CacheConfig{CacheDir: cachedir.Dir(t.TempDir())}},
		Surroundings{Output: silent{}})
	writeRPM(t, filepath.Join(elsewhere, "libc"), "skiff-libc-1-1.x86_64.rpm", "libc", "/usr/lib/x")
	rpms := filepath.Dir(s.dir.RPMs("libc"))
	buildtest.Must(t, os.MkdirAll(filepath.Dir(rpms), 0o755))
	buildtest.Must(t, os.Symlink(elsewhere, rpms))
	found := map[string][]rpmFile{}
	buildtest.Must(t, s.addFromCheckout(found, map[string]string{"skiff-libc-1-1.x86_64.rpm": "libc"}))
	if len(found) > 0 {
		t.Errorf("an RPM outside of the tree is believed: %v", found)
	}
}
