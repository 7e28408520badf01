// Measurement of one command as a whole, and medians.

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// limit is how long any one command may take.
const limit = 10 * time.Minute

// command is a command line to time.
type command struct {
	dir  string
	args []string
	env  []string // added to the environment
	// terminal gives the command a terminal instead of a pipe.
	terminal bool
}

// sample is what one run of a command took.
type sample struct {
	// wall and cpu are in seconds; cpu is user and system time of the process and the descendants
	// that it waited for.
	wall, cpu float64
	rss       float64 // MiB, of the largest process
	jobs      int     // packages whose job ran, counted from the output
	done      int     // packages with the right output afterwards
	// own, for buildsys only, is the wall time minus that of the solve, in seconds, in a run with
	// one solve.
	own float64
}

var jobLine = regexp.MustCompile(`\bJOB ([a-z]+[0-9]+)`)

// run runs a command to its end. If the command fails, unless it may, the error has the end of its
// output.
func (c command) run(ctx context.Context, mayFail bool) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second
	closed := func() {}
	if c.terminal {
		var err error
		if closed, err = onTerminal(cmd, &out); err != nil {
			return sample{}, err
		}
	}
	begin := time.Now()
	err := cmd.Run()
	closed()
	s := sample{wall: time.Since(begin).Seconds()}
	if cmd.ProcessState == nil {
		return s, err
	}
	s.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.rss = float64(usage.Maxrss) / 1024
	}
	seen := map[string]bool{}
	for _, m := range jobLine.FindAllSubmatch(out.Bytes(), -1) {
		seen[string(m[1])] = true
	}
	s.jobs = len(seen)
	if err != nil && !mayFail {
		tail := out.Bytes()[max(0, out.Len()-800):]
		return s, fmt.Errorf("%s (in %s): %w; the end of its output:\n%s", c.args[0], c.dir, err,
			tail)
	}
	if err == nil && mayFail {
		return s, fmt.Errorf("%s (in %s) succeeded although a package fails", c.args[0], c.dir)
	}
	return s, nil
}

// onTerminal puts the command on a terminal of its own, which copies what is shown to out. The
// caller calls closed once the command has ended, and out is whole then.
func onTerminal(cmd *exec.Cmd, out io.Writer) (closed func(), err error) {
	screen, tty, err := pty.Open()
	if err != nil {
		return nil, err
	}
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
		return nil, errors.Join(err, screen.Close(), tty.Close())
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, screen) // ends with an error once nothing has the terminal open
	}()
	return func() {
		_ = tty.Close()
		<-done
		_ = screen.Close()
	}, nil
}

// median returns the median of one figure over samples; NaN if there are none.
func median(samples []sample, figure func(sample) float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	var all []float64
	for _, s := range samples {
		all = append(all, figure(s))
	}
	slices.Sort(all)
	mid := len(all) / 2
	if len(all)%2 == 0 {
		return (all[mid-1] + all[mid]) / 2
	}
	return all[mid]
}

func wallOf(s sample) float64 { return s.wall }
func cpuOf(s sample) float64  { return s.cpu }
func jobsOf(s sample) float64 { return float64(s.jobs) }
func doneOf(s sample) float64 { return float64(s.done) }
func ownOf(s sample) float64  { return s.own }
