// Tail: the last lines of each step's output, for the end report.

package progress

import "sync"

// Tail keeps the last lines of every step that has not succeeded. It is safe for concurrent use.
type Tail struct {
	n     int
	mu    sync.Mutex
	rings map[string]*ring
}

// ring holds the newest lines; next is the index of the oldest once it is full.
type ring struct {
	lines []string
	next  int
}

// NewTail returns a Tail that keeps n lines per step, each cleaned by Clean.
func NewTail(n int) *Tail { return &Tail{n: n, rings: map[string]*ring{}} }

// Event keeps the lines of a step's output and forgets them when the step is done.
func (t *Tail) Event(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case StepDone:
		delete(t.rings, e.Step)
	case StepLog:
		r := t.rings[e.Step]
		if r == nil {
			r = &ring{}
			t.rings[e.Step] = r
		}
		line := Clean(e.Text)
		if len(r.lines) < t.n {
			r.lines = append(r.lines, line)
		} else if t.n > 0 {
			r.lines[r.next] = line
			r.next = (r.next + 1) % t.n
		}
	}
}

// Lines returns the kept lines of a step, oldest first.
func (t *Tail) Lines(step string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rings[step]
	if r == nil {
		return nil
	}
	return append(append([]string(nil), r.lines[r.next:]...), r.lines[:r.next]...)
}
