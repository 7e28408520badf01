// What a user sees if a source, the engine or a package is at fault, and that nothing is lost.

package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestUnreachableEngine(t *testing.T) {
	root := writeTree(t, pkg{name: "a"})
	r := buildsys(t, root, []string{"DOCKER_HOST=unix:///nowhere/docker.sock",
		"BUILDSYS_ENGINE_WAIT=0s"}, "build-package", "a")
	r.must(t, 4, "unix:///nowhere/docker.sock", "DOCKER_HOST", "privileged")
}

func TestSources(t *testing.T) {
	needEngine(t)
	tarball := source{"thing-1.0.tar", []byte("the real bytes of a source\n")}
	script := "cp %{_sourcedir}/thing-1.0.tar %{buildroot}/thing"
	root := writeTree(t, pkg{name: "thing", sources: []source{tarball}, script: script})
	build := func(lookaside string) result {
		// A separate cache: a good source found once would hide the fault.
		env := []string{"BUILDSYS_LOOKASIDE_CACHE=" + lookaside,
			"BUILDSYS_UPSTREAM_SOURCE_FALLBACK=false", "BUILDSYS_CACHE_DIR=" + t.TempDir()}
		return buildsys(t, root, env, "build-package", "thing")
	}

	build(lookaside(t, tarball, tarball.data)).must(t, 0)
	good := rpmBytes(t, root, "thing")

	// The package is built, so it needs no source; from here on it has to be built again.
	writePackage(t, root, pkg{name: "thing", sources: []source{tarball}, script: script +
		"; echo again >>%{buildroot}/thing"})
	wrong := []byte("the fake bytes of a source\n")
	build(lookaside(t, tarball, wrong)).must(t, 5, "thing-1.0.tar", "sha512")
	build(lookaside(t, tarball, tarball.data[:10])).must(t, 5, "thing-1.0.tar", "sha512")
	build(t.TempDir()).must(t, 4, "thing-1.0.tar", "packages/thing/Cargo.toml:",
		"BUILDSYS_UPSTREAM_SOURCE_FALLBACK")

	if rpmBytes(t, root, "thing") != good {
		t.Error("after the faults the RPM is not the one from before")
	}
	noDebris(t, root)
}

// TestFailureStopsOnlyDependants makes one of four packages fail: its dependant is skipped and
// named, and the others are built.
func TestFailureStopsOnlyDependants(t *testing.T) {
	needEngine(t)
	packages := []pkg{
		{name: "bad", script: "echo about to fail; exit 7"},
		{name: "needs-bad", needs: []string{"bad"}},
		{name: "good"},
		{name: "needs-good", needs: []string{"good"}},
	}
	root := writeTree(t, packages...)
	writePackage(t, root, pkg{name: "bad"})
	buildsys(t, root, nil, "build-package", "bad", "needs-bad").must(t, 0)
	good := rpmBytes(t, root, "bad")

	writePackage(t, root, packages[0])
	r := buildsys(t, root, nil, "build-package", "bad", "needs-bad", "good", "needs-good")
	r.must(t, 3, "bad", "needs-bad", "about to fail", "build/logs/")
	for _, p := range packages {
		if n := len(rpms(t, root, p.name)); n != 1 {
			t.Errorf("%d RPMs of %s, want 1: the good ones built, the others kept from before", n, p.name)
		}
	}
	if rpmBytes(t, root, "bad") != good {
		t.Error("the RPM of bad is not the one from before it failed")
	}
	log, err := os.ReadFile(filepath.Join(root, "build/logs", arch(t, root), "package-bad.log"))
	if err != nil || !strings.Contains(string(log), "about to fail") {
		t.Errorf("the log of bad: %v\n%s", err, log)
	}
	noDebris(t, root)
}

// TestUndeclaredDependency has a spec that requires a package its manifest does not list: nothing
// is built, and the message has the line to add, which lint --fix writes.
func TestUndeclaredDependency(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "library"}, pkg{name: "program", needs: []string{"library"}})
	manifest := filepath.Join(root, "packages/program/Cargo.toml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	declared := `library = { path = "../library" }`
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), declared, "", 1)),
		0o644); err != nil {
		t.Fatal(err)
	}
	r := buildsys(t, root, nil, "build-package", "library", "program")
	r.must(t, 2, "skiff-library", "program", declared, "packages/program/Cargo.toml")
	if got := started(r); len(got) > 0 {
		t.Errorf("built %q", got)
	}

	buildsys(t, root, nil, "lint", "--fix", "program").must(t, 0)
	buildsys(t, root, nil, "build-package", "program").must(t, 0)
}

// TestNothingThatRPMSaysIsPassedOver has a spec with a mistake that rpm calls an error and then
// builds without the patch, in a form that lint does not see, and one whose last words come after
// megabytes of output.
func TestNothingThatRPMSaysIsPassedOver(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "patched"},
		pkg{name: "loud", script: "seq 1 600001; echo the very last words; exit 7"})
	spec := filepath.Join(root, "packages/patched/patched.spec")
	text, err := os.ReadFile(spec)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte("%{lua:print('')}\n" + strings.Replace(string(text), "%install",
		"%prep\n%patch -P6 -p1\n\n%install", 1)) // for all that lint knows, that line is a Patch6
	if err := os.WriteFile(spec, text, 0o644); err != nil {
		t.Fatal(err)
	}
	r := buildsys(t, root, nil, "build-package", "patched", "loud")
	r.must(t, 3, "No patch number 6", "packages/patched/patched.spec has errors",
		"the very last words")
}

// arch is the architecture a tree was built for.
func arch(t *testing.T, root string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "build/rpms"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("build/rpms: %v, %v", entries, err)
	}
	return entries[0].Name()
}

// TestJobs builds eight packages of equal cost, two at a time, and counts them in the lines that a
// user sees.
func TestJobs(t *testing.T) {
	needEngine(t)
	var packages []pkg
	var names []string
	for i := range 8 {
		name := "p" + strconv.Itoa(i)
		packages = append(packages, pkg{name: name, script: "sleep 1; date +%%N >%{buildroot}/" + name})
		names = append(names, name)
	}
	root := writeTree(t, packages...)
	cmd := command(t.Context(), root, nil, append([]string{"build-package", "--jobs", "2"},
		names...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running, most, started := 0, 0, 0
	var text strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		line := lines.Text()
		text.WriteString(line + "\n")
		switch {
		case strings.Contains(line, " started"):
			running++
			started++
			most = max(most, running)
		case strings.Contains(line, " done in "):
			running--
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	if started != 8 || most != 2 {
		t.Errorf("%d started, at most %d at once; want 8 and exactly 2:\n%s", started, most, &text)
	}
}

// TestInterrupt stops a build in the middle of a step: it ends with the signal's exit code, keeps
// earlier RPMs, and leaves nothing behind.
func TestInterrupt(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "slow"})
	buildsys(t, root, nil, "build-package", "slow").must(t, 0)
	good := rpmBytes(t, root, "slow")

	writePackage(t, root, pkg{name: "slow", script: "echo now sleeping; sleep 600"})
	// an engine that shows no output must not hang the test
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := command(ctx, root, nil, "build-package", "-v", "slow")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if strings.HasSuffix(lines.Text(), "now sleeping") {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	for lines.Scan() {
		rest.WriteString(lines.Text() + "\n")
	}
	io.Copy(io.Discard, stderr)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130\n%s", code, &rest)
	}
	if rpmBytes(t, root, "slow") != good {
		t.Error("after the interrupt the RPM is not the one from before")
	}
	noDebris(t, root)
}
