// The scheduler: one goroutine owns all state, starts fetches and builds, and receives their results.

package engine

import (
	"cmp"
	"container/heap"
	"context"
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
	// placeJobs is how many steps have their outputs fetched from a remote cache at once.
	placeJobs = 4
)

// grace is how long a cancelled run waits for its builds to stop.
const grace = 10 * time.Second

// run is the state of one Run. Only the goroutine in loop touches it, so there are no locks.
//
// A step passes through: waiting for its dependencies, looked up, then either done from what is known already, or missed.
// A missed step is built once its files are fetched and the outputs of its dependencies are in the checkout. Those that
// are in a remote cache are fetched only now, or when the step itself is wanted; if that fails, such a step has to be
// built after all, and all above it is looked up again.
type run struct {
	plan       plan.Plan
	o          Options
	begin      time.Time
	jobs       int     // builds at once; 0 until the builder was prepared
	dependants [][]int // per step: those that wait for it themselves, by their Waits
	waits      []int   // per step: dependencies not done
	results    []StepResult
	actions    []action             // per step, once it was looked up
	made       *ledger              // of steps once they are done; workers read what theirs use
	where      []found              // per step, once it was looked up
	rounds     []int                // per step: how often it was sent back to be looked up again
	files      []fetchState         // per step
	fetchErrs  []error              // per step, when files is fetchFailed
	cancels    []context.CancelFunc // per step: stops its fetch when a dependency failed; nil when none runs

	toLookUp  readyHeap // dependencies done
	ready     readyHeap // missed, and files there
	toFetch   readyHeap // wanted, not started
	toPlace   readyHeap // outputs needed here that are elsewhere
	lookingUp []int     // oldest first, as the next three
	fetching  []int
	placing   []int
	building  []int
	preparing bool
	fatal     error // why nothing can be built at all
	budget    *retryBudget
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
	phasePlace
	phasePrepare
	phaseBuild
)

// message is what a goroutine tells the owner when it is over.
type message struct {
	phase  phase
	step   int
	round  int    // of the step when it began
	jobs   int    // phasePrepare: builds at once
	action action // phaseLookup and phaseBuild
	where  found  // phaseLookup
	took   time.Duration
	err    error
}

func newRun(p plan.Plan, o Options) *run {
	n := len(p.Steps)
	r := &run{
		plan: p, o: o, begin: o.Now(), budget: newRetryBudget(n),
		dependants: make([][]int, n), waits: make([]int, n), results: make([]StepResult, n),
		actions: make([]action, n),
		made:    newLedger(p),
		where:   make([]found, n), rounds: make([]int, n),
		files: make([]fetchState, n), fetchErrs: make([]error, n), cancels: make([]context.CancelFunc, n),
		// Room for one of each kind from every step: a goroutine that nobody waits for any more must be able to end.
		messages: make(chan message, 4*n+1),
	}
	for i, s := range p.Steps {
		r.results[i].ID = s.ID
		for _, d := range s.Waits {
			r.dependants[d] = append(r.dependants[d], i)
		}
		if len(s.Fetch) == 0 {
			r.files[i] = fetchDone
		}
	}
	if o.Prepare == nil {
		r.jobs = o.Jobs
		r.budget.cover(r.jobs)
	}
	rank := ranks(p, r.dependants, o.Cost)
	r.toLookUp.rank, r.ready.rank, r.toFetch.rank, r.toPlace.rank = rank, rank, rank, rank
	for i, s := range p.Steps {
		r.waits[i] = len(s.Waits)
		if r.waits[i] == 0 {
			heap.Push(&r.toLookUp, i)
		}
	}
	return r
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
			r.startPlacing(ctx)
			r.startBuilds(ctx)
		}
		if len(r.lookingUp)+len(r.fetching)+len(r.placing)+len(r.building) == 0 && !r.preparing {
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
		w, round := r.worker(i), r.rounds[i]
		go func() {
			begin := w.o.Now()
			act, where, err := w.lookUp(ctx)
			r.messages <- message{phase: phaseLookup, step: i, round: round, action: act, where: where, took: w.o.Now().Sub(begin), err: err}
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

func (r *run) startPlacing(ctx context.Context) {
	for len(r.placing) < placeJobs && r.toPlace.Len() > 0 {
		i := heap.Pop(&r.toPlace).(int)
		r.placing = append(r.placing, i)
		w, round := r.worker(i), r.rounds[i]
		go func() {
			begin := w.o.Now()
			err := w.place(ctx)
			r.messages <- message{phase: phasePlace, step: i, round: round, took: w.o.Now().Sub(begin), err: err}
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
		w, round := r.worker(i), r.rounds[i]
		go func() {
			begin := w.o.Now()
			act, err := w.do(ctx)
			r.messages <- message{phase: phaseBuild, step: i, round: round, action: act, took: w.o.Now().Sub(begin), err: err}
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
	r.budget.cover(r.jobs)
	if m.err != nil {
		r.giveUp(m.err)
	}
}

// giveUp stops all that is under way for builds, because there will be none.
func (r *run) giveUp(err error) {
	r.fatal = cmp.Or(r.fatal, err)
	for _, cancel := range r.cancels {
		if cancel != nil {
			cancel()
		}
	}
}

// worker is what a goroutine gets to work on step i with.
func (r *run) worker(i int) worker {
	return worker{o: r.o, plan: r.plan, step: r.plan.Steps[i], action: r.actions[i], made: r.made, budget: r.budget}
}
