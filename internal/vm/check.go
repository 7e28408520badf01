// The headless run: wait for the ready line, power down, report the result.

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// CheckOptions describes what Check waits for.
type CheckOptions struct {
	Ready   *regexp.Regexp // matched against each line of the console; default ^SKIFF READY
	Fail    *regexp.Regexp // a line that ends the run; default: a kernel panic
	Timeout time.Duration  // default 5 minutes; expanding a compressed image does not count
	Grace   time.Duration  // for powering down in an orderly way; default 10 seconds
	Console io.Writer      // receives every byte the guest prints; may be nil
}

// Result describes a headless run.
type Result struct {
	Ready     bool
	ReadyLine string
	Took      time.Duration // from the start of QEMU to the ready line
	PowerDown bool          // the guest powered off by itself when asked to
	Tail      []string      // last lines of the console
}

// NotReadyError reports why a guest did not get ready: Err is or wraps ErrTimeout, ErrReset,
// ErrPanic, ErrStopped or QEMU's own error. Its text ends with the last lines of the console.
type NotReadyError struct {
	Err  error
	Took time.Duration
	Tail []string
}

func (e *NotReadyError) Error() string {
	s := fmt.Sprintf("%v (after %.1f s)", e.Err, e.Took.Seconds())
	if len(e.Tail) == 0 {
		return s + "; the console stayed empty"
	}
	return s + "; last lines of the console:\n  " + strings.Join(e.Tail, "\n  ")
}

func (e *NotReadyError) Unwrap() error { return e.Err }

// Check runs the machine headless until its ready line appears, then powers it down. A guest that
// resets ends the run. If the line does not appear, the error is a *NotReadyError, or wraps
// ErrMissing or the cause of ctx.
func Check(ctx context.Context, c Config, o CheckOptions) (r Result, err error) {
	if o.Ready == nil {
		o.Ready = regexp.MustCompile(`^SKIFF READY`)
	}
	if o.Fail == nil {
		o.Fail = regexp.MustCompile(`Kernel panic - not syncing`)
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	m, err := prepare(ctx, c)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, m.remove()) }()
	limited, cancel := context.WithTimeoutCause(ctx, o.Timeout,
		fmt.Errorf("%w: no line matched %q within %v", ErrTimeout, o.Ready, o.Timeout))
	defer cancel()
	r, err = m.check(limited, o)
	if ctx.Err() != nil {
		return r, fmt.Errorf("%s: %w", m.program, context.Cause(ctx))
	}
	return r, err
}

// check is one run of QEMU. It returns once QEMU has ended: by the guest, through QMP, or killed
// because ctx ended.
func (m *machine) check(ctx context.Context, o CheckOptions) (Result, error) {
	q, peer, err := newQMP()
	if err != nil {
		return Result{}, err
	}
	defer q.conn.Close()
	defer peer.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, m.program, append(m.args, "-no-reboot", "-S",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control")...)
	cmd.Env, cmd.Stderr, cmd.ExtraFiles = m.env, &stderr, []*os.File{peer}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours to handle
	cmd.WaitDelay = stopGrace
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", m.program, err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("%s: %w", m.program, err)
	}
	peer.Close() // otherwise the end of QEMU would not be noticed
	go q.listen()

	var r Result
	failed := ""
	stop := stopper{q: q, kill: cmd.Process.Kill}
	con := console{save: o.Console}
	saveErr := con.read(stdout, func(line string) {
		switch {
		case r.Ready || failed != "":
		case o.Ready.MatchString(line):
			r.Ready, r.ReadyLine, r.Took = true, line, time.Since(start)
			stop.powerDown(o.Grace)
		case o.Fail.MatchString(line):
			failed = line
			stop.quit()
		}
	})
	exit := cmd.Wait()
	stop.cancel()
	q.conn.SetReadDeadline(time.Now().Add(stopGrace)) // in case another process inherited its peer
	<-q.done
	r.Tail, r.PowerDown = con.tail, q.reason == "guest-shutdown"
	if r.Ready {
		return r, saveErr
	}
	cause := whyNotReady(ctx, failed, q.reason, exit, stderr.String())
	return r, errors.Join(&NotReadyError{Err: cause, Took: time.Since(start), Tail: con.tail}, saveErr)
}

// whyNotReady returns the reason why QEMU ended too early.
func whyNotReady(ctx context.Context, failed, reason string, exit error, stderr string) error {
	switch {
	case failed != "":
		return fmt.Errorf("%w: %s", ErrPanic, failed)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case reason == "guest-reset":
		return ErrReset
	case reason == "guest-shutdown":
		return ErrStopped
	case reason == "guest-panic":
		return ErrPanic
	case exit != nil:
		return fmt.Errorf("QEMU failed: %w: %s", exit, strings.TrimSpace(stderr))
	}
	return fmt.Errorf("QEMU ended (%q): %s", reason, strings.TrimSpace(stderr))
}

// stopper ends QEMU, politely first.
type stopper struct {
	q      *qmp
	kill   func() error
	timers []*time.Timer
}

// powerDown presses the guest's power button, and after the grace ends QEMU, whatever the guest
// does.
func (s *stopper) powerDown(grace time.Duration) {
	s.q.execute("system_powerdown")
	s.after(grace, func() { s.q.execute("quit") })
	s.after(grace+stopGrace, func() { s.kill() }) // it may just have ended
}

func (s *stopper) quit() {
	s.q.execute("quit")
	s.after(stopGrace, func() { s.kill() }) // it may just have ended
}

func (s *stopper) after(d time.Duration, do func()) {
	s.timers = append(s.timers, time.AfterFunc(d, do))
}

func (s *stopper) cancel() {
	for _, t := range s.timers {
		t.Stop()
	}
}
