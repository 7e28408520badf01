// Settling: what the owner books when a lookup, a fetch or a build has ended, and what follows from it.

package engine

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"buildsys/internal/progress"
)

// receive books the end of what a goroutine did.
func (r *run) receive(ctx context.Context, m message) {
	switch m.phase {
	case phasePrepare:
		r.preparing = false
		r.prepared(m)
	case phaseLookup:
		r.lookingUp = remove(r.lookingUp, m.step)
		if r.current(m) {
			r.lookedUp(ctx, m)
		}
	case phaseFetch:
		r.fetching = remove(r.fetching, m.step)
		r.cancels[m.step] = nil
		r.fetched(ctx, m)
	case phasePlace:
		r.placing = remove(r.placing, m.step)
		if r.current(m) {
			r.placedOutputs(ctx, m)
		}
	case phaseBuild:
		r.building = remove(r.building, m.step)
		if r.current(m) {
			r.built(ctx, m)
		}
	}
}

// built books the end of a build.
func (r *run) built(ctx context.Context, m message) {
	r.actions[m.step] = m.action
	r.results[m.step].Duration = m.took
	r.results[m.step].Retries = r.budget.usedBy(r.results[m.step].ID)
	if is[*GoneError](m.err) {
		r.giveUp(m.err)
	}
	if m.err == nil {
		r.where[m.step] = placed
	}
	r.finish(ctx, m.step, m.err, Done)
}

// lookedUp books a lookup: the step is done, or what is elsewhere has to be fetched, or it has to be built as soon as its
// files are there.
func (r *run) lookedUp(ctx context.Context, m message) {
	r.actions[m.step] = m.action
	r.where[m.step] = m.where
	wanted := m.where == elsewhere && r.o.Wanted(r.plan.Steps[m.step])
	switch {
	case m.err != nil || m.where != missing && !wanted:
		r.results[m.step].Duration = m.took
		r.finish(ctx, m.step, m.err, Cached)
	case wanted:
		heap.Push(&r.toPlace, m.step)
	case r.files[m.step] == fetchFailed:
		r.finish(ctx, m.step, r.fetchErrs[m.step], Done)
	default:
		r.missed(m.step)
	}
}

// missed marks step i as one that is built and has its files fetched, and those of all that needs it: it is likely
// that they will be built as well, and a transfer that waits for the compiler to end is time lost. RPMs in a remote cache
// are fetched for step i alone: more is to be gained by not needing them than by having them early.
func (r *run) missed(i int) {
	r.results[i].missed = true
	defer r.start(i)
	for d := range r.plan.Steps[i].Uses.All() {
		if r.where[d] == elsewhere && !slices.Contains(r.placing, d) && !slices.Contains(r.toPlace.steps, d) {
			heap.Push(&r.toPlace, d)
		}
	}
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
	r.start(m.step)
}

// start hands step i to the builder, once all is there that it needs.
func (r *run) start(i int) {
	if r.results[i].Status != 0 || !r.results[i].missed || r.files[i] != fetchDone ||
		slices.Contains(r.building, i) || slices.Contains(r.ready.steps, i) {
		return
	}
	for d := range r.plan.Steps[i].Uses.All() {
		if r.where[d] == elsewhere {
			return
		}
	}
	heap.Push(&r.ready, i)
}

// finish settles a step that ended with err, or else with the given status, and lets those go on that waited for it.
func (r *run) finish(ctx context.Context, i int, err error, status Status) {
	switch {
	case err == nil:
		r.made.made[i] = r.actions[i].outputs
		r.settle(i, status, nil)
		for _, d := range r.dependants[i] {
			r.waits[d]--
			r.awaken(d)
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
		for _, i := range slices.Concat(r.fetching, r.placing) {
			e.Running = append(e.Running, r.plan.Steps[i].ID)
		}
		switch {
		case r.preparing: // which may mean that an SDK image is on its way
			e.Text = "making the engine ready"
		case len(e.Running) == 0:
			e.Text = "looking for results"
		}
	}
	r.o.Sink.Event(e)
}

func remove(s []int, v int) []int {
	i := slices.Index(s, v)
	return slices.Delete(s, i, i+1)
}
