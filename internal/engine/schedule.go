// The scheduler: one goroutine owns all state, starts fetches and builds, and receives their results.

package engine

import (
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// fetchJobs is how many steps have their files fetched at once. It is a bound on open transfers, not on the machine.
const fetchJobs = 8

// grace is how long a cancelled run waits for its builds to stop.
const grace = 10 * time.Second

// run is the state of one Run. Only the goroutine in loop touches it, so there are no locks.
type run struct {
	plan       plan.Plan
	o          Options
	begin      time.Time
	dependants [][]int
	waits      []int // per step: dependencies not done, plus 1 while its files are not there
	results    []StepResult
	cancels    []context.CancelFunc // per step: stops its fetch when a dependency failed; nil when none runs

	ready    readyHeap
	toFetch  []int // steps whose fetch was not started, most urgent first
	fetching []int // oldest first
	building []int // oldest first
	settled  int
	messages chan message
}

// message is what a fetch or a build goroutine tells the owner when it is over.
type message struct {
	step  int
	fetch bool
	took  time.Duration
	err   error
}

func newRun(p plan.Plan, o Options) *run {
	n := len(p.Steps)
	r := &run{
		plan: p, o: o, begin: o.Now(),
		dependants: make([][]int, n), waits: make([]int, n),
		results: make([]StepResult, n), cancels: make([]context.CancelFunc, n),
		// Room for every message there can be: a goroutine that nobody waits for any more must be able to end.
		messages: make(chan message, 2*n),
	}
	for i, s := range p.Steps {
		r.results[i].ID = s.ID
		for _, d := range s.Deps {
			r.dependants[d] = append(r.dependants[d], i)
		}
	}
	r.ready.rank = ranks(p, r.dependants, o.Cost)
	for i, s := range p.Steps {
		r.waits[i] = len(s.Deps)
		if len(s.Fetch) > 0 {
			r.waits[i]++
			r.toFetch = append(r.toFetch, i)
		}
		if r.waits[i] == 0 {
			heap.Push(&r.ready, i)
		}
	}
	slices.SortFunc(r.toFetch, r.ready.compare)
	return r
}

// ranks returns for each step the cost of the costliest path from it to the end of the plan, itself included.
func ranks(p plan.Plan, dependants [][]int, cost func(plan.Step) time.Duration) []time.Duration {
	rank := make([]time.Duration, len(p.Steps))
	for i := len(p.Steps) - 1; i >= 0; i-- {
		for _, d := range dependants[i] {
			rank[i] = max(rank[i], rank[d])
		}
		rank[i] += cost(p.Steps[i])
	}
	return rank
}

// loop runs until every step is settled, or until ctx is cancelled and all that was started has ended.
func (r *run) loop(ctx context.Context) {
	r.emit(progress.Event{Kind: progress.PlanReady})
	heartbeat := time.NewTimer(r.o.Heartbeat)
	defer heartbeat.Stop()
	cancelled := ctx.Done()
	var graceOver <-chan time.Time
	for {
		if ctx.Err() == nil {
			r.startFetches(ctx)
			r.startBuilds(ctx)
		}
		if len(r.building) == 0 && len(r.fetching) == 0 {
			return
		}
		select {
		case m := <-r.messages:
			r.receive(ctx, m)
			heartbeat.Reset(r.o.Heartbeat)
		case <-heartbeat.C:
			r.emit(progress.Event{Kind: progress.Heartbeat})
			heartbeat.Reset(r.o.Heartbeat)
		case <-cancelled:
			cancelled = nil // seen; from now on only wait for what runs
			graceOver = time.After(grace)
		case <-graceOver:
			r.abandon(ctx)
			return
		}
	}
}

func (r *run) startFetches(ctx context.Context) {
	for len(r.fetching) < fetchJobs && len(r.toFetch) > 0 {
		i := r.toFetch[0]
		r.toFetch = r.toFetch[1:]
		if r.results[i].Status != 0 { // skipped meanwhile
			continue
		}
		r.fetching = append(r.fetching, i)
		fctx, cancel := context.WithCancel(ctx)
		r.cancels[i] = cancel
		s := r.plan.Steps[i]
		go func() {
			defer cancel()
			err := r.o.Fetch(fctx, s.ID, s.Fetch)
			r.messages <- message{step: i, fetch: true, err: err}
		}()
	}
}

func (r *run) startBuilds(ctx context.Context) {
	for len(r.building) < r.o.Jobs && r.ready.Len() > 0 {
		i := heap.Pop(&r.ready).(int)
		r.building = append(r.building, i)
		r.emit(progress.Event{Kind: progress.StepStart, Step: r.plan.Steps[i].ID})
		w := worker{o: r.o, step: r.plan.Steps[i]}
		go func() {
			begin := w.o.Now()
			err := w.do(ctx)
			r.messages <- message{step: i, took: w.o.Now().Sub(begin), err: err}
		}()
	}
}

// receive books the end of a fetch or of a build.
func (r *run) receive(ctx context.Context, m message) {
	if m.fetch {
		r.fetching = remove(r.fetching, m.step)
		r.cancels[m.step] = nil
	} else {
		r.building = remove(r.building, m.step)
	}
	res := &r.results[m.step]
	if res.Status != 0 { // the fetch of a step that was skipped meanwhile
		return
	}
	res.Duration = m.took
	switch {
	case m.err == nil && m.fetch:
		r.release(m.step)
	case m.err == nil:
		r.settle(m.step, Done, nil)
		for _, d := range r.dependants[m.step] {
			r.release(d)
		}
	case ctx.Err() != nil:
		r.settle(m.step, Cancelled, m.err)
	default:
		r.settle(m.step, Failed, m.err)
		r.skipDependants(m.step, res.ID)
	}
}

// abandon gives up the builds that did not stop: their engine may be frozen, and a user who said stop wants to leave.
func (r *run) abandon(ctx context.Context) {
	for len(r.building) > 0 {
		i := r.building[0]
		r.building = r.building[1:]
		r.settle(i, Cancelled, fmt.Errorf("did not stop within %v: %w", grace, context.Cause(ctx)))
	}
}

// release takes one reason to wait off a step.
func (r *run) release(i int) {
	r.waits[i]--
	if r.waits[i] == 0 && r.results[i].Status == 0 {
		heap.Push(&r.ready, i)
	}
}

// skipDependants marks all that needs step i, directly or not, as skipped because of root.
func (r *run) skipDependants(i int, root string) {
	todo := slices.Clone(r.dependants[i])
	for len(todo) > 0 {
		d := todo[0]
		todo = todo[1:]
		if r.results[d].Status != 0 {
			continue
		}
		if cancel := r.cancels[d]; cancel != nil {
			cancel()
		}
		r.results[d].Root = root
		r.settle(d, Skipped, nil)
		todo = append(todo, r.dependants[d]...)
	}
}

// settle records how a step ended and tells the sink.
func (r *run) settle(i int, status Status, err error) {
	res := &r.results[i]
	res.Status, res.Err = status, err
	r.settled++
	e := progress.Event{Step: res.ID, Duration: res.Duration, Err: err}
	switch status {
	case Done:
		e.Kind = progress.StepDone
	case Failed:
		e.Kind = progress.StepFailed
	case Skipped:
		e.Kind, e.Text = progress.StepSkipped, res.Root
	case Cancelled:
		e.Kind = progress.StepCancelled
	}
	r.emit(e)
}

// end settles what a cancelled run left over and returns the report and the run's error.
func (r *run) end(ctx context.Context) (Report, error) {
	failed := &FailedError{Total: len(r.results)}
	unfinished := 0
	for i := range r.results {
		res := &r.results[i]
		if res.Status == 0 {
			res.Status, res.Err = Cancelled, context.Cause(ctx)
		}
		switch res.Status {
		case Failed:
			failed.Roots = append(failed.Roots, *res)
		case Skipped:
			failed.Skipped++
		case Cancelled:
			unfinished++
		}
	}
	rep := Report{Steps: r.results, Duration: r.o.Now().Sub(r.begin)}
	r.emit(progress.Event{Kind: progress.PlanDone, Duration: rep.Duration})
	switch {
	case unfinished > 0:
		return rep, fmt.Errorf("cancelled with %d of %d steps not built: %w", unfinished, len(r.results), context.Cause(ctx))
	case len(failed.Roots) > 0:
		return rep, failed
	}
	return rep, nil
}

// emit completes an event with the time and the state of the run.
func (r *run) emit(e progress.Event) {
	e.Time = r.o.Now()
	e.Done, e.Total = r.settled, len(r.results)
	for _, i := range r.building {
		e.Running = append(e.Running, r.plan.Steps[i].ID)
	}
	if e.Kind == progress.Heartbeat {
		for _, i := range r.fetching {
			e.Running = append(e.Running, r.plan.Steps[i].ID)
		}
	}
	r.o.Sink.Event(e)
}

func remove(s []int, v int) []int {
	i := slices.Index(s, v)
	return slices.Delete(s, i, i+1)
}
