// One run: a goroutine that reports events to the scheduler and starts what it decides.

package executor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// limits bound the jobs that run beside the builds. Lookups hash inputs and may copy outputs from
// the store; the limit of fetches is about open transfers, not about this machine.
var limits = scheduler.Limits{Lookups: 8, Fetches: 8, Places: 4}

// heartbeat is the longest silence between two events of steps.
const heartbeat = 10 * time.Second

// grace is how long a cancelled run waits for its builds to stop.
const grace = 10 * time.Second

// run is one call of Run. Only the goroutine in loop touches it, so it needs no locks.
type run struct {
	plan     plan.Plan
	o        Options
	staging  *builddir.Staging
	machine  *scheduler.Machine
	budget   *retryBudget
	begin    time.Time
	steps    []stepWork
	made     *ledger // by the steps that ended well; workers read the entries of the steps they use
	jobs     []job   // running jobs, oldest first
	messages chan message
	rest     remainder
}

// stepWork is the state of one step in a run.
type stepWork struct {
	action    action             // once it was looked up
	stopFetch context.CancelFunc // stops the fetch of its files; without effect once that has ended
	began     time.Time          // when its build began; zero if none runs
}

// job is the work of one goroutine.
type job struct {
	kind scheduler.DecisionKind
	step int
}

// message is what a goroutine sends when its job has ended.
type message struct {
	job
	event  scheduler.Event
	action action // of a lookup or a build
}

// Steps returns the steps of a plan for the scheduler. If cost is nil all steps cost the same, and
// if wanted is nil the outputs of all are wanted.
func Steps(
	p plan.Plan, cost func(plan.Step) time.Duration, wanted func(plan.Step) bool,
) []scheduler.Step {
	steps := make([]scheduler.Step, len(p.Steps))
	for i, s := range p.Steps {
		steps[i] = scheduler.Step{
			After: s.Waits, Uses: s.Uses.All(), Files: s.Fetches(),
			Wanted: wanted == nil || wanted(s), Cost: time.Second,
		}
		if cost != nil {
			steps[i].Cost = cost(s)
		}
	}
	return steps
}

func newRun(p plan.Plan, o Options, staging *builddir.Staging) *run {
	n := len(p.Steps)
	r := &run{
		plan: p, o: o, staging: staging, begin: o.now(), budget: newRetryBudget(n),
		steps: make([]stepWork, n), made: newLedger(p),
		// Each step has a fetch and at most one other job. There is room for all messages, so that
		// a goroutine that is no longer waited for can still end.
		messages: make(chan message, 2*n+1),
	}
	limits := limits
	if o.Prepare == nil {
		limits.Builds, r.rest.jobs = o.Jobs, o.Jobs
		r.budget.cover(o.Jobs)
	}
	r.machine = scheduler.New(Steps(p, o.cost, o.Wanted), limits)
	return r
}

// loop runs until every step has ended, or until ctx is cancelled and all started jobs have ended.
func (r *run) loop(ctx context.Context) {
	r.emit(progress.Event{Kind: progress.PlanReady, Plan: r.o.planned(r.plan)}, 0)
	r.tell(ctx, scheduler.Event{Kind: scheduler.Begin})
	silence := time.NewTimer(heartbeat)
	defer silence.Stop()
	cancelled := ctx.Done()
	var graceOver <-chan time.Time
	for !r.machine.Over() {
		select {
		case m := <-r.messages:
			r.receive(ctx, m)
			silence.Reset(heartbeat)
		case <-silence.C:
			r.beat()
			silence.Reset(heartbeat)
		case <-cancelled:
			cancelled = nil // seen; from now on only wait for running jobs
			r.tell(ctx, scheduler.Event{Kind: scheduler.Cancel})
			graceOver = time.After(grace)
		case <-graceOver:
			r.jobs = nil
			r.tell(ctx, scheduler.Event{
				Kind: scheduler.Abandoned,
				Err:  fmt.Errorf("did not stop within %v: %w", grace, context.Cause(ctx)),
			})
		}
	}
}

// tell reports an event to the scheduler and starts what it decides. It reports a cancellation
// first: whatever fails after that failed because of it.
func (r *run) tell(ctx context.Context, e scheduler.Event) {
	if ctx.Err() != nil && e.Kind != scheduler.Cancel {
		r.tell(ctx, scheduler.Event{Kind: scheduler.Cancel})
	}
	for _, d := range r.machine.Handle(e) {
		switch d.Kind {
		case scheduler.Ended:
			r.ended(d)
		case scheduler.StopFetch:
			r.steps[d.Step].stopFetch()
		default:
			r.launch(ctx, job{d.Kind, d.Step})
		}
	}
}

// launch starts a job.
func (r *run) launch(ctx context.Context, j job) {
	r.jobs = append(r.jobs, j)
	var do func(ctx context.Context) message
	switch w := r.worker(j.step); j.kind {
	case scheduler.LookUp:
		do = w.lookUpJob
	case scheduler.Fetch:
		ctx, r.steps[j.step].stopFetch = context.WithCancel(ctx)
		do = w.fetchJob
	case scheduler.Place:
		do = w.placeJob
	case scheduler.Prepare:
		do = r.prepareJob()
	case scheduler.Build:
		r.steps[j.step].began = r.o.now()
		r.emit(progress.Event{Kind: progress.StepStart, Step: w.step.ID}, r.machine.Ended())
		do = w.buildJob
	}
	begin := r.o.now()
	go func() {
		m := do(ctx)
		m.job, m.event.Step, m.event.Took = j, j.step, r.o.now().Sub(begin)
		r.messages <- m
	}()
}

// worker returns what a goroutine needs to work on step i.
func (r *run) worker(i int) worker {
	return worker{
		o: r.o, staging: r.staging, plan: r.plan, step: r.plan.Steps[i],
		action: r.steps[i].action, made: r.made, budget: r.budget,
	}
}

func (w worker) lookUpJob(ctx context.Context) message {
	act, found, err := w.lookUp(ctx)
	e := scheduler.Event{Kind: scheduler.LookedUp, Found: found, Err: err}
	return message{event: e, action: act}
}

func (w worker) fetchJob(ctx context.Context) message {
	err := w.o.Fetch(ctx, w.step)
	return message{event: scheduler.Event{Kind: scheduler.Fetched, Err: err}}
}

func (w worker) placeJob(ctx context.Context) message {
	err := w.place(ctx)
	return message{event: scheduler.Event{Kind: scheduler.Placed, Found: scheduler.Here, Err: err}}
}

func (w worker) buildJob(ctx context.Context) message {
	w.tellReasons()
	act, err := w.do(ctx)
	e := scheduler.Event{Kind: scheduler.Finished, Err: err, Fatal: errkind.Is[*GoneError](err)}
	return message{event: e, action: act}
}

func (r *run) prepareJob() func(context.Context) message {
	var pending []plan.Step
	for i, s := range r.plan.Steps {
		if r.machine.Result(i).Status == 0 {
			pending = append(pending, s)
		}
	}
	return func(ctx context.Context) message {
		jobs, err := r.o.Prepare(ctx, pending)
		return message{event: scheduler.Event{Kind: scheduler.Prepared,
			Jobs: cmp.Or(r.o.Jobs, max(jobs, 1)), Err: err}}
	}
}

// receive records the result of a job and reports it to the scheduler.
func (r *run) receive(ctx context.Context, m message) {
	at := slices.Index(r.jobs, m.job)
	r.jobs = slices.Delete(r.jobs, at, at+1)
	step := &r.steps[m.step]
	switch m.kind {
	case scheduler.LookUp, scheduler.Build:
		step.action, step.began = m.action, time.Time{}
	case scheduler.Fetch:
		step.stopFetch()
	case scheduler.Prepare:
		r.budget.cover(m.event.Jobs)
		r.rest.jobs = m.event.Jobs
	case scheduler.Place:
		// Only if the remote cache is to blame can the step be built instead.
		err := m.event.Err
		remote := err != nil && ctx.Err() == nil && !errkind.Is[*builddir.HostError](err)
		if remote && r.machine.Awaited(m.step) {
			m.event.Found, m.event.Err = scheduler.Missing, r.worker(m.step).unplaced(err)
		}
	}
	r.tell(ctx, m.event)
}

// ended records that a step has ended and reports it to the sink.
func (r *run) ended(d scheduler.Decision) {
	res := r.result(d.Step)
	e := progress.Event{Step: res.ID, Duration: res.Duration, Err: res.Err}
	switch res.Status {
	case scheduler.Done, scheduler.Cached:
		e.Kind = progress.StepDone
		act := r.steps[d.Step].action
		e.Text, e.Bytes = act.key(), act.outputs.bytes()
		if res.Status == scheduler.Cached {
			e.Kind, e.Duration = progress.StepCached, act.took
		}
		if r.made.made[d.Step] != nil { // it has ended again: running jobs keep reading the old ledger
			// A clone starts without digests, so one serves all steps that were sent back. Those that
			// failed after they had ended stay: the outputs of steps above may yet be placed.
			r.made = r.made.clone(func(i int) bool { return r.machine.Result(i).Status == 0 })
		}
		r.made.made[d.Step] = r.steps[d.Step].action.outputs
	case scheduler.Failed:
		e.Kind = progress.StepFailed
	case scheduler.Skipped:
		e.Kind, e.Text = progress.StepSkipped, res.Root
	case scheduler.Cancelled:
		e.Kind = progress.StepCancelled
	}
	r.emit(e, d.Done)
}

// beat reports that the run is alive.
func (r *run) beat() {
	e := progress.Event{Kind: progress.Heartbeat}
	for _, kind := range []scheduler.DecisionKind{scheduler.Fetch, scheduler.Place} {
		e.Running = append(e.Running, r.runs(kind)...)
	}
	switch {
	case r.machine.Preparing(): // an SDK image may be on its way
		e.Text = "making the engine ready"
	case len(e.Running) == 0 && len(r.runs(scheduler.Build)) == 0:
		e.Text = "looking for results"
	}
	r.emit(e, r.machine.Ended())
}

// runs returns the IDs of the steps that have a job of a kind, the longest running first.
func (r *run) runs(kind scheduler.DecisionKind) (ids []string) {
	for _, j := range r.jobs {
		if j.kind == kind {
			ids = append(ids, r.plan.Steps[j.step].ID)
		}
	}
	return ids
}

// emit completes an event with the time and the state of the run, and sends it.
func (r *run) emit(e progress.Event, done int) {
	e.Time = r.o.now()
	e.Done, e.Total = done, len(r.plan.Steps)
	e.Running = append(r.runs(scheduler.Build), e.Running...)
	switch e.Kind {
	case progress.StepStart, progress.StepDone, progress.StepFailed, progress.Heartbeat:
		if left := r.left(e.Time); left > 0 {
			r.o.Sink.Event(progress.Event{Time: e.Time, Kind: progress.RunForecast, Duration: left})
		}
	}
	r.o.Sink.Event(e)
}
