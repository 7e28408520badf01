// docs/tutorial.md tells the truth: its commands run, and the system that they make boots and is
// reached from this machine. Its base packages are Skiff's, which script/test has built.

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"buildsys/internal/vm"
)

func TestTutorialPage(t *testing.T) {
	needEngine(t)
	needVM(t, vm.Config{Arch: "x86_64"})
	page, err := os.ReadFile("../../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	p := tutorial{dir: t.TempDir(), arch: "x86_64"}
	for _, m := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		file, kind, text := m[1], m[2], m[3]
		switch {
		case kind == "sh":
			for line := range strings.Lines(text) {
				p.run(t, strings.Fields(line))
			}
		case file != "":
			if _, err := os.Stat(filepath.Join(p.dir, file)); err != nil {
				t.Errorf("the page has another text for a file that is not there: %v", err)
			}
			write(t, p.dir, file, text)
		case kind == "output":
			p.expect(t, text)
		case kind == "guest":
			p.reach(t, strings.TrimSpace(text))
		}
	}
	if p.booted != 2 {
		t.Errorf("the page boots %d times, want 2", p.booted)
	}
}

// tutorial is where the reader of the page is.
type tutorial struct {
	dir, arch string
	booted    int
	forward   []string // the words of the boot that is to be reached
}

// run does what a line of the page says.
func (p *tutorial) run(t *testing.T, words []string) {
	t.Helper()
	args := words[1:]
	switch {
	case words[0] == "cd":
		p.dir = filepath.Join(p.dir, words[1])
		return
	case words[0] != "buildsys":
		t.Fatalf("the page runs %q", words)
	case args[0] == "init": // its last section says what this is for
		args = append([]string{"init", "--rpm-prefix", "skiff"}, args[1:]...)
	case args[0] == "boot":
		p.booted++
		if len(args) > 1 {
			p.forward = args
			return
		}
		args = append(args, "--check", "--accel", "tcg", "--timeout", bootLimit.String())
	}
	r := buildsys(t, p.dir, []string{"BUILDSYS_ARCH=" + p.arch}, args...)
	r.must(t, 0)
	if t.Failed() {
		t.FailNow()
	}
}

// expect checks that the console of the first boot has the lines of a block, in order.
func (p *tutorial) expect(t *testing.T, text string) {
	t.Helper()
	console, err := os.ReadFile(filepath.Join(p.dir, "build/logs", p.arch, "boot-qemu-dev.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(console), "reboot: Power down") {
		t.Errorf("the power button does nothing:\n%s", console)
	}
	rest := string(console)
	for line := range strings.Lines(text) {
		_, after, found := strings.Cut(rest, "\n"+strings.TrimSpace(line))
		if !found {
			t.Fatalf("the page shows\n%s\nthe console has\n%s", text, console)
		}
		rest = after
	}
}

// reach boots with a forwarded port, types the line of the page at the shell, and connects. The
// guest must not reach a server of this machine. Ctrl-C is for the guest, Ctrl-A X for QEMU.
func (p *tutorial) reach(t *testing.T, line string) {
	t.Helper()
	host, err := net.Listen("tcp", "127.0.0.1:0") // what the guest must not reach
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	port := freePort(t)
	args := strings.Split(strings.Replace(strings.Join(p.forward, " "), "8080", port, 1), " ")
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	g := startGuest(t, ctx, p.dir, append(args, "--accel", "tcg"))
	g.until(t, "root@myos:~# ")
	g.typeIn(t, "\x03")
	g.until(t, "root@myos:~# ")
	_, hostPort, _ := net.SplitHostPort(host.Addr().String())
	g.typeIn(t, "nc -w 5 10.0.2.2 "+hostPort+" </dev/null && echo re''ached || echo shut' 'in\n")
	g.until(t, "shut in")
	// The shell's job says that it listens; the connection must not come before.
	g.typeIn(t, "("+line+") & until netstat -ltn | grep -q ':80 '; do :; done; echo list''ening\n")
	g.until(t, "listening")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := bufio.NewReader(conn).ReadString('\n')
	if want, _, _ := strings.Cut(strings.TrimPrefix(line, "echo "), " |"); got != want+"\n" {
		t.Errorf("from the guest: %q, %v; want %q", got, err, want)
	}
	g.typeIn(t, "\x01x")
	if err := g.wait(); err != nil {
		t.Errorf("boot: %v\n%s", err, g.messages)
	}
	for _, want := range []string{"with the accelerator tcg", "leave with Ctrl-A X",
		"forwarding 127.0.0.1:" + port + " to port 80 of the guest"} {
		if !strings.Contains(g.messages.String(), want) {
			t.Errorf("before the console there is no %q:\n%s", want, g.messages)
		}
	}
}

// freePort returns a port that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// console is a machine that is booted, with its console on pipes.
type console struct {
	in       io.Writer
	out      *bufio.Reader
	messages *strings.Builder
	seen     strings.Builder
	wait     func() error
}

func startGuest(t *testing.T, ctx context.Context, dir string, args []string) *console {
	t.Helper()
	cmd := command(ctx, dir, []string{"BUILDSYS_ARCH=x86_64"}, args...)
	g := &console{messages: &strings.Builder{}, wait: cmd.Wait}
	cmd.Stderr = g.messages
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	g.in, g.out = in, bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return g
}

// until reads what the machine prints up to a text.
func (g *console) until(t *testing.T, text string) {
	t.Helper()
	g.seen.Reset()
	for !strings.HasSuffix(g.seen.String(), text) {
		b, err := g.out.ReadByte()
		if err != nil {
			t.Fatalf("the console ended before %q: %v\n%s\n%s", text, err, g.seen.String(), g.messages)
		}
		g.seen.WriteByte(b)
	}
}

func (g *console) typeIn(t *testing.T, text string) {
	t.Helper()
	if _, err := fmt.Fprint(g.in, text); err != nil {
		t.Fatal(err)
	}
}
