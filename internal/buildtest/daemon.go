// Separate daemons for tests, each with a temporary root, so that they can be killed, frozen and
// filled up.

package buildtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
)

// Daemon is an engine that a test has started.
type Daemon struct {
	Host string // its address
	Root string // directory with all its data
	Log  string // path of its output

	name    string
	args    []string
	process *os.Process
	ended   chan struct{}
}

// NewBuildkitd prepares a buildkitd with everything below a temporary directory; more arguments may
// set another address.
func NewBuildkitd(t *testing.T, args ...string) *Daemon {
	t.Helper()
	need.Time(t)
	program := need.Buildkitd(t)
	dir := shortDir(t)
	d := &Daemon{Host: "unix://" + dir + "/bk.sock", Root: dir + "/root", Log: dir + "/log",
		name: program}
	d.args = append([]string{"--root", d.Root, "--addr", d.Host, "--oci-worker-net=host",
		"--containerd-worker=false",
		"--otel-socket-path", dir + "/otel.sock"}, args...)
	return d
}

// NewDockerd prepares a dockerd with everything below a temporary directory.
func NewDockerd(t *testing.T, args ...string) *Daemon {
	t.Helper()
	need.Time(t)
	need.Root(t)
	program := need.Program(t, "dockerd")
	dir := shortDir(t)
	d := &Daemon{Host: "unix://" + dir + "/d.sock", Root: dir + "/root", Log: dir + "/log",
		name: program}
	d.args = append([]string{"--host", d.Host, "--data-root", d.Root, "--exec-root", dir + "/exec",
		"--pidfile", dir + "/pid",
		"--bridge=none", "--iptables=false", "--config-file", dir + "/none.json"}, args...)
	// A dockerd that is killed leaves its containerd running.
	t.Cleanup(func() { killByFile(dir + "/exec/containerd/containerd.pid") })
	Must(t, os.WriteFile(dir+"/none.json", []byte("{}"), 0o644))
	return d
}

// shortDir returns a temporary directory whose path leaves room for the name of a socket, which is
// limited to 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	clearKilled(t)
	dir, err := os.MkdirTemp("", "bsys")
	Must(t, err)
	// Before the lock is held, clearKilled in another process must not find it.
	lock, err := os.Create(filepath.Join(dir, "new"))
	Must(t, err)
	Must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	Must(t, os.Rename(lock.Name(), filepath.Join(dir, "lock")))
	t.Cleanup(func() {
		if err := RemoveBusy(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
		lock.Close()
	})
	return dir
}

// clearKilled removes the directories of runs that were killed: nobody holds their locks any more.
func clearKilled(t *testing.T) {
	t.Helper()
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), "bsys*", "lock"))
	Must(t, err)
	for _, name := range locks {
		lock, err := os.Open(name)
		if err != nil {
			continue // it is being removed
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			dir := filepath.Dir(name)
			killByFile(dir + "/exec/containerd/containerd.pid")
			if err := RemoveBusy(dir); err != nil {
				t.Logf("cannot remove %s, which a killed run left: %v", dir, err)
			}
		}
		lock.Close()
	}
}

// killByFile ends the containerd whose process ID is in a file.
func killByFile(file string) {
	data, err := os.ReadFile(file)
	pid, e := strconv.Atoi(strings.TrimSpace(string(data)))
	if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err != nil || e != nil ||
		strings.TrimSpace(string(comm)) != "containerd" {
		return
	}
	defer os.Remove(file) // dockerd takes a dead process that nobody has waited for as alive
	_ = syscall.Kill(pid, syscall.SIGTERM)
	// a dead process is a zombie of its new parent, or gone
	ended := need.Until(5*time.Second, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	if !ended {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// RemoveBusy removes a directory in which a daemon may have left mounts.
func RemoveBusy(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			below = append(below, fields[4])
		}
	}
	for _, at := range slices.Backward(below) { // innermost first
		_ = exec.Command("umount", "--lazy", at).Run()
	}
	return os.RemoveAll(dir)
}

// Start starts the daemon, which may not answer yet. It ends with the test.
func (d *Daemon) Start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	Must(t, err)
	defer log.Close()
	cmd := exec.Command(d.name, d.args...)
	cmd.Stdout, cmd.Stderr = log, log
	d.ended, err = start(cmd)
	Must(t, err)
	d.process = cmd.Process
	t.Cleanup(func() { d.Stop(t) })
}

// start starts a program, and returns a channel that is closed when it has ended. If the test is
// killed, the program ends too where the system can do that: the signal comes when the thread that
// started it ends.
func start(cmd *exec.Cmd) (ended chan struct{}, err error) {
	cmd.SysProcAttr = endsWithUs()
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	return ended, <-started
}

// Stop ends the daemon and waits for its end.
func (d *Daemon) Stop(t *testing.T) {
	select {
	case <-d.ended:
		return
	default:
	}
	_ = d.process.Signal(os.Interrupt)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		t.Logf("%s did not stop on SIGINT", filepath.Base(d.name))
		_ = d.process.Kill()
		<-d.ended
	}
}

// Signal sends a signal and, if that ends the daemon, waits for the end.
func (d *Daemon) Signal(t *testing.T, s os.Signal, ends bool) {
	t.Helper()
	Must(t, d.process.Signal(s))
	if !ends {
		return
	}
	if s == syscall.SIGKILL { // like a service manager, which ends every process of a service
		defer killByFile(filepath.Join(filepath.Dir(d.Log), "exec", "containerd", "containerd.pid"))
		// the process ID may be reused by now
		defer os.Remove(filepath.Join(filepath.Dir(d.Log), "pid"))
	}
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s still runs after %v\n%s", filepath.Base(d.name), s, d.Tail())
	}
}

// Tail returns the end of the daemon's output.
func (d *Daemon) Tail() string {
	data, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// Must ends the test if err is not nil.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
