// buildsys itself is killed in the middle of a step, and while its outputs arrive.

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// startAnd starts a build of a and calls then when the step reports that it runs. then must make
// the build end.
func startAnd(t *testing.T, root string, env []string, then func(client *exec.Cmd)) {
	t.Helper()
	ran := false
	r := follow(t, root, env, func(client *exec.Cmd) {
		ran = true
		then(client)
	})
	if !ran || r.code != -1 {
		t.Fatalf("the step ran: %v, exit status %d\n%s", ran, r.code, r.stderr)
	}
}

// TestClientKilledInStep checks that the engine ends the step of a client that is gone, and that
// the next run works as if nothing had happened.
func TestClientKilledInStep(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	good := rpmBytes(t, root, "a")

	// distinguishes this step's process from all others on the machine
	mark := "mark-" + filepath.Base(filepath.Dir(d.Root))
	step(t, root, ",", "print", mark, ",", "sleep", "600")
	var process int
	var killed time.Time
	startAnd(t, root, env(d), func(client *exec.Cmd) {
		process = processWith(t, mark)
		buildtest.Must(t, client.Process.Kill())
		killed = time.Now()
	})
	waitGone(t, process)
	t.Logf("the step ended %v after its client", time.Since(killed).Round(time.Millisecond))
	if rpmBytes(t, root, "a") != good {
		t.Error("the RPM is not the one from before")
	}
	step(t, root, ",", "print", "again")
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	noDebris(t, root)
}

// TestInterruptTwice has an engine that hangs, so that the first signal does not end the run; the
// second does.
func TestInterruptTwice(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t, ",", "sleep", "600")
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	cmd := command(t.Context(), root, env(d), "build-package", "-v", "a")
	stderr, err := cmd.StderrPipe()
	buildtest.Must(t, err)
	buildtest.Must(t, cmd.Start())
	var text strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		switch {
		case strings.HasSuffix(lines.Text(), "| running"):
			d.Signal(t, syscall.SIGSTOP, false)
			defer d.Signal(t, syscall.SIGCONT, false)
			buildtest.Must(t, cmd.Process.Signal(os.Interrupt))
		case strings.Contains(lines.Text(), "once more to stop at once"):
			buildtest.Must(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 ||
		strings.Contains(text.String(), "of 1 step done") {
		t.Errorf("%v: it did not end at once\n%s", cmd.ProcessState, &text)
	}
}

// processWith returns the running process that has a word in its command line, other than this
// test's own child.
func processWith(t *testing.T, word string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	buildtest.Must(t, err)
	for _, file := range lines {
		data, _ := os.ReadFile(file)
		if strings.HasPrefix(string(data), "/tool\x00") && strings.Contains(string(data),
			"\x00"+word+"\x00") {
			pid, err := strconv.Atoi(strings.Split(file, "/")[2])
			buildtest.Must(t, err)
			return pid
		}
	}
	t.Fatalf("no process of the step has %q in its command line", word)
	return 0
}

// waitGone waits for the end of a process that is not our child.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	buildtest.Must(t, err)
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
	if err != nil || n != 1 {
		t.Fatalf("the step's process %d still runs: %v", pid, err)
	}
}

// TestClientKilledInExport checks that a client that is killed while the outputs arrive leaves what
// it has in staging and nothing in the place of outputs, and that the next run clears it away.
func TestClientKilledInExport(t *testing.T) {
	need.Time(t)
	const size = 200 << 20
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	good := rpmBytes(t, root, "a")

	const big = "/output/big-1-1.noarch.rpm"
	step(t, root, ",", "sleep", "2", ",", "rpm", big, ",", "grow", big, fmt.Sprint(size))
	startAnd(t, root, env(d), func(client *exec.Cmd) {
		firstWrite(t, filepath.Join(root, "build/staging/*/package-a-*"))
		buildtest.Must(t, client.Process.Kill())
	})
	var left int64
	for _, file := range glob(t, root, "build/staging/*/package-a-*/*") {
		info, err := os.Stat(file)
		buildtest.Must(t, err)
		left += info.Size()
	}
	if left == 0 || left >= size {
		t.Errorf("%d bytes are in staging: it was not killed in the middle", left)
	}
	if names := rpms(t, root, "a"); len(names) != 1 || rpmBytes(t, root, "a") != good {
		t.Errorf("in place are %q, not the earlier outputs", names)
	}
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	noDebris(t, root)
	for _, name := range rpms(t, root, "a") {
		if info, err := os.Stat(name); err != nil || strings.HasSuffix(name, "/big-1-1.noarch.rpm") &&
			info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if n := len(rpms(t, root, "a")); n != 2 {
		t.Errorf("%d RPMs, want 2", n)
	}
}

// firstWrite waits until a file is written to the one directory that the pattern matches.
func firstWrite(t *testing.T, pattern string) {
	t.Helper()
	dirs, err := filepath.Glob(pattern)
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%s: %q, %v", pattern, dirs, err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	buildtest.Must(t, err)
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, dirs[0], unix.IN_MODIFY)
	buildtest.Must(t, err)
	if entries, err := os.ReadDir(dirs[0]); err == nil && len(entries) > 0 {
		return // already written
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 120_000); err != nil ||
		n != 1 {
		t.Fatalf("nothing was written to %s: %v", dirs[0], err)
	}
}

func glob(t *testing.T, root, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, pattern))
	buildtest.Must(t, err)
	return found
}

// TestFleetNodeLost has three buildkitds: one never answers, and one is killed in the middle of a
// step. The step goes to the third, and each of the two causes one warning.
func TestFleetNodeLost(t *testing.T) {
	need.Time(t)
	one, two := buildtest.NewBuildkitd(t), buildtest.NewBuildkitd(t)
	one.Start(t)
	two.Start(t)
	root := toolTree(t, ",", "sleep", "10") // both must run at the same time, even on a busy machine
	write(t, root, "packages/b/Cargo.toml", "[package]\nname = \"b\"\nversion = \"0.1.0\"\n")
	write(t, root, "packages/b/b.spec", "Name: b\n")
	nobody := "unix://" + filepath.Join(t.TempDir(), "nobody.sock")
	all := append(env(one), "BUILDSYS_BUILDKIT_HOST="+strings.Join([]string{nobody, one.Host,
		two.Host}, ","))
	buildsys(t, root, env(two), "sdk", "import", toolRoot(t)).must(t, 0) // and waits for it
	buildsys(t, root, env(one), "sdk", "check").must(t, 0)
	if r := buildsys(t, root, all, "doctor"); r.code != 0 || !strings.Contains(r.stdout, nobody) ||
		strings.Count(r.stdout, "storage driver") != 2 ||
		!strings.Contains(r.stdout, "the others are used until it answers") {
		t.Errorf("doctor, %d:\n%s%s", r.code, r.stdout, r.stderr)
	}

	cmd := command(t.Context(), root, all, "build-package", "-v", "a", "b")
	stderr, err := cmd.StderrPipe()
	buildtest.Must(t, err)
	buildtest.Must(t, cmd.Start())
	var text strings.Builder
	running := 0
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "| running") {
			if running++; running == 2 {
				one.Signal(t, syscall.SIGKILL, true)
			}
		}
	}
	_ = cmd.Wait()
	result{code: cmd.ProcessState.ExitCode(), stderr: text.String()}.must(t, 0,
		"attempt 2 of 2, engine lost", "2 of 2 steps done")
	for _, words := range []string{"is built again", "the engine at " + nobody + " is not used",
		"the engine at " + one.Host + " is not used"} {
		if n := strings.Count(text.String(), words); n != 1 {
			t.Errorf("%q occurs %d times, want once:\n%s", words, n, &text)
		}
	}
}

// TestFullCheckout fills up the disk of the checkout while outputs arrive. Nothing of them stays,
// the earlier outputs do, and the next run needs no cleaning.
func TestFullCheckout(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t)
	buildtest.Must(t, os.MkdirAll(filepath.Join(root, "build"), 0o755))
	need.Mount(t, filepath.Join(root, "build"), "-t", "tmpfs", "-o", "size=150m,nr_inodes=500k",
		"none")
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	good := rpmBytes(t, root, "a")
	step(t, root, ",", "rpm", "/output/big-1-1.noarch.rpm", ",", "grow", "/output/big-1-1.noarch.rpm",
		fmt.Sprint(200<<20))
	r := buildsys(t, root, env(d), "build-package", "a")
	r.must(t, 4, "no space is left on this machine's disk for its outputs")
	if strings.Contains(r.stderr, "is built again") {
		t.Errorf("a full disk was tried again:\n%s", r.stderr)
	}
	if len(rpms(t, root, "a")) != 1 || rpmBytes(t, root, "a") != good {
		t.Error("the RPM is not the one from before")
	}
	noDebris(t, root)
	step(t, root, ",", "print", "smaller")
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
}
