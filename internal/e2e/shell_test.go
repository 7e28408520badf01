// A shell in the step of a package: it stands where the step does, and leaves no trace.

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest"
)

// inShell runs buildsys shell with commands on standard input.
func inShell(t *testing.T, root, commands string, args ...string) result {
	t.Helper()
	cmd := command(t.Context(), root, nil, append([]string{"shell"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(commands), &stdout, &stderr
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// kept returns what build/ and the cache have, apart from locks, the memo of hashes, and the
// records of runs, with times.
func kept(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{filepath.Join(root, "build"), os.Getenv("BUILDSYS_CACHE_DIR")} {
		buildtest.Must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(name, "lock") ||
				strings.Contains(name, "/runs/") || d.Name() == "swept" || d.Name() == "hashes" {
				return err
			}
			info, err := d.Info()
			fmt.Fprintln(&all, name, info.Size(), info.ModTime())
			return err
		}))
	}
	return all.String()
}

func TestShell(t *testing.T) {
	needEngine(t)
	top := pkg{name: "top", needs: []string{"low"}, script: "echo installing; pwd >%{buildroot}/top"}
	root := writeTree(t, pkg{name: "low"}, top)
	low := inShell(t, root, "cat /low; id -un; pwd; rpm --eval %_cross_os; ls /sys/class/net\n"+
		"exit 7", "top")
	low.must(t, 7, "low started", "running top up to the shell (prep)")
	if want := "built\nbuilder\n/home/builder/rpmbuild/BUILD"; !strings.HasPrefix(low.stdout, want) ||
		!strings.HasSuffix(low.stdout, "skiff-\nlo\n") {
		t.Errorf("in the shell:\n%s", low.stdout)
	}
	if len(rpms(t, root, "top")) != 0 {
		t.Error("the shell has made an RPM of top")
	}
	buildsys(t, root, nil, "build-package", "top").must(t, 0, "top started")
	made, before := rpmBytes(t, root, "top"), kept(t, root)
	// What a command changes and makes stays in its container.
	inShell(t, root, "", "top", "--at", "install", "--", "sh", "-ec",
		"echo other >/home/builder/rpmbuild/SOURCES/x; stage install >/dev/null; stage all; exit 3").
		must(t, 3)
	if after := kept(t, root); after != before {
		t.Errorf("a shell changed what is kept:\n%s\nit was\n%s", after, before)
	}
	buildsys(t, root, []string{noEngine}, "build-package", "top").must(t, 0, "nothing to do")
	if rpmBytes(t, root, "top") != made {
		t.Error("a shell changed the RPM")
	}
	inShell(t, root, "", "top", "--at", "fail").must(t, 1, "shell: the step does not fail")

	top.script = "echo about to fail; touch here; exit 7"
	writePackage(t, root, top)
	for _, at := range []string{"fail", "install"} {
		r := inShell(t, root, "", "--at", at, "top", "--", "sh", "-c",
			"ls here; grep -c ^about /buildsys/log")
		r.must(t, 0, "shell: this is the step in %install, which failed with exit status 1")
		if r.stdout != "here\n1\n" {
			t.Errorf("at %s:\n%s", at, r.stdout)
		}
	}
	top.needs = nil // but the spec's sources name it
	write(t, root, "packages/top/top.spec", "Name: top\nVersion: %{nothing\n")
	inShell(t, root, "id -un", "top").must(t, 0, "shell: this is the step before rpmbuild")
	buildsys(t, root, nil, "shell", "--at", "nowhere", "top").must(t, 2, "--at nowhere: it is one of")
	buildsys(t, root, nil, "shell", "low", "top").must(t, 2, "name one package")
	noDebris(t, root)
}

// TestShellOnTerminal has a shell that is a program on a terminal of the size of the user's, and
// that gives the terminal back however it ends.
func TestShellOnTerminal(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "low"})
	for _, c := range []struct {
		name string
		end  func(p *terminalRun)
		code int
	}{
		{"exit", func(p *terminalRun) { p.typed("exit 9\n") }, 9},
		{"end of input", func(p *terminalRun) { p.typed("(exit 5)\n\x04") }, 5},
		{"signal", func(p *terminalRun) { p.signal(syscall.SIGTERM) }, 143},
		{"signals", func(p *terminalRun) { p.signal(syscall.SIGTERM); p.signal(syscall.SIGTERM) }, 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := onTerminal(t, root, "shell", "low")
			before := p.modes()
			p.await("]$ ")
			p.typed("stty size; tty\n")
			p.await("24 81")
			p.resize(30, 99)
			p.await("]$ ")
			p.typed("sh -c 'until stty size | grep 99; do :; done; exec sleep 1000'\n")
			p.await("30 99")
			p.typed("\x03")
			p.await("]$ ")
			if p.modes() == before {
				t.Error("the terminal is not the shell's")
			}
			c.end(p)
			if code := p.wait(); code != c.code {
				t.Errorf("exit status %d, want %d\n%s", code, c.code, p.seen)
			}
			if p.modes() != before {
				t.Error("the terminal is not as it was")
			}
		})
	}
}

// TestShellOnFailure builds a package that fails: the shell is where it did, and the exit status
// that of the failure.
func TestShellOnFailure(t *testing.T) {
	needEngine(t)
	root := writeTree(t, pkg{name: "bad", script: "echo about to fail; exit 7"})
	p := onTerminal(t, root, "build-package", "--on-failure", "shell", "bad")
	before := p.modes()
	p.await("This is the step in %install, which failed with exit status 1.")
	p.await("]$ ")
	p.typed("exit 0\n")
	if code := p.wait(); code != 3 || p.modes().Lflag != before.Lflag|unix.ECHO {
		t.Errorf("exit status %d, modes %+v, were %+v\n%s", code, p.modes(), before, p.seen)
	}
	buildsys(t, root, nil, "build-package", "--on-failure", "shell", "bad").must(t, 2,
		"needs a terminal")
}

// terminalRun is a run of the program on a terminal.
type terminalRun struct {
	t     *testing.T
	cmd   *exec.Cmd
	tty   *os.File // the program's side
	user  *os.File // the user's
	input chan []byte
	seen  string
	last  string // what was seen since the last await
}

func onTerminal(t *testing.T, root string, args ...string) *terminalRun {
	t.Helper()
	user, tty, err := pty.Open()
	buildtest.Must(t, err)
	p := &terminalRun{t: t, cmd: command(t.Context(), root, []string{"TERM=xterm"}, args...), tty: tty,
		user: user, input: make(chan []byte)}
	p.resize(24, 81)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	buildtest.Must(t, p.cmd.Start())
	t.Cleanup(func() { user.Close(); tty.Close() })
	go func() {
		defer close(p.input)
		for {
			data := make([]byte, 4096)
			n, err := user.Read(data)
			if err != nil {
				return
			}
			p.input <- data[:n]
		}
	}()
	return p
}

// await reads until text comes.
func (p *terminalRun) await(text string) {
	p.t.Helper()
	limit := time.After(2 * time.Minute)
	for !strings.Contains(p.last, text) {
		select {
		case data, ok := <-p.input:
			if !ok {
				p.t.Fatalf("it ended without %q:\n%s", text, p.seen)
			}
			p.seen, p.last = p.seen+string(data), p.last+string(data)
		case <-limit:
			p.t.Fatalf("no %q:\n%s", text, p.seen)
		}
	}
	p.last = p.last[strings.Index(p.last, text)+len(text):]
}

func (p *terminalRun) typed(text string) {
	p.t.Helper()
	_, err := p.user.WriteString(text)
	buildtest.Must(p.t, err)
}

func (p *terminalRun) signal(s syscall.Signal) {
	p.t.Helper()
	buildtest.Must(p.t, p.cmd.Process.Signal(s))
}

func (p *terminalRun) resize(rows, columns uint16) {
	p.t.Helper()
	buildtest.Must(p.t, pty.Setsize(p.user, &pty.Winsize{Rows: rows, Cols: columns}))
}

func (p *terminalRun) modes() unix.Termios {
	p.t.Helper()
	modes, err := unix.IoctlGetTermios(int(p.tty.Fd()), getModes)
	buildtest.Must(p.t, err)
	return *modes
}

// wait returns the exit status.
func (p *terminalRun) wait() int {
	go func() {
		for data := range p.input {
			_ = data // the program must not wait for us
		}
	}()
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}
