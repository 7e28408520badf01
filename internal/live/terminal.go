// terminal: what only a real terminal has: a size, an echo, a process group in the foreground, and
// Ctrl-Z.

package live

import (
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getModes)
	return err == nil
}

// Terminal returns the device of a file that is a terminal. getenv tells what kind it is.
func Terminal(f *os.File, getenv func(string) string) Device {
	fd := int(f.Fd())
	return Device{
		Out: f,
		Size: func() (columns, rows int) {
			size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
			if err != nil || size.Col == 0 || size.Row == 0 {
				return 80, 24
			}
			return int(size.Col), int(size.Row)
		},
		// Nearly all do, but for the console of Linux, and for xterm, as which many
		// present themselves.
		Rewraps: getenv("TERM") != "linux" && getenv("XTERM_VERSION") == "" &&
			!strings.HasPrefix(getenv("TERM"), "rxvt"),
		Ours: func() bool { return foreground(fd) },
		Echo: func(on bool) { echo(fd, on) },
	}
}

// foreground reports whether a terminal belongs to this process's group.
func foreground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// echo sets whether a terminal shows what is typed, which would come between the rows. Only in the
// foreground may it be asked.
func echo(fd int, on bool) {
	if !foreground(fd) {
		return
	}
	modes, err := unix.IoctlGetTermios(fd, getModes)
	if err != nil {
		return
	}
	modes.Lflag &^= unix.ECHO
	if on {
		modes.Lflag |= unix.ECHO
	}
	_ = unix.IoctlSetTermios(fd, setModes, modes) // only the looks are worse without
}

// guard keeps a terminal in order while rows are shown.
type guard struct {
	screen  *Screen
	signals chan os.Signal
}

func watch(s *Screen) *guard {
	g := &guard{screen: s, signals: make(chan os.Signal, 1)}
	if s.device.Echo != nil {
		signal.Notify(g.signals, syscall.SIGTSTP)
		s.device.Echo(false)
	}
	return g
}

func (g *guard) suspended() <-chan os.Signal { return g.signals }

// suspend stops the process as Ctrl-Z should, with a clean screen, and returns when it goes on. It
// does so by SIGSTOP: Go's runtime keeps its handler of a signal that it once gave notice of.
func (g *guard) suspend() {
	if orphan() {
		return
	}
	g.screen.Clear()
	g.screen.device.Echo(true)
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	if syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) == nil {
		<-goesOn
	}
	g.screen.device.Echo(false)
}

// orphan reports whether no shell is there that could let a stopped process go on, as in a
// container whose only process it is. The kernel does not stop such a process by Ctrl-Z either.
func orphan() bool {
	own, err := unix.Getsid(0)
	parent, err2 := unix.Getsid(os.Getppid())
	return err != nil || err2 != nil || own != parent
}

func (g *guard) close() {
	signal.Stop(g.signals)
	if g.screen.device.Echo != nil {
		g.screen.device.Echo(true)
	}
}
