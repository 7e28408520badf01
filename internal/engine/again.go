// Again: what follows when outputs that were known could not be had: their step is built, and what relied on them is
// looked up once more.

package engine

import (
	"container/heap"
	"context"
	"fmt"
	"slices"

	"buildsys/internal/builddir"
)

// placedOutputs books that outputs were fetched from a remote cache, or could not be.
func (r *run) placedOutputs(ctx context.Context, m message) {
	i := m.step
	settled := r.results[i].Status != 0
	switch {
	case m.err == nil:
		r.where[i] = placed
		if !settled {
			r.results[i].Duration = m.took
			r.finish(ctx, i, nil, Cached)
		}
		for _, d := range r.dependants[i] {
			r.start(d)
		}
	case ctx.Err() != nil || is[*builddir.HostError](m.err):
		r.unsettle(i)
		r.finish(ctx, i, m.err, Cached)
	default:
		w := r.worker(i)
		w.warn(fmt.Sprintf("its outputs cannot be taken from the remote cache: %v; it is built", m.err))
		w.o.Cache.Store.Forget(r.actions[i].id)
		r.where[i] = missing
		if settled {
			r.unsettle(i)
			r.sendBack(i)
		}
		if err := w.mayBuild(r.actions[i]); err != nil {
			r.finish(ctx, i, err, Done)
		} else if r.files[i] == fetchFailed {
			r.finish(ctx, i, r.fetchErrs[i], Done)
		} else {
			r.missed(i)
		}
	}
}

// unsettle takes back that step i is done.
func (r *run) unsettle(i int) {
	if res := &r.results[i]; res.Status == Cached || res.Status == Done {
		res.Status = 0
		r.settled--
	}
}

// sendBack has everything that needs step i, directly or not, looked up again once step i is done: it may come out
// differently, and then their keys are others.
func (r *run) sendBack(i int) {
	var above []int
	seen := map[int]bool{}
	todo := slices.Clone(r.dependants[i])
	for len(todo) > 0 {
		d := todo[0]
		todo = todo[1:]
		if seen[d] {
			continue
		}
		seen[d] = true
		above = append(above, d)
		todo = append(todo, r.dependants[d]...)
	}
	r.made = slices.Clone(r.made) // lookups that go on read the old one
	for _, d := range above {
		if s := r.results[d].Status; s == Failed || s == Skipped || s == Cancelled {
			continue
		}
		r.unsettle(d)
		r.rounds[d]++
		r.results[d].missed = false
		r.where[d] = missing
		for _, h := range []*readyHeap{&r.toLookUp, &r.ready, &r.toPlace} {
			if at := slices.Index(h.steps, d); at >= 0 {
				heap.Remove(h, at)
			}
		}
	}
	for _, d := range above {
		r.waits[d] = 0
		for _, need := range r.plan.Steps[d].Deps {
			if r.results[need].Status == 0 {
				r.waits[d]++
			}
		}
	}
}

// current says whether what a goroutine did still counts. When its step was sent back meanwhile, it does not; the step is
// then looked up again, now that nobody else works on it.
func (r *run) current(m message) bool {
	if m.round == r.rounds[m.step] {
		return true
	}
	r.awaken(m.step)
	return false
}

// awaken has step i looked up when it waits for nothing more.
func (r *run) awaken(i int) {
	if r.waits[i] > 0 || r.results[i].Status != 0 || r.busy(i) {
		return
	}
	heap.Push(&r.toLookUp, i)
}

// busy says whether a goroutine works on the outputs of step i.
func (r *run) busy(i int) bool {
	return slices.Contains(r.lookingUp, i) || slices.Contains(r.placing, i) || slices.Contains(r.building, i)
}
