// A workspace in Bottlerocket's form, driven by the real cargo, whose build scripts start the real
// buildsys.

package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"buildsys/internal/buildtest/need"
)

// needCargo checks that cargo can build here.
func needCargo(t *testing.T) {
	t.Helper()
	needEngine(t)
	if out, err := exec.Command("cargo", "--version").CombinedOutput(); err != nil {
		need.Missing(t, "no cargo: %v %s", err, out)
	}
}

// cargoTree writes testdata/cargo.txtar, with an empty cache for the rest of the test.
func cargoTree(t *testing.T) string {
	t.Helper()
	needCargo(t)
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	for _, name := range []string{"testdata/images.txtar", "testdata/cargo.txtar"} {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if name == "testdata/cargo.txtar" || f.Name == "packages/tiny/tiny.spec" {
				write(t, root, f.Name, string(f.Data))
			}
		}
	}
	backdateTree(t, root)
	return root
}

// backdateTree makes every file of a tree look a minute old, like those of a checkout. Cargo
// compares times.
func backdateTree(t *testing.T, root string) {
	t.Helper()
	at := time.Now().Add(-time.Minute)
	err := filepath.Walk(root, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chtimes(path, at, at))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cargoRun is the result of one cargo build.
type cargoRun struct {
	result
	scripts []string // crates whose build scripts ran, sorted
	built   []string // steps that were handed to the engine, in that order
}

// cargoBuild builds the variant as Bottlerocket's Makefile.toml does.
func cargoBuild(t *testing.T, root string, env ...string) cargoRun {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cargo", "build", "-vv", "--offline", "--jobs", "8",
		"--manifest-path", "variants/qemu-tiny/Cargo.toml")
	base := command(t.Context(), root, env)
	cmd.Dir, cmd.Env = root, append(base.Env, "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
		"CARGO_TARGET_DIR="+filepath.Join(root, "variants/target/x86_64"), "CARGO_TERM_COLOR=never",
		"BUILDSYS_VARIANT=qemu-tiny", "BUILDSYS_ARCH=x86_64",
		"BUILDSYS_VERSION_BUILD=abc", "BUILDSYS_JOBS=2")
	var stderr, stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	run := cargoRun{result: result{cmd.ProcessState.ExitCode(), "", stdout.String() + stderr.String()}}
	script := regexp.MustCompile(
		"(?m)^ +Running `.*/build/([^/`]+)-[0-9a-f]+/build-script-build`")
	for _, m := range script.FindAllStringSubmatch(run.stderr, -1) {
		run.scripts = append(run.scripts, m[1])
	}
	slices.Sort(run.scripts)
	start := regexp.MustCompile(`(?m)^\[\S+ 0\.1\.0\] \[\d+/\d+\] (.+) started`)
	for _, m := range start.FindAllStringSubmatch(run.stderr, -1) {
		run.built = append(run.built, m[1])
	}
	// Each of these lines has kilobytes.
	run.stderr = regexp.MustCompile("(?m)^ +Running .*\n").ReplaceAllString(run.stderr, "")
	return run
}

// did fails the test unless the build succeeded, ran the wanted scripts and built the wanted steps.
func (r cargoRun) did(t *testing.T, what string, scripts, built []string) {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("%s: cargo exited with %d\n%s", what, r.code, r.stderr)
	}
	if !slices.Equal(r.scripts, scripts) {
		t.Errorf("%s: ran the build scripts of %q, want %q", what, r.scripts, scripts)
	}
	slices.Sort(r.built)
	if !slices.Equal(r.built, built) {
		t.Errorf("%s: built %q, want %q", what, r.built, built)
	}
	if t.Failed() {
		t.Fatal(r.stderr)
	}
}

// allCrates are the crates of the tree, sorted.
var allCrates = []string{"base", "left", "qemu-tiny", "right", "side_1", "tiny"}

// TestUnderCargo checks that cargo runs the scripts that a change reaches, and that buildsys builds
// no more than that needs.
func TestUnderCargo(t *testing.T) {
	root := cargoTree(t)
	side := []string{"left", "right", "side.1"}
	// Without a new line, the engine has their layers from an earlier run, and they do not run.
	for _, name := range side {
		appendTo(t, root, "packages/"+name+"/"+name+".spec", "# "+rand.Text()+"\n")
	}
	backdateTree(t, root)
	first := cargoBuild(t, root)
	place := func(name string) int { return slices.Index(first.built, name) }
	if place("base") != 0 || place("left") > place("tiny") ||
		len(first.built) == 0 || first.built[len(first.built)-1] != "variant qemu-tiny" {
		t.Errorf("built in the order %q\n%s", first.built, first.stderr)
	}
	first.did(t, "first", allCrates,
		[]string{"base", "left", "right", "side.1", "tiny", "variant qemu-tiny"})
	if most := mostAtOnce(t, root, side...); most > 2 {
		t.Errorf("%d builds at once, BUILDSYS_JOBS=2 allows two", most)
	} else {
		t.Logf("at most %d builds at once", most)
	}
	latest := filepath.Join(root, "build/images/x86_64-qemu-tiny/latest/*.img.lz4")
	if images, err := filepath.Glob(latest); err != nil || len(images) == 0 {
		t.Errorf("images: %q, %v", images, err)
	}
	cargoBuild(t, root, noEngine).did(t, "no-op", nil, nil)

	// A spec is only touched: cargo runs the scripts above it, buildsys builds nothing.
	touch(t, root, "packages/left/left.spec")
	cargoBuild(t, root, noEngine).did(t, "touched", []string{"left", "qemu-tiny", "tiny"}, nil)
	touch(t, root, "variants/qemu-tiny/README.md")
	cargoBuild(t, root, noEngine).did(t, "file that is no input", nil, nil)
	// A changed spec makes the same RPM: its package is built, and nothing above it.
	appendTo(t, root, "packages/base/base.spec", "# nothing but a comment\n")
	cargoBuild(t, root).did(t, "comment", allCrates, []string{"base"})
	cargoBuild(t, root, noEngine).did(t, "no-op after a comment", nil, nil)
	// Outputs that are gone come back from the store.
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	cargoBuild(t, root, noEngine).did(t, "outputs gone", allCrates, nil)
	cargoBuild(t, root, noEngine).did(t, "no-op after outputs were gone", nil, nil)

	// Another checkout gets everything from the store.
	other := cargoTreeBeside(t, root)
	cargoBuild(t, other, noEngine).did(t, "other checkout", allCrates, nil)
	// Without cargo, buildsys finds nothing to do in a checkout that cargo has built.
	buildsys(t, root, []string{noEngine, "BUILDSYS_VERSION_BUILD=abc"},
		"build-variant", "qemu-tiny").must(t, 0, "nothing to do")
	noDebris(t, root)
}

// A package that fails makes cargo fail and shows its last output; others are still built.
func TestFailureUnderCargo(t *testing.T) {
	root := cargoTree(t)
	spec, err := os.ReadFile(filepath.Join(root, "packages/left/left.spec"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "packages/left/left.spec",
		strings.Replace(string(spec), "sleep 2", "echo this cannot be; exit 9", 1))
	r := cargoBuild(t, root)
	if r.code != 101 {
		t.Errorf("cargo exited with %d, want 101", r.code)
	}
	for _, want := range []string{"failed to run custom build command for `left v0.1.0",
		"left failed", "this cannot be", "package-left.log"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("no %q in\n%s", want, r.stderr)
		}
	}
	if len(rpms(t, root, "base")) != 1 || len(rpms(t, root, "left")) != 0 ||
		slices.Contains(r.built, "tiny") {
		t.Errorf("built %q; RPMs of left: %q", r.built, rpms(t, root, "left"))
	}
}

// cargoTreeBeside copies the sources of a tree and backdates them.
func cargoTreeBeside(t *testing.T, root string) string {
	t.Helper()
	other := t.TempDir()
	shell(t, root, `cp -r Release.toml packages variants "$0" &&
		rm -rf "$0/variants/target" "$0/variants/Cargo.lock"`, other)
	backdateTree(t, other)
	return other
}

func touch(t *testing.T, root, name string) {
	t.Helper()
	now := time.Now()
	if err := os.Chtimes(filepath.Join(root, name), now, now); err != nil {
		t.Fatal(err)
	}
}

// mostAtOnce returns how many of the packages were in their %build sections at the same time,
// according to their logs.
func mostAtOnce(t *testing.T, root string, packages ...string) int {
	t.Helper()
	type edge struct{ at, step int64 }
	var edges []edge
	for _, name := range packages {
		log, err := os.ReadFile(filepath.Join(root, "build/logs/x86_64/package-"+name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		marks := regexp.MustCompile(`(?m)^(begin|end) (\d+)$`).FindAllStringSubmatch(string(log), -1)
		if len(marks) != 2 || marks[0][1] != "begin" || marks[1][1] != "end" {
			t.Fatalf("the log of %s has no begin and end:\n%s", name, log)
		}
		for i, mark := range marks {
			at, err := strconv.ParseInt(mark[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			edges = append(edges, edge{at, 1 - 2*int64(i)})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return int(a.at - b.at) })
	running, most := int64(0), int64(0)
	for _, e := range edges {
		running += e.step
		most = max(most, running)
	}
	return int(most)
}
