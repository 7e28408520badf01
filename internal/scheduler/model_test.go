// The model test: random graphs, answers and orders of events, and what must hold in each run.

package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestModel holds the machine to the reference, whatever happens in a run and in whatever order.
// Every transition that the table of moves allows must occur in some run.
func TestModel(t *testing.T) {
	runs := uint64(100_000)
	if testing.Short() {
		runs = 20_000
	}
	var seen [states][states]bool
	for seed := range runs {
		r := newModel(rand.New(rand.NewPCG(seed, 12)))
		r.m.moved = func(from, to state) { seen[from][to] = true }
		if err := r.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for from, all := range moves {
		for _, to := range all {
			if !testing.Short() && !seen[from][to] {
				t.Errorf("no step went from %v to %v: remove this move from the table, or test it",
					state(from), to)
			}
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		if err := newModel(rand.New(rand.NewPCG(a, b))).run(); err != nil {
			t.Fatal(err)
		}
	})
}

// fate is what the jobs of a step will come to.
type fate struct {
	answer      Found // to lookups, while the outputs of all steps below are as expected
	lookupFails bool
	fetchFails  bool
	placeFails  bool
	placeGone   bool // its remote outputs cannot be fetched
	buildFails  bool
	drifts      bool // it comes out differently when it is built
}

// job is a job that runs: it was decided on, and its end has not been reported.
type job struct {
	kind  DecisionKind
	step  int
	key   string // of the step, when the job began
	stale bool   // its end does not count; if it is a fetch, it was stopped
}

// newModel makes a random graph and the fates of its steps. In some runs nothing fails, and in some
// most outputs are remote.
func newModel(rnd *rand.Rand) *model {
	n := 1 + rnd.IntN(9)
	r := &model{
		rnd:    rnd,
		limits: Limits{1 + rnd.IntN(3), 1 + rnd.IntN(3), 1 + rnd.IntN(3), rnd.IntN(4)},
		refs:   make([]ref, n),
		slow:   []DecisionKind{LookUp, Fetch, Place, Build, Ended}[rnd.IntN(5)],
	}
	trouble, dense, far := rnd.IntN(4), 1+rnd.IntN(4), rnd.IntN(3) == 0
	in := func(chance int) bool { return rnd.IntN(chance) < trouble }
	var steps []Step
	for i := range n {
		s := &r.refs[i]
		s.below = make([]bool, n)
		step := Step{
			Wanted: rnd.IntN(3) == 0, Files: rnd.IntN(2) == 0, Cost: time.Duration(rnd.IntN(4)),
		}
		for j := i - 1; j >= 0; j-- {
			if !s.below[j] && rnd.IntN(dense) == 0 { // so these are direct waits
				step.After = append(step.After, j)
				s.below[j] = true
				for k, b := range r.refs[j].below {
					s.below[k] = s.below[k] || b
				}
			}
		}
		for j, b := range s.below {
			if b && rnd.IntN(4) > 0 { // any subset of the steps below
				s.uses = append(s.uses, j)
			}
		}
		step.Uses = slices.Values(s.uses)
		s.Step, s.fate = step, fate{
			answer: Found(rnd.IntN(3)), drifts: rnd.IntN(2) == 0,
			lookupFails: in(40), fetchFails: in(30), buildFails: in(30),
			placeGone: in(5), placeFails: in(30),
		}
		if far && rnd.IntN(4) > 0 {
			s.fate.answer = Remote
		}
		steps = append(steps, step)
	}
	for i := n - 1; i >= 0; i-- {
		r.refs[i].path = r.path(i)
	}
	r.m = New(steps, r.limits)
	return r
}

func (r *model) run() error {
	if err := r.tell(Event{Kind: Begin}, job{}); err != nil {
		return err
	}
	for n := 0; !r.m.Over(); n++ {
		if len(r.running) == 0 || n > 10_000 {
			return errors.New("the run does not end")
		}
		e, j := r.happens()
		if err := r.tell(e, j); err != nil {
			return fmt.Errorf("event %d, %+v: %w", n, e, err)
		}
	}
	return r.over()
}

// happens picks what happens next: mostly that a job ends. In many runs one kind of job is slow.
func (r *model) happens() (Event, job) {
	switch {
	case r.rnd.IntN(200) == 0:
		return Event{Kind: Cancel}, job{}
	case r.cancelled && r.rnd.IntN(10) == 0:
		return Event{Kind: Abandoned, Err: errTest}, job{}
	}
	at := r.rnd.IntN(len(r.running))
	for range 4 {
		if r.running[at].kind == r.slow {
			at = r.rnd.IntN(len(r.running))
		}
	}
	j := r.running[at]
	r.running = slices.Delete(r.running, at, at+1)
	s := &r.refs[j.step]
	e := Event{Step: j.step}
	fails := false
	switch j.kind {
	case LookUp:
		e.Kind, e.Found, fails = LookedUp, s.answer(j.key), s.lookupFails
	case Fetch:
		e.Kind, fails = Fetched, s.fetchFails || j.stale
	case Place:
		e.Kind, e.Found, fails = Placed, Here, s.placeFails
		if s.placeGone {
			e.Found = Missing
		}
	case Prepare:
		e.Kind, e.Jobs, fails = Prepared, 1+r.rnd.IntN(3), r.rnd.IntN(100) == 0
	case Build:
		e.Kind, fails = Finished, s.buildFails
		e.Fatal = fails && r.rnd.IntN(10) == 0
	}
	if fails || r.cancelled && r.rnd.IntN(2) == 0 {
		e.Err = errTest
	}
	return e, j
}

var errTest = errors.New("failed")

// tell sends an event to both the reference and the machine, and compares them.
func (r *model) tell(e Event, ended job) error {
	var was, want, got []int
	for i, s := range r.refs {
		if s.belief.status() != 0 {
			was = append(was, i)
		}
		r.refs[i].news = false
	}
	r.book(e, ended)
	for i, s := range r.refs {
		if st := s.belief.status(); st != 0 && (!slices.Contains(was, i) || s.news) {
			want = append(want, i)
		}
	}
	for _, d := range r.m.Handle(e) {
		if d.Kind == Ended {
			got = append(got, d.Step)
		} else if err := r.allow(d); err != nil {
			return fmt.Errorf("decision %+v: %w", d, err)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		return fmt.Errorf("steps %v ended, want %v", got, want)
	}
	if err := r.complete(); err != nil {
		return err
	}
	return r.compare()
}

// compare holds the state of the machine against the reference.
func (r *model) compare() error {
	over, ended := r.stopped() && len(r.running) == 0, 0
	if over != (r.m.Over() && r.stopped()) {
		return fmt.Errorf("over: %v, want %v", r.m.Over(), over)
	}
	for i, s := range r.refs {
		want := Result{Status: s.belief.status(), Root: s.root}
		if want.Status != 0 {
			ended++
		} else if over {
			want.Status = Cancelled
		}
		got := r.m.Result(i)
		if got.Status != want.Status || got.Status == Skipped && got.Root != want.Root {
			return fmt.Errorf("step %d is %+v, want %+v", i, got, want)
		}
		awaited := slices.ContainsFunc(r.running, func(j job) bool {
			return j.step == i && j.kind != Fetch && j.kind != Prepare && !j.stale
		})
		if !over && r.m.Awaited(i) != awaited {
			return fmt.Errorf("step %d: its job counts: %v, want %v", i, r.m.Awaited(i), awaited)
		}
	}
	if r.m.Ended() != ended {
		return fmt.Errorf("%d steps have ended, want %d", r.m.Ended(), ended)
	}
	return nil
}

// over checks the end of a run.
func (r *model) over() error {
	if r.stopped() {
		return nil
	}
	failures := slices.ContainsFunc(r.refs, func(s ref) bool { return s.belief == isFailed })
	for i, s := range r.refs {
		switch status := r.m.Result(i).Status; {
		case status == 0 || status == Cancelled:
			return fmt.Errorf("step %d is %v in a run that was not stopped", i, status)
		case status == Failed || status == Skipped:
			if !failures {
				return fmt.Errorf("step %d is %v, though nothing failed", i, status)
			}
		case !failures && s.key != r.keyOf(i):
			return fmt.Errorf("step %d ended with key %q, but its key is %q now", i, s.key, r.keyOf(i))
		case s.Wanted && (s.belief == isFar || s.checkout != s.content):
			return fmt.Errorf("the outputs of step %d are wanted but not here", i)
		}
	}
	return nil
}
