// Daemons of the tests' own: started with a temporary root, so that they may be killed, frozen and filled up.

package buildkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testDaemon is an engine that a test started.
type testDaemon struct {
	host string // its address
	root string // where it keeps everything
	log  string // path of its output

	name    string
	args    []string
	process *os.Process
	ended   chan struct{}
}

// buildkitdProgram finds a buildkitd; nothing here builds one, because that takes ten minutes.
func buildkitdProgram(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a buildkitd of the test's own needs root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("buildkitd needs runc (Debian package runc)")
	}
	if path, err := exec.LookPath("buildkitd"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	must(t, err)
	path := filepath.Join(cache, "buildsys", "bench", "bin", "buildkitd")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no buildkitd: script/bench builds one into %s", filepath.Dir(path))
	}
	return path
}

// newBuildkitdProcess prepares a buildkitd with everything below a temporary directory; more arguments may name another address.
func newBuildkitdProcess(t *testing.T, args ...string) *testDaemon {
	t.Helper()
	program := buildkitdProgram(t)
	dir := shortDir(t)
	d := &testDaemon{host: "unix://" + dir + "/bk.sock", root: dir + "/root", log: dir + "/log", name: program}
	d.args = append([]string{"--root", d.root, "--addr", d.host, "--oci-worker-net=host", "--containerd-worker=false",
		"--otel-socket-path", dir + "/otel.sock"}, args...)
	return d
}

// newDockerdProcess prepares a dockerd with everything below a temporary directory.
func newDockerdProcess(t *testing.T, args ...string) *testDaemon {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a dockerd of the test's own needs root")
	}
	program, err := exec.LookPath("dockerd")
	if err != nil {
		t.Skip("there is no dockerd (Debian package docker.io)")
	}
	dir := shortDir(t)
	d := &testDaemon{host: "unix://" + dir + "/d.sock", root: dir + "/root", log: dir + "/log", name: program}
	d.args = append([]string{"--host", d.host, "--data-root", d.root, "--exec-root", dir + "/exec", "--pidfile", dir + "/pid",
		"--bridge=none", "--iptables=false", "--config-file", dir + "/none.json"}, args...)
	must(t, os.WriteFile(dir+"/none.json", []byte("{}"), 0o644))
	return d
}

// shortDir is a temporary directory whose path leaves room for the name of a socket, which may have 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bsys")
	must(t, err)
	t.Cleanup(func() {
		if err := removeBusy(dir); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	return dir
}

// removeBusy removes a directory in which a killed daemon may have left mounts.
func removeBusy(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, at := range mountsBelow(string(mounts), dir) {
		_ = exec.Command("umount", "--lazy", at).Run()
	}
	return os.RemoveAll(dir)
}

// start runs the daemon; it may not answer yet. It ends with the test.
func (d *testDaemon) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(t, err)
	cmd := exec.Command(d.name, d.args...)
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	d.process, d.ended = cmd.Process, make(chan struct{})
	ended := d.ended
	go func() {
		_ = cmd.Wait()
		log.Close()
		close(ended)
	}()
	t.Cleanup(func() { d.stop(t) })
}

// stop ends the daemon and waits for its end.
func (d *testDaemon) stop(t *testing.T) {
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

// signal sends a signal and, when that ends the daemon, waits for the end.
func (d *testDaemon) signal(t *testing.T, s os.Signal, ends bool) {
	t.Helper()
	must(t, d.process.Signal(s))
	if !ends {
		return
	}
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s still runs after %v\n%s", filepath.Base(d.name), s, d.tail())
	}
}

// dial waits until the daemon answers and gives a Builder on it.
func (d *testDaemon) dial(t *testing.T, opt Options) *Builder {
	t.Helper()
	opt.Wait, opt.Timeout = 60*time.Second, 10*time.Second
	if opt.BuildKit == "" && opt.Host == "" {
		opt.Host = d.host
		if filepath.Base(d.name) == "buildkitd" {
			opt.Host, opt.BuildKit = "", d.host
		}
	}
	if opt.Layout == "" {
		opt.Layout = filepath.Join(filepath.Dir(d.log), "layout")
	}
	opt.Checkout = t.Name()
	b, err := Dial(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.tail())
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// tail is the end of the daemon's output.
func (d *testDaemon) tail() string {
	data, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// mountsBelow lists mount points inside dir, innermost first.
func mountsBelow(mountinfo, dir string) []string {
	var found []string
	for line := range strings.Lines(mountinfo) {
		var id, parent int
		var dev, root, at string
		if _, err := fmt.Sscan(line, &id, &parent, &dev, &root, &at); err == nil && len(at) > len(dir) && at[:len(dir)+1] == dir+"/" {
			found = append([]string{at}, found...)
		}
	}
	return found
}
