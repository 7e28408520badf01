// The scheduler: one goroutine owns all state, starts fetches and builds, and receives their results.

package engine

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

const (
	// fetchJobs is how many steps have their files fetched at once. It is a bound on open transfers, not on the machine.
	fetchJobs = 8
	// lookupJobs is how many steps are looked up at once; a lookup hashes inputs and may copy outputs from the store.
	lookupJobs = 8
)

// grace is how long a cancelled run waits for its builds to stop.
const grace = 10 * time.Second

// run is the state of one Run. Only the goroutine in loop touches it, so there are no locks.
//
// A step passes through: waiting for its dependencies, looked up, then either done from what is known already, or missed.
// A missed step is built once its files are fetched.
type run struct {
	plan       plan.Plan
	o          Options
	begin      time.Time
	jobs       int // builds at once; 0 until the builder was prepared
	dependants [][]int
	waits      []int // per step: dependencies not done
	results    []StepResult
	actions    []action             // per step, once it was looked up
	files      []fetchState         // per step
	fetchErrs  []error              // per step, when files is fetchFailed
	cancels    []context.CancelFunc // per step: stops its fetch when a dependency failed; nil when none runs

	toLookUp  readyHeap // dependencies done
	ready     readyHeap // missed, and files there
	toFetch   readyHeap // wanted, not started
	lookingUp []int     // oldest first, as the next two
	fetching  []int
	building  []int
	preparing bool
	fatal     error // why nothing can be built at all
	settled   int
	messages  chan message
}

// fetchState is how far a step's external files are.
type fetchState int

const (
	fetchUnwanted fetchState = iota // perhaps never needed: the step may be known already
	fetchWanted
	fetchDone
	fetchFailed
)

// phase is what a goroutine did for the owner.
type phase int

const (
	phaseLookup phase = iota
	phaseFetch
	phasePrepare
	phaseBuild
)

// message is what a goroutine tells the owner when it is over.
type message struct {
	phase  phase
	step   int
	jobs   int    // phasePrepare: builds at once
	action action // phaseLookup and phaseBuild
	hit    bool   // phaseLookup: nothing has to be built
	took   time.Duration
	err    error
}

func newRun(p plan.Plan, o Options) *run {
	n := len(p.Steps)
	r := &run{
		plan: p, o: o, begin: o.Now(),
		dependants: make([][]int, n), waits: make([]int, n), results: make([]StepResult, n), actions: make([]action, n),
		files: make([]fetchState, n), fetchErrs: make([]error, n), cancels: make([]context.CancelFunc, n),
		// Room for every message there can be: a goroutine that nobody waits for any more must be able to end.
		messages: make(chan message, 3*n+1),
	}
	for i, s := range p.Steps {
		r.results[i].ID = s.ID
		for _, d := range s.Deps {
			r.dependants[d] = append(r.dependants[d], i)
		}
		if len(s.Fetch) == 0 {
			r.files[i] = fetchDone
		}
	}
	if o.Prepare == nil {
		r.jobs = o.Jobs
	}
	rank := ranks(p, r.dependants, o.Cost)
	r.toLookUp.rank, r.ready.rank, r.toFetch.rank = rank, rank, rank
	for i, s := range p.Steps {
		r.waits[i] = len(s.Deps)
		if r.waits[i] == 0 {
			heap.Push(&r.toLookUp, i)
		}
	}
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
		if ctx.Err() == nil && r.fatal == nil {
			r.startLookups(ctx)
			r.startFetches(ctx)
			r.startBuilds(ctx)
		}
		if len(r.lookingUp)+len(r.fetching)+len(r.building) == 0 && !r.preparing {
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

func (r *run) startLookups(ctx context.Context) {
	for len(r.lookingUp) < lookupJobs && r.toLookUp.Len() > 0 {
		i := heap.Pop(&r.toLookUp).(int)
		r.lookingUp = append(r.lookingUp, i)
		w := r.worker(i)
		go func() {
			begin := w.o.Now()
			act, hit, err := w.lookUp(ctx)
			r.messages <- message{phase: phaseLookup, step: i, action: act, hit: hit, took: w.o.Now().Sub(begin), err: err}
		}()
	}
}

func (r *run) startFetches(ctx context.Context) {
	for len(r.fetching) < fetchJobs && r.toFetch.Len() > 0 {
		i := heap.Pop(&r.toFetch).(int)
		if r.results[i].Status != 0 { // skipped meanwhile, or known already
			continue
		}
		r.fetching = append(r.fetching, i)
		fctx, cancel := context.WithCancel(ctx)
		r.cancels[i] = cancel
		s := r.plan.Steps[i]
		go func() {
			defer cancel()
			err := r.o.Fetch(fctx, s.ID, s.Fetch)
			r.messages <- message{phase: phaseFetch, step: i, err: err}
		}()
	}
}

func (r *run) startBuilds(ctx context.Context) {
	if r.jobs == 0 && r.ready.Len() > 0 {
		r.prepare(ctx)
	}
	for len(r.building) < r.jobs && r.ready.Len() > 0 && !r.outranked(r.ready.steps[0]) {
		i := heap.Pop(&r.ready).(int)
		r.building = append(r.building, i)
		r.emit(progress.Event{Kind: progress.StepStart, Step: r.plan.Steps[i].ID})
		w := r.worker(i)
		go func() {
			begin := w.o.Now()
			act, err := w.do(ctx)
			r.messages <- message{phase: phaseBuild, step: i, action: act, took: w.o.Now().Sub(begin), err: err}
		}()
	}
}

// outranked says whether a step that is still being looked up should be built before step i. A lookup takes
// milliseconds; a job given to the wrong step is taken for minutes.
func (r *run) outranked(i int) bool {
	return slices.ContainsFunc(r.lookingUp, func(other int) bool { return r.ready.compare(other, i) < 0 })
}

// prepare has the builder made ready for the first build. A run in which nothing has to be built never gets here, so
// it needs no engine.
func (r *run) prepare(ctx context.Context) {
	if r.preparing {
		return
	}
	r.preparing = true
	go func() {
		jobs, err := r.o.Prepare(ctx)
		r.messages <- message{phase: phasePrepare, jobs: jobs, err: err}
	}()
}

// prepared books that builds can start, or that none can: then what is under way for them is stopped.
func (r *run) prepared(m message) {
	r.jobs = cmp.Or(r.o.Jobs, max(m.jobs, 1))
	if r.fatal = m.err; r.fatal == nil {
		return
	}
	for _, cancel := range r.cancels {
		if cancel != nil {
			cancel()
		}
	}
}

// worker is what a goroutine gets to work on step i with.
func (r *run) worker(i int) worker {
	w := worker{o: r.o, step: r.plan.Steps[i], arch: r.plan.Arch, action: r.actions[i]}
	for _, d := range w.step.Deps {
		w.deps = append(w.deps, dependency{name: r.plan.Steps[d].Name, out: r.plan.Steps[d].Out, outputs: r.actions[d].outputs})
	}
	return w
}

// receive books the end of what a goroutine did.
func (r *run) receive(ctx context.Context, m message) {
	switch m.phase {
	case phasePrepare:
		r.preparing = false
		r.prepared(m)
	case phaseLookup:
		r.lookingUp = remove(r.lookingUp, m.step)
		r.lookedUp(ctx, m)
	case phaseFetch:
		r.fetching = remove(r.fetching, m.step)
		r.cancels[m.step] = nil
		r.fetched(ctx, m)
	case phaseBuild:
		r.building = remove(r.building, m.step)
		r.actions[m.step] = m.action
		r.results[m.step].Duration = m.took
		r.finish(ctx, m.step, m.err, Done)
	}
}

// lookedUp books a lookup: the step is done, or it has to be built as soon as its files are there.
func (r *run) lookedUp(ctx context.Context, m message) {
	r.actions[m.step] = m.action
	if m.err != nil || m.hit {
		r.results[m.step].Duration = m.took
		r.finish(ctx, m.step, m.err, Cached)
		return
	}
	switch r.files[m.step] {
	case fetchDone:
		heap.Push(&r.ready, m.step)
	case fetchFailed:
		r.finish(ctx, m.step, r.fetchErrs[m.step], Done)
		return
	}
	r.missed(m.step)
}

// missed marks step i as one that is built and has its files fetched, and those of all that needs it: it is likely
// that they will be built as well, and a transfer that waits for the compiler to end is time lost.
func (r *run) missed(i int) {
	r.results[i].missed = true
	todo := []int{i}
	seen := map[int]bool{}
	for len(todo) > 0 {
		d := todo[0]
		todo = todo[1:]
		if seen[d] {
			continue
		}
		seen[d] = true
		if r.files[d] == fetchUnwanted {
			r.files[d] = fetchWanted
			heap.Push(&r.toFetch, d)
		}
		todo = append(todo, r.dependants[d]...)
	}
}

// fetched books the end of a fetch. A failed one fails its step only when the step turns out to need the files.
func (r *run) fetched(ctx context.Context, m message) {
	r.files[m.step] = fetchDone
	if m.err != nil {
		r.files[m.step], r.fetchErrs[m.step] = fetchFailed, m.err
	}
	res := r.results[m.step]
	if res.Status != 0 || !res.missed || r.fatal != nil {
		return
	}
	if m.err != nil {
		r.finish(ctx, m.step, m.err, Done)
		return
	}
	heap.Push(&r.ready, m.step)
}

// finish settles a step that ended with err, or else with the given status, and lets those go on that waited for it.
func (r *run) finish(ctx context.Context, i int, err error, status Status) {
	switch {
	case err == nil:
		r.settle(i, status, nil)
		for _, d := range r.dependants[i] {
			r.waits[d]--
			if r.waits[d] == 0 && r.results[d].Status == 0 {
				heap.Push(&r.toLookUp, d)
			}
		}
	case ctx.Err() != nil:
		r.settle(i, Cancelled, err)
	default:
		r.settle(i, Failed, err)
		r.skipDependants(i, r.results[i].ID)
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
	case Cached:
		e.Kind = progress.StepCached
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
			res.Status, res.Err = Cancelled, cmp.Or(context.Cause(ctx), r.fatal)
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
	case r.fatal != nil:
		return rep, r.fatal
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
