// Engines that start late, end in the middle of a step, end twice, copy instead of using overlay,
// or are full. Each is the test's own daemon, with an SDK of one program, so that nothing else on
// the machine is disturbed.

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

const toolSDK = "buildsys.invalid/tool:1"

// toolRoot returns a file with the root file system of the engine tests' image.
func toolRoot(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.tar")
	buildtest.Must(t, os.WriteFile(name, buildtest.ToolImage(t), 0o644))
	return name
}

// toolTree returns a tree with one package, a, whose step does what the tool is told. Its RPM is
// only the beginning of one.
func toolTree(t *testing.T, does ...string) string {
	t.Helper()
	root := writeTree(t)
	write(t, root, "packages/a/Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\n")
	write(t, root, "packages/a/a.spec", "Name: a\n")
	step(t, root, does...)
	return root
}

// step replaces what the step does.
func step(t *testing.T, root string, does ...string) {
	t.Helper()
	run := `RUN --mount=from=buildsys.invalid/package,target=/host/package ` +
		`["/tool", "print", "running"`
	for _, word := range does {
		run += ", \"" + word + "\""
	}
	run += `, ",", "rpm", "/output/$PACKAGE-1-1.noarch.rpm"]`
	text := "# buildsys-recipe: 2\nARG SDK\nFROM ${SDK} AS rpmbuild\nARG PACKAGE\n" + run +
		"\nFROM scratch AS package\nCOPY --from=rpmbuild /output/ /\n"
	write(t, root, "Dockerfile", text)
}

// env returns an environment that selects the daemon and the SDK.
func env(d *buildtest.Daemon) []string {
	host := "DOCKER_HOST=" + d.Host
	if strings.HasSuffix(d.Host, "/bk.sock") {
		host = "BUILDSYS_BUILDKIT_HOST=" + d.Host
	}
	return []string{host, "BUILDSYS_SDK_IMAGE=" + toolSDK, "BUILDSYS_ENGINE_WAIT=60s"}
}

// runAnd builds a and calls then each time its step reports that it runs.
func runAnd(t *testing.T, root string, env []string, then func()) result {
	t.Helper()
	return follow(t, root, env, func(*exec.Cmd) { then() })
}

// follow builds a and calls running each time its step reports that it runs.
func follow(t *testing.T, root string, env []string, running func(client *exec.Cmd)) result {
	t.Helper()
	cmd := command(t.Context(), root, env, "build-package", "-v", "a")
	text := onRunning(t, cmd, func() { running(cmd) })
	return result{code: cmd.ProcessState.ExitCode(), stderr: text}
}

// onRunning runs a build to its end and returns its messages. It calls then each time a step
// reports that it runs.
func onRunning(t *testing.T, cmd *exec.Cmd, then func()) string {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	buildtest.Must(t, err)
	buildtest.Must(t, cmd.Start())
	var text strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "| running") {
			then()
		}
	}
	_ = cmd.Wait()
	return text.String()
}

var builtAgain = regexp.MustCompile(` is built again \(attempt (\d) of (\d), engine lost\)`)

// attempts checks the messages of a one-step build against the rule for a lost engine in
// docs/engines.md, and returns how many attempts there were: 2 if the step had begun, and 3 if it
// had not, which happens if the engine is lost again before the step begins. A step that has
// reported nothing yet may have begun or not.
func attempts(t *testing.T, text string) int {
	t.Helper()
	n, running := 1, false
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "| running\n") {
			running = true
		}
		m := builtAgain.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n++
		if m[1] != strconv.Itoa(n) || m[1] > m[2] || m[2] != "2" && (m[2] != "3" || running) {
			t.Errorf("%q is attempt %d, and the step had begun: %v", line, n, running)
		}
		running = false
	}
	return n
}

// TestEngineComesLate starts the daemon after the build, which waits for it.
func TestEngineComesLate(t *testing.T) {
	need.Time(t)
	root, d := toolTree(t), buildtest.NewDockerd(t)
	cmd := command(t.Context(), root, env(d), "sdk", "import", toolRoot(t))
	stderr, err := cmd.StderrPipe()
	buildtest.Must(t, err)
	buildtest.Must(t, cmd.Start())
	lines := bufio.NewScanner(stderr)
	if !lines.Scan() || !strings.Contains(lines.Text(),
		"waiting up to 1m0s for the engine at "+d.Host) {
		t.Errorf("its first line is %q", lines.Text())
	}
	d.Start(t)
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, d.Tail())
	}
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
}

// TestEngineEnds checks that a dockerd that ends in the middle of a step, by SIGTERM and by
// SIGKILL, and comes back costs one retry each, and that one that ends in every attempt of a step
// ends the run with advice. The earlier RPM stays.
func TestEngineEnds(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	restart := func(s syscall.Signal) {
		d.Signal(t, s, true)
		d.Start(t)
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		step(t, root, ",", "print", s.String(), ",", "sleep", "3")
		r := runAnd(t, root, env(d), sync.OnceFunc(func() { restart(s) }))
		r.must(t, 0, " retr")
		if n := attempts(t, r.stderr); n < 2 || t.Failed() {
			t.Fatalf("%d attempts\n%s\n%s", n, r.stderr, d.Tail())
		}
	}
	good := rpmBytes(t, root, "a")
	step(t, root, ",", "sleep", "60")
	r := runAnd(t, root, env(d), func() { restart(syscall.SIGKILL) })
	n := attempts(t, r.stderr)
	r.must(t, 4, fmt.Sprintf("given up after attempt %d", n), "read the engine's log")
	if n < 2 || n > 3 {
		t.Errorf("%d attempts\n%s", n, r.stderr)
	}
	if rpmBytes(t, root, "a") != good {
		t.Error("the RPM is not the one from before")
	}
	if t.Failed() {
		t.Log(d.Tail())
	}
}

// TestBuildkitdDrains checks that a buildkitd that is asked to end finishes the step first, so that
// nothing is built twice.
func TestBuildkitdDrains(t *testing.T) {
	need.Time(t)
	d := buildtest.NewBuildkitd(t)
	d.Start(t)
	root := toolTree(t, ",", "sleep", "2")
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	r := runAnd(t, root, env(d), func() { d.Signal(t, syscall.SIGTERM, false) })
	r.must(t, 0)
	if strings.Contains(r.stderr, "is built again") {
		t.Errorf("it was built again:\n%s", r.stderr)
	}
}

// TestClientStopped stops buildsys for so long that the engine gives up its session; then it
// continues as if nothing had happened.
func TestClientStopped(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t, ",", "sleep", "10")
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	var once sync.Once
	r := follow(t, root, env(d), func(client *exec.Cmd) {
		once.Do(func() {
			buildtest.Must(t, client.Process.Signal(syscall.SIGSTOP))
			time.AfterFunc(time.Minute, func() { _ = client.Process.Signal(syscall.SIGCONT) })
		})
	})
	r.must(t, 0, "is built again (attempt 2")
}

// TestCopyingEngine checks that a storage driver that copies is a warning of doctor and of builds,
// and an error if that is requested.
func TestCopyingEngine(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t, "--storage-driver", "vfs")
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	r := buildsys(t, root, env(d), "doctor")
	if r.must(t, 0); !strings.Contains(r.stdout, "vfs: every step gets a full copy") ||
		!strings.Contains(r.stdout, "where overlay works, so it was told to") {
		t.Errorf("doctor says\n%s", r.stdout)
	}
	buildsys(t, root, env(d), "doctor", "--strict").must(t, 4)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0, "warning: storage driver: vfs")
}

// TestFullEngine has an engine with a small disk. A step that fills it is a failed package with a
// hint; a disk without space is rejected before anything is built. The earlier RPM stays.
func TestFullEngine(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	buildtest.Must(t, os.Mkdir(d.Root, 0o700))
	need.Mount(t, d.Root, "-t", "tmpfs", "-o", "size=1300m,nr_inodes=500k", "none")
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0, "disk: engine")
	good := rpmBytes(t, root, "a")

	step(t, root, ",", "fill", "/output/big")
	r := buildsys(t, root, env(d), "build-package", "a")
	r.must(t, 3, "no space is left on the engine's disk")
	if strings.Contains(r.stderr, "is built again") {
		t.Errorf("a full disk was tried again:\n%s", r.stderr)
	}
	filler := filepath.Join(d.Root, "filler")
	var err error
	// the engine takes a while to remove what the step left
	filled := need.Until(time.Minute, func() bool {
		err = os.WriteFile(filler, make([]byte, 400<<20), 0o644)
		return !errors.Is(err, syscall.ENOSPC)
	})
	if !filled || err != nil {
		t.Fatal(err)
	}
	buildsys(t, root, env(d), "build-package", "a").must(t, 4, "disk: engine", "free some",
		"docker builder prune")
	if rpmBytes(t, root, "a") != good {
		t.Error("the RPM is not the one from before")
	}
	rest, err := os.Create(filepath.Join(d.Root, "rest"))
	buildtest.Must(t, err)
	for err == nil {
		_, err = rest.Write(make([]byte, 64<<10))
	}
	buildtest.Must(t, rest.Close())
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 4, "no space left on device",
		"docker builder prune")
	buildtest.Must(t, errors.Join(os.Remove(filler), os.Remove(rest.Name())))
	step(t, root, ",", "print", "once more")
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
}
