// Nothing is built twice, on a real engine: an edit that does not reach an RPM builds nothing.

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
)

// noEngine makes any attempt to reach an engine fail at once.
const noEngine = "DOCKER_HOST=tcp://127.0.0.1:1"

// layered writes a tree of four packages: three on top of each other and one beside them.
func layered(t *testing.T) (root string) {
	t.Helper()
	needEngine(t)
	root = writeTree(t,
		pkg{name: "low"},
		pkg{name: "mid", needs: []string{"low"}},
		pkg{name: "top", needs: []string{"mid"}},
		pkg{name: "aside"},
	)
	buildLayered(t, root, nil, "aside", "low", "mid", "top")
	return root
}

// buildLayered builds the whole tree and fails the test unless exactly the wanted packages, sorted
// by name, were built.
func buildLayered(t *testing.T, root string, env []string, want ...string) result {
	t.Helper()
	r := buildsys(t, root, env, "build-package", "top", "aside")
	r.must(t, 0)
	if got := started(r); !slices.Equal(got, want) {
		t.Errorf("built %q, want %q:\n%s", got, want, r.stderr)
	}
	return r
}

// started returns the sorted names of the steps that a run handed to the engine.
func started(r result) []string {
	var names []string
	pattern := regexp.MustCompile(`(?m)^\[\d+/\d+\] (.*) started`)
	for _, m := range pattern.FindAllStringSubmatch(r.stderr, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

func TestNoOp(t *testing.T) {
	root := layered(t)
	buildLayered(t, root, []string{noEngine}).must(t, 0, "4 steps up to date, nothing to do")
	touched := 0
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			touched++
			err = os.Chtimes(path, time.Now(), time.Now().Add(time.Hour))
		}
		return err
	})
	if err != nil || touched < 12 {
		t.Fatalf("touched %d files: %v", touched, err)
	}
	buildLayered(t, root, []string{noEngine}).must(t, 0, "4 steps up to date, nothing to do")
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	buildLayered(t, root, []string{noEngine}).must(t, 0, "mid restored from the store",
		"nothing to do")
	if got := rpms(t, root, "top"); len(got) != 1 {
		t.Errorf("RPMs of top: %q", got)
	}
}

// A clone of the tree in other surroundings finds everything it needs in the store.
func TestOtherSurroundings(t *testing.T) {
	need.Program(t, "git")
	root := layered(t)
	clone := filepath.Join(t.TempDir(), "another name")
	shell(t, root, `git init -q && git add Release.toml packages &&
		git -c user.name=a -c user.email=a@example.org commit -qm tree
		umask 077 && git clone -q . "$0" && rm -rf "$0/.git"`, clone)
	surroundings := []string{noEngine, "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8",
		"USER=somebody", "LOGNAME=somebody",
		"HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "BUILDSYS_JOBS=7"}
	buildLayered(t, clone, surroundings).must(t, 0, "low restored from the store", "nothing to do")

	need.Root(t)
	if err := exec.Command("unshare", "--uts", "setpriv", "--reuid", "65534",
		"true").Run(); err != nil {
		need.Missing(t, "unshare and setpriv cannot set another host name and user: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(clone, "build")); err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "buildsys-e2e-other-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	cache := os.Getenv("BUILDSYS_CACHE_DIR")
	out := shell(t, clone, `cp -r "$1" "$0/cache" && cp -r . "$0/tree" &&
		cp "$2" "$0/buildsys" && chown -R 65534:65534 "$0" && cd "$0/tree"
		exec unshare --uts sh -c 'hostname elsewhere && umask 077 &&
			HOME=$0 BUILDSYS_CACHE_DIR=$0/cache DOCKER_HOST=tcp://127.0.0.1:1 BUILDSYS_SDK_IMAGE=$BUILDSYS_SDK_IMAGE \
			exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0/buildsys" build-package top aside' "$0"`,
		home, cache, binary)
	if !strings.Contains(out, "top restored from the store") ||
		!strings.Contains(out, "nothing to do") || strings.Contains(out, " started") {
		t.Errorf("as another user on another host:\n%s", out)
	}
}

// shell runs a script with arguments and returns its output.
func shell(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-euc", script}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestCutOff checks that a comment builds one package, and a real change everything it reaches.
func TestCutOff(t *testing.T) {
	root := layered(t)
	before := contents(t, root)
	appendTo(t, root, "packages/low/low.spec", "# nothing but a comment\n")
	buildLayered(t, root, nil, "low").must(t, 0, "up to date")
	if after := contents(t, root); !slices.Equal(before, after) {
		t.Errorf("RPMs differ after a comment:\n%q\n%q", before, after)
	}
	buildLayered(t, root, []string{noEngine})

	writePackage(t, root, pkg{name: "mid", needs: []string{"low"},
		script: "echo changed >%{buildroot}/mid"})
	buildLayered(t, root, nil, "mid", "top")
	writePackage(t, root, pkg{name: "low", script: "echo changed >%{buildroot}/low"})
	buildLayered(t, root, nil, "low", "mid", "top")
	if after := contents(t, root); slices.Equal(before, after) {
		t.Error("RPMs are the same after a real change")
	}
	buildLayered(t, root, []string{noEngine})
}

func appendTo(t *testing.T, root, name, text string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, name, string(data)+text)
}

// contents returns the bytes of all RPMs of a tree.
func contents(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	for _, path := range rpms(t, root, "*") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, filepath.Base(path)+": "+string(data))
	}
	return all
}

// A bit that flips in the store is noticed where its file is needed; it is reported and built
// again.
func TestBitFlipInStore(t *testing.T) {
	root := layered(t)
	good := contents(t, root)
	store := filepath.Join(os.Getenv("BUILDSYS_CACHE_DIR"), "store", "blobs")
	flipped := 0
	err := filepath.Walk(store, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(data), "\xed\xab\xee\xdb") { // it is a log
			return err
		}
		flipped++
		data[len(data)/2] ^= 1
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	})
	if err != nil || flipped != 4 {
		t.Fatalf("%d RPMs flipped: %v", flipped, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	buildLayered(t, root, nil, "aside", "low", "mid", "top").must(t, 0, "damaged", "built again")
	if got := contents(t, root); !slices.Equal(got, good) {
		t.Error("the RPMs are not those from before")
	}
}

// TestVerifyReproducible checks that a package that depends on its surroundings is caught, and the
// difference explained.
func TestVerifyReproducible(t *testing.T) {
	needEngine(t)
	root := writeTree(t,
		pkg{name: "good", script: "(umask; echo $LANG; echo %{_topdir}) >%{buildroot}/good"},
		pkg{name: "clock", script: "date +%%N >%{buildroot}/clock"},
		pkg{name: "host", script: "uname -n >%{buildroot}/host"},
		pkg{name: "jobs", script: "nproc >%{buildroot}/jobs"},
		pkg{name: "zone", script: "date -d @0 >%{buildroot}/zone"},
	)
	r := buildsys(t, root, nil, "build-package", "--verify-reproducible", "good", "clock", "host",
		"jobs", "zone")
	r.must(t, 5, "packages are not reproducible: clock, host")
	for _, want := range []string{`(?m)^good is reproducible$`,
		`(?m)^clock is not reproducible: skiff-clock-1.0-1.*\.rpm differs from byte \d+ on`,
		`file /clock: contents`,
		`(?m)^host is not reproducible`, `(?m)^zone is not reproducible`} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("no %q in:\n%s", want, r.stdout)
		}
	}
	for _, side := range []string{"first", "second"} {
		if files, err := filepath.Glob(filepath.Join(root, "build/reproducible/clock", side,
			"*.rpm")); err != nil || len(files) != 1 {
			t.Errorf("kept as %s: %q, %v", side, files, err)
		}
	}
	noDebris(t, root)
}
