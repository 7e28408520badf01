// boot --watch as a user has it: first-party code is edited, and the system that runs is another.

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/vm"
)

// watching is a running boot --watch on pipes. lines has what it says, and what the system says.
type watching struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan string
	all   []string
	late  <-chan time.Time // a system that never gets ready ends the test, not the whole run
}

func watchBoot(t *testing.T, root, variant string) *watching {
	w := &watching{T: t, lines: make(chan string, 1<<16), late: time.After(15 * time.Minute),
		cmd: command(context.Background(), root, nil, "boot", "--watch", "--accel", "tcg", variant)}
	read, write, err := os.Pipe()
	buildtest.Must(t, err)
	w.cmd.Stdout, w.cmd.Stderr = write, write
	buildtest.Must(t, w.cmd.Start())
	_ = write.Close()
	go func() {
		defer close(w.lines)
		for in := bufio.NewScanner(read); in.Scan(); {
			w.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = w.cmd.Process.Signal(os.Interrupt)
		hung := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Signal(syscall.SIGQUIT) })
		_ = w.cmd.Wait()
		hung.Stop()
		if t.Failed() {
			t.Log(strings.Join(w.all, "\n"))
		}
	})
	return w
}

// until waits for a line that matches, and returns those from the last one waited for.
func (w *watching) until(pattern string) (lines []string) {
	w.Helper()
	line := regexp.MustCompile(pattern)
	for {
		select {
		case text, ok := <-w.lines:
			if !ok {
				w.Fatalf("it ended without a line that matches %q", pattern)
			}
			w.all, lines = append(w.all, text), append(lines, text)
			if line.MatchString(text) {
				return lines
			}
		case <-w.late:
			w.Fatalf("no line that matches %q in all that time", pattern)
		}
	}
}

// has fails the test unless one of some lines begins with text.
func (w *watching) has(lines []string, text string) {
	w.Helper()
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, text) }) {
		w.Errorf("no line begins with %q", text)
	}
}

// TestWatch edits the daemon of the sample OS while it runs: another image is another system, what
// cannot be built leaves the one that runs alone, and an interrupt leaves nothing.
func TestWatch(t *testing.T) {
	needEngine(t)
	needVM(t, vm.Config{Arch: "x86_64"})
	root, file := ownTree(t), "sources/skiff/cmd/skiffd/verify.go"
	old, err := os.ReadFile(root + "/" + file)
	buildtest.Must(t, err)
	w := watchBoot(t, root, "qemu-dev")
	lines := w.until("^watch: ready .* after the start: plan ")
	w.has(lines, "SKIFF READY Skiff OS 0.1.0 (dev) qemu-dev")
	w.has(lines, "root verified: sha256")

	edited := bytes.Replace(old, []byte(`"root verified: %s`), []byte(`"root verified again: %s`), 1)
	write(t, root, file, string(edited))
	// The store may have these images from an earlier test: then there is no step that took time.
	lines = w.until("^watch: ready .* after the change: plan .*, boot ")
	w.has(lines, "watch: changed: "+file)
	w.has(lines, "root verified again: sha256")
	if !slices.Contains(lines, "dev-image qemu-dev restored from the store") &&
		!strings.Contains(lines[len(lines)-1], ", dev-image qemu-dev ") {
		t.Errorf("%q does not say how long the image took", lines[len(lines)-1])
	}

	write(t, root, file, "no Go")
	w.until("^watch: not built: the machine runs on")
	write(t, root, file, string(edited))
	w.until("^watch: the image is the same, and the machine runs on")

	buildtest.Must(t, w.cmd.Process.Signal(syscall.SIGINT))
	for text := range w.lines { // until QEMU, too, has closed them
		w.all = append(w.all, text)
	}
	if strings.Contains(strings.Join(w.all, "\n"), "\x1b") {
		t.Error("there are control characters on the pipe")
	}
	if left, _ := os.ReadDir(root + "/build/images"); len(left) > 0 {
		t.Errorf("there are images to publish: %v", left)
	}
}
