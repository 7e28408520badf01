// Command gotest runs go test with its arguments and shows a long run in brief: the closing line of
// each package, failed tests in full, every minute the tests that are still running, and at the end
// the skipped tests with their reasons. It exits as go test does.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	minutes := time.NewTicker(time.Minute)
	newPrinter(os.Stdout, time.Now).run(lines(out), minutes.C)
	if err := cmd.Wait(); err != nil {
		os.Exit(max(1, cmd.ProcessState.ExitCode()))
	}
}

// lines sends the lines of r, then closes the channel.
func lines(r io.Reader) <-chan []byte {
	c := make(chan []byte)
	go func() {
		defer close(c)
		in := bufio.NewReader(r) // a test may write a line of any length
		for {
			line, err := in.ReadBytes('\n')
			if len(line) > 0 {
				c <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// event is a line of go test -json: see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// test identifies a test; name is empty for a package as a whole.
type test struct{ pkg, name string }

// printer follows the events of one run.
type printer struct {
	w       io.Writer
	now     func() time.Time
	begin   time.Time
	output  map[test][]string   // of tests that have not ended
	started map[test]time.Time  // of tests that have not ended
	skipped map[string][]string // tests by reason
}

func newPrinter(w io.Writer, now func() time.Time) *printer {
	return &printer{
		w: w, now: now, begin: now(),
		output: map[test][]string{}, started: map[test]time.Time{},
		skipped: map[string][]string{},
	}
}

// run prints until the lines end.
func (p *printer) run(lines <-chan []byte, minutes <-chan time.Time) {
	for {
		select {
		case <-minutes:
			p.progress()
		case line, more := <-lines:
			if !more {
				p.summary()
				return
			}
			p.line(line)
		}
	}
}

// line processes one line. It prints a line that is not an event, such as one of the go command.
func (p *printer) line(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		_, _ = p.w.Write(line)
		return
	}
	id := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(p.w, e.Output)
	case "start", "run":
		p.started[id] = p.now()
	case "output":
		p.takeOutput(id, e.Output)
	case "pass", "skip", "fail":
		p.end(id, e.Action)
	}
}

func (p *printer) takeOutput(id test, text string) {
	if id.name == "" && closing(text) {
		fmt.Fprint(p.w, text)
		return
	}
	for _, mark := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(text, mark) {
			return
		}
	}
	p.output[id] = append(p.output[id], text)
}

// closing reports whether a line is the last of a package's output, written by go test.
func closing(text string) bool {
	for _, mark := range []string{"ok  \t", "FAIL\t", "?   \t"} {
		if strings.HasPrefix(text, mark) {
			return true
		}
	}
	return false
}

func (p *printer) end(id test, action string) {
	if action == "skip" && id.name != "" {
		why := reason(p.output[id])
		p.skipped[why] = append(p.skipped[why], id.pkg+" "+id.name)
	}
	if action == "fail" {
		p.print(id)
		if id.name == "" { // a panic or the time limit ended other tests without an event
			for _, other := range p.unfinished() {
				if other.pkg == id.pkg {
					p.print(other)
				}
			}
		}
	}
	delete(p.output, id)
	delete(p.started, id)
	if id.name == "" {
		maps.DeleteFunc(p.output, func(other test, _ []string) bool { return other.pkg == id.pkg })
		maps.DeleteFunc(p.started, func(other test, _ time.Time) bool {
			return other.pkg == id.pkg
		})
	}
}

// print prints what a test has written so far.
func (p *printer) print(id test) {
	fmt.Fprint(p.w, strings.Join(p.output[id], ""))
	delete(p.output, id)
}

// reason returns why a test was skipped, without the position in its file.
func reason(output []string) string {
	for _, text := range output {
		text = strings.TrimSpace(text)
		if !strings.HasPrefix(text, "--- SKIP") && text != "" {
			if _, after, ok := strings.Cut(text, ".go:"); ok {
				_, text, _ = strings.Cut(after, ": ")
			}
			return text
		}
	}
	return "no reason given"
}

// unfinished returns the tests that have begun but not ended, the longest running first.
func (p *printer) unfinished() []test {
	return slices.SortedFunc(maps.Keys(p.started), func(a, b test) int {
		return cmp.Or(p.started[a].Compare(p.started[b]),
			strings.Compare(a.pkg, b.pkg), strings.Compare(a.name, b.name))
	})
}

// shownRunning is how many running tests a line of progress names: hundreds of parallel subtests
// may wait for their turn, and the longest running are what one wants to know.
const shownRunning = 5

// progress prints which tests run and for how long; of a test with running subtests, only those.
func (p *printer) progress() {
	all := p.unfinished()
	var running []string
	for _, id := range all {
		inside := slices.ContainsFunc(all, func(other test) bool {
			return other.pkg == id.pkg && other != id &&
				(id.name == "" || strings.HasPrefix(other.name, id.name+"/"))
		})
		if !inside {
			took := p.now().Sub(p.started[id]).Round(time.Second)
			name := strings.TrimSpace(id.pkg + " " + id.name)
			running = append(running, fmt.Sprintf("%s (%v)", name, took))
		}
	}
	if len(running) == 0 {
		running = []string{"compiling"}
	}
	if more := len(running) - shownRunning; more > 0 {
		running = append(running[:shownRunning], fmt.Sprintf("%d more", more))
	}
	after := p.now().Sub(p.begin).Round(time.Second)
	fmt.Fprintf(p.w, "[%v] running: %s\n", after, strings.Join(running, ", "))
}

// summary prints the skipped tests by reason.
func (p *printer) summary() {
	for _, why := range slices.Sorted(maps.Keys(p.skipped)) {
		fmt.Fprintf(p.w, "skipped, %s:\n  %s\n", why, strings.Join(p.skipped[why], "\n  "))
	}
}
