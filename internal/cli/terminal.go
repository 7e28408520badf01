// terminal: gives the user's terminal to a program in a container, and takes it back on every way
// out.

package cli

import (
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"

	"buildsys/internal/engine"
)

// lentTerminal is the terminal, or the streams in its place, as a program in a container has them.
type lentTerminal struct {
	sys     *System
	in      *os.File // the terminal; nil without one
	signals chan os.Signal
	sizes   chan engine.Size

	mu    sync.Mutex
	saved *term.State // its modes while it is lent
	over  bool
}

// newTerminal returns the terminal of a command. It is one only if the program would read and write
// it.
func newTerminal(sys *System) *lentTerminal {
	t := &lentTerminal{sys: sys}
	if in, ok := sys.Stdin.(*os.File); ok && isTerminal(sys.Stdin) && isTerminal(sys.terminal.stdout) {
		t.in = in
	}
	return t
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// termName is what names of kinds of terminals look like; the name reaches a program of others.
var termName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]{0,63}$`)

// process returns a process with a command, or with a shell if it is empty, that has the terminal.
// Without a terminal its output goes where it is sent to as it is; a terminal is only written
// bytes that are safe, unless it is the program's.
func (t *lentTerminal) process(command []string) engine.Process {
	p := engine.Process{Args: command, Stdin: t.sys.Stdin, Stdout: t.sys.terminal.stdout,
		Stderr: t.sys.Stderr, Started: t.lend}
	if p.Stdin == nil {
		p.Stdin = strings.NewReader("")
	}
	if t.in == nil {
		if isTerminal(t.sys.terminal.stdout) {
			p.Stdout = t.sys.Stdout
		}
		return p
	}
	if name := t.sys.Getenv("TERM"); termName.MatchString(name) {
		p.Env = append(p.Env, "TERM="+name)
	}
	p.Terminal, p.Stderr = true, io.Discard // a terminal has one output
	t.sizes = make(chan engine.Size, 1)
	p.Sizes = t.sizes
	return p
}

// lend makes the terminal the program's: every key reaches the program, and no signal comes of one.
func (t *lentTerminal) lend() {
	if t.in == nil {
		return
	}
	t.sys.undo.set(t.restore)
	t.signals = make(chan os.Signal, 4)
	signal.Notify(t.signals, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGQUIT)
	t.raw()
	t.tellSize()
	go func() {
		for s := range t.signals {
			switch s {
			case syscall.SIGQUIT: // as if it were not caught
				t.restore()
				signal.Reset(syscall.SIGQUIT)
				_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
			case syscall.SIGCONT: // a shell has had the terminal
				t.raw()
			}
			t.tellSize()
		}
	}()
}

func (t *lentTerminal) raw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	if state, err := term.MakeRaw(int(t.in.Fd())); err == nil && t.saved == nil {
		t.saved = state
	}
}

// tellSize passes on the size of the terminal, in the place of one that was not seen yet.
func (t *lentTerminal) tellSize() {
	columns, rows, err := term.GetSize(int(t.in.Fd()))
	if err != nil {
		return
	}
	select {
	case <-t.sizes:
	default:
	}
	select {
	case t.sizes <- engine.Size{Rows: rows, Columns: columns}:
	default:
	}
}

// restore takes the terminal back. It may be called more than once.
func (t *lentTerminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.signals != nil {
		signal.Stop(t.signals)
	}
	if t.saved != nil {
		_ = term.Restore(int(t.in.Fd()), t.saved)
		t.saved = nil
	}
}

// undoing is what has to be undone before the process ends, wherever it does.
type undoing struct {
	mu sync.Mutex
	do func()
}

func (u *undoing) set(do func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.do = do
}

func (u *undoing) run() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.do != nil {
		u.do()
	}
}
