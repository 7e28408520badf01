// The end report: what failed and why, what was not built because of it, and a summary line.

package progress

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"buildsys/internal/bytesize"
)

// Summary is the end of a run, as the report shows it.
type Summary struct {
	Failures  []Failure // root failures, in plan order
	Skipped   []Skipped // one per root failure that stopped others
	Done      int       // steps built
	Cached    int       // steps whose outputs were already known
	Cancelled int       // steps not built because the run was cancelled
	Total     int       // steps of the run
	Retries   int       // times that a step was built again after a transient failure
	Duration  time.Duration
	Remote    *Traffic // nil if there is no remote cache
	Objects   string   // what compilers made in earlier steps: "1,351 of 1,352 objects known"
}

// Traffic is a run's use of remote caches.
type Traffic struct {
	Found   int64 // results found there
	Fetched int64 // results whose outputs were downloaded
	Pushed  int64 // results uploaded
	Down    int64 // bytes received
	Up      int64 // bytes sent
}

// String returns a summary: "remote cache: 12 results found, 1 fetched, 3 uploaded; 52.1 MiB
// received, 300 bytes sent".
func (t Traffic) String() string {
	return fmt.Sprintf("remote cache: %s found, %d fetched, %d uploaded; %s received, %s sent",
		count(int(t.Found), "result"), t.Fetched, t.Pushed,
		bytesize.Format(t.Down), bytesize.Format(t.Up))
}

// Failure is one step that failed itself.
type Failure struct {
	Step string
	Err  error
	Tail []string // last lines of its output, oldest first
	// Cause is what its output says. With it, Err and Tail are not shown.
	Cause *Cause
	Log   string // path of the whole output; empty if there is none
}

// Skipped lists the steps that were not built because Root failed.
type Skipped struct {
	Root  string
	Steps []string
}

// WriteReport writes s for people. The last line is always the summary. It returns the first error
// of w.
func WriteReport(w io.Writer, s Summary) error {
	b := bufio.NewWriter(w)
	if len(s.Failures) > 0 {
		fmt.Fprintln(b) // separates the report from the lines of the run
	}
	for _, f := range s.Failures {
		writeFailure(b, f)
	}
	for _, k := range s.Skipped {
		names := make([]string, len(k.Steps))
		for i, step := range k.Steps {
			names[i] = Name(step)
		}
		fmt.Fprintf(b, "not built because %s failed: %s\n", Name(k.Root), strings.Join(names, ", "))
	}
	if len(s.Skipped) > 0 {
		fmt.Fprintln(b)
	}
	if s.Remote != nil {
		fmt.Fprintln(b, s.Remote)
	}
	if s.Objects != "" {
		fmt.Fprintf(b, "compiler cache: %s\n", s.Objects)
	}
	fmt.Fprintln(b, s.line())
	return b.Flush()
}

func writeFailure(b *bufio.Writer, f Failure) {
	if f.Cause != nil {
		writeCause(b, Name(f.Step), *f.Cause)
	} else {
		writeTail(b, f)
	}
	if f.Log != "" {
		fmt.Fprintf(b, "  whole log: %s\n", f.Log)
	}
	fmt.Fprintln(b)
}

// writeCause writes the cause first, then what to do, then the lines that say it.
func writeCause(b *bufio.Writer, name string, c Cause) {
	fmt.Fprintf(b, "%s: %s\n", name, c.Line())
	if c.Hint != "" {
		fmt.Fprintf(b, "  %s\n", Clean(c.Hint))
	}
	for _, line := range c.Lines {
		fmt.Fprintf(b, "  | %s\n", Clean(line))
	}
}

// writeTail writes the error of a step, and the last lines of its output.
func writeTail(b *bufio.Writer, f Failure) {
	fmt.Fprintf(b, "%s failed\n", Name(f.Step))
	text := "unknown error"
	if f.Err != nil {
		text = f.Err.Error()
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		fmt.Fprintf(b, "  %s\n", Clean(line))
	}
	if len(f.Tail) > 0 {
		fmt.Fprintf(b, "  last %s of its output:\n", count(len(f.Tail), "line"))
		for _, line := range f.Tail {
			fmt.Fprintf(b, "  | %s\n", Clean(line))
		}
	}
}

// line returns the summary line: "14 of 17 steps done, 1 failed, 2 skipped in 3m05s".
func (s Summary) line() string {
	skipped := 0
	for _, k := range s.Skipped {
		skipped += len(k.Steps)
	}
	var b strings.Builder
	if s.Cached == s.Total && s.Total > 0 {
		return fmt.Sprintf("%s up to date, nothing to do (%s)", count(s.Total, "step"), Took(s.Duration))
	}
	fmt.Fprintf(&b, "%d of %s done", s.Done, count(s.Total-s.Cached, "step"))
	for _, part := range []struct {
		n    int
		word string
	}{{len(s.Failures), "failed"}, {skipped, "skipped"}, {s.Cancelled, "cancelled"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %d %s", part.n, part.word)
		}
	}
	if s.Cached > 0 {
		fmt.Fprintf(&b, ", %d up to date", s.Cached)
	}
	fmt.Fprintf(&b, " in %s", Took(s.Duration))
	switch {
	case s.Retries == 1:
		b.WriteString(" (1 retry)")
	case s.Retries > 1:
		fmt.Fprintf(&b, " (%d retries)", s.Retries)
	}
	return b.String()
}
