// Command gotest runs go test with the arguments it is given and shows a long run as one wants to
// see it: the closing line of each package, failed tests in full, every minute what is still
// running, and at the end which tests skipped and why. It exits as go test does.
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

// lines sends the lines of r, and ends with them.
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

// test names a test; that of a package alone has no name.
type test struct{ pkg, name string }

// printer follows the events of one run.
type printer struct {
	w       io.Writer
	now     func() time.Time
	begin   time.Time
	output  map[test][]string   // of what has not ended
	started map[test]time.Time  // of what has not ended
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

// line takes one line in; what is no event, such as a message of the go command, is printed.
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

// closing reports whether a line of a package's output is the one that go test closes it with.
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
		if id.name == "" { // a panic or the time limit ended tests that have no end of their own
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

// reason is what a test said when it skipped, without the place in its file.
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
	return "it says no reason"
}

// unfinished lists what has begun and not ended: the longest running first.
func (p *printer) unfinished() []test {
	return slices.SortedFunc(maps.Keys(p.started), func(a, b test) int {
		return cmp.Or(p.started[a].Compare(p.started[b]),
			strings.Compare(a.pkg, b.pkg), strings.Compare(a.name, b.name))
	})
}

// progress prints which tests run and for how long; of a test with subtests that run, only those.
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
	after := p.now().Sub(p.begin).Round(time.Second)
	fmt.Fprintf(p.w, "[%v] running: %s\n", after, strings.Join(running, ", "))
}

// summary prints which tests skipped, by reason.
func (p *printer) summary() {
	for _, why := range slices.Sorted(maps.Keys(p.skipped)) {
		fmt.Fprintf(p.w, "skipped, %s:\n  %s\n", why, strings.Join(p.skipped[why], "\n  "))
	}
}
