// One step: build into staging, check the outputs, publish them.

package executor

import (
	"context"
	"fmt"
	"maps"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// worker works on one step, mostly in its own goroutine. What it shares with the run is safe for
// that: of the ledger it reads only the entries of steps that had ended.
type worker struct {
	o       Options
	staging *builddir.Staging
	plan    plan.Plan
	step    plan.Step
	action  action  // once it was looked up
	made    *ledger // of the plan; it has the steps that this one uses
	budget  *retryBudget
}

// outputsOf describes where the outputs of a step belong, and what they may be.
func outputsOf(s plan.Step) builddir.Outputs {
	return builddir.Outputs{
		Step: s.ID, Dir: s.Out, Link: s.Link,
		RPMs:  s.Kind == plan.Package || s.Kind == plan.Kit,
		Links: s.Kind == plan.Variant || s.Kind == plan.Repack,
	}
}

// attempt builds, checks, stores and publishes the step once.
func (w worker) attempt(ctx context.Context) (act action, err error) {
	act = w.action
	err = w.staging.Use(w.step.ID, func(dir string) error {
		begin := w.o.now()
		origin, err := w.build(ctx, dir)
		if err != nil {
			return err
		}
		took := w.o.now().Sub(begin)
		if ctx.Err() != nil { // a cancelled run changes no outputs
			return context.Cause(ctx)
		}
		w.staging.Stage("built")
		if err := w.check(ctx, dir); err != nil {
			return err
		}
		if w.o.Complete != nil { // what it reads is checked
			if err := w.o.Complete(ctx, w.plan.SolveOf(w.step), w.step, dir); err != nil {
				return err
			}
		}
		w.staging.Stage("checked")
		if w.o.Cache == nil {
			return w.staging.Publish(outputsOf(w.step), dir)
		}
		act, err = w.keep(dir, took, origin)
		return err
	})
	return act, err
}

// check refuses outputs in dir that must not be stored or published.
func (w worker) check(ctx context.Context, dir string) error {
	err := outputsOf(w.step).Check(dir)
	if err == nil && w.o.Check != nil {
		err = w.o.Check(ctx, w.step, dir)
	}
	return err
}

// solve returns the step's build, with the action ID if the build wants it.
func (w worker) solve() plan.Solve {
	s := w.plan.SolveOf(w.step)
	if s.KeyArg != "" {
		s.Args = maps.Clone(s.Args)
		s.Args[s.KeyArg] = w.action.id.String()
	}
	return s
}

// keep stores the outputs in dir, puts them in place and records what they were made from, in this
// order: if a kill interrupts it, the next run finds the outputs in the store or builds them again.
func (w worker) keep(dir string, took time.Duration, origin string) (action, error) {
	act := w.action
	if err := w.checkUnchanged(); err != nil {
		return act, err
	}
	files, content, err := cache.ScanDir(dir)
	if err != nil {
		return act, &builddir.HostError{Step: w.step.ID, Doing: "hash the outputs", Err: err}
	}
	act.outputs = newOutputs(w.step.Name, content, files)
	synced := make(chan error, 1)
	// In parallel with the store's copy: the disk takes hardly longer for both.
	go func() { synced <- w.staging.Sync(dir) }()
	entry := cache.Entry{
		Action: act.id, Step: storedName(w.step.ID, w.plan.Arch), Transcript: act.transcript, Took: took,
		Origin: origin,
	}
	if entry, err = w.o.Cache.Store.Put(entry, dir, w.o.Cache.Log(w.step.ID)); err == nil {
		w.share(entry)
		w.noteMaker(act.id)
	} else { // the outputs are good; only the next checkout has to build them again
		w.warn(fmt.Sprintf("the result is not kept in the store: %v", err))
	}
	w.staging.Stage("stored")
	if err := w.staging.PublishSynced(outputsOf(w.step), dir, <-synced); err != nil {
		return act, err
	}
	err = w.remember(act)
	w.staging.Stage("recorded")
	return act, err
}

// noteMaker notes what has built a result. Losing that costs a line of its provenance.
func (w worker) noteMaker(id cache.ActionID) {
	if w.o.Cache.Maker == nil {
		return
	}
	if err := w.o.Cache.Store.PutMaker(id, w.o.Cache.Maker()); err != nil {
		w.warn(fmt.Sprintf("what built the result is not noted: %v", err))
	}
}

// report hands a builder's event to the sink.
func (w worker) report(e progress.Event) {
	if e.Time.IsZero() {
		e.Time = w.o.now()
	}
	if e.Step == "" {
		e.Step = w.step.ID
	}
	w.o.Sink.Event(e)
}
