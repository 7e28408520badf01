// Package ciservice tells CI services how runs went: in JUnit's form, as annotations and groups in
// the log, and as a page for people. What it writes of others is cleaned here, as commands to a
// service must pass package safetext's filter.
package ciservice

import (
	"slices"
	"sync"
	"time"

	"buildsys/internal/progress"
)

// Outcome is what became of a step.
type Outcome string

// The outcomes.
const (
	Pending   Outcome = "not run"
	Built     Outcome = "built"
	Cached    Outcome = "from a cache"
	Failed    Outcome = "failed"
	Skipped   Outcome = "skipped"
	Cancelled Outcome = "stopped"
)

// Step is what became of one step of a run.
type Step struct {
	ID      string
	Outcome Outcome
	Took    time.Duration
	Why     string   // of a failure, in a line; of a skipped step, the step that failed
	Hint    string   // what to do about a failure; may be empty
	Lines   []string // of its output, of a failure
}

// Run is one run of steps.
type Run struct {
	Arch  string
	Begin time.Time
	Took  time.Duration
	Steps []Step // in the order of the plan
}

// Name returns what the run was for: its last step, and the architecture.
func (r Run) Name() string {
	if len(r.Steps) == 0 {
		return "nothing"
	}
	return progress.Name(r.Steps[len(r.Steps)-1].ID) + " " + r.Arch
}

// count returns how many steps have an outcome.
func (r Run) count(o Outcome) int {
	n := 0
	for _, s := range r.Steps {
		if s.Outcome == o {
			n++
		}
	}
	return n
}

// Results is a sink that keeps what became of the steps of all runs. It is safe for concurrent use.
type Results struct {
	mu   sync.Mutex
	runs []Run
	at   map[string]int // the steps of the last run
}

// Event implements progress.Sink.
func (r *Results) Event(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == progress.PlanReady {
		r.begin(e)
	}
	if len(r.runs) == 0 {
		return
	}
	run := &r.runs[len(r.runs)-1]
	if e.Kind == progress.PlanDone {
		run.Took = e.Duration
	}
	i, ok := r.at[e.Step]
	if !ok {
		return
	}
	s := &run.Steps[i]
	switch e.Kind {
	case progress.StepDone:
		s.Outcome, s.Took = Built, e.Duration
	case progress.StepCached, progress.StepRestored, progress.StepFetched:
		s.Outcome = Cached
	case progress.StepFailed:
		s.fail(e)
	case progress.StepSkipped:
		s.Outcome, s.Why = Skipped, progress.Name(e.Text)+" failed"
	case progress.StepCancelled:
		s.Outcome, s.Took = Cancelled, e.Duration
	}
}

func (r *Results) begin(e progress.Event) {
	run := Run{Begin: e.Time}
	r.at = map[string]int{}
	if e.Plan != nil {
		run.Arch = e.Plan.Arch
		for i, s := range e.Plan.Steps {
			r.at[s.ID] = i
			run.Steps = append(run.Steps, Step{ID: s.ID, Outcome: Pending})
		}
	}
	r.runs = append(r.runs, run)
}

func (s *Step) fail(e progress.Event) {
	s.Outcome, s.Took = Failed, e.Duration
	switch {
	case e.Cause != nil:
		s.Why, s.Hint, s.Lines = e.Cause.Line(), progress.Clean(e.Cause.Hint), e.Cause.Lines
	case e.Err != nil:
		s.Why = progress.OneLine(e.Err)
	}
}

// Ended adds the last lines of the output of steps that failed, where nobody has found those that
// matter.
func (r *Results) Ended(s progress.Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.runs) == 0 {
		return
	}
	for _, f := range s.Failures {
		i, ok := r.at[f.Step]
		if step := &r.runs[len(r.runs)-1].Steps; ok && len((*step)[i].Lines) == 0 {
			(*step)[i].Lines = f.Tail
		}
	}
}

// Runs returns the runs, oldest first.
func (r *Results) Runs() []Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.runs)
	for i := range out {
		out[i].Steps = slices.Clone(out[i].Steps)
	}
	return out
}
