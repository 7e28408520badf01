// Package executor runs a plan: it carries out what package scheduler decides. It looks steps up in
// the cache, fetches their sources, has a Builder build them, checks the outputs, and publishes
// them through package builddir. It reports through progress events and never prints.
package executor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/objects"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// Builder does one build and leaves its outputs in the existing, empty directory out.
//
// It may report StepEngine, StepLog and Warning events; the executor fills in Time and Step. If the
// error has a method Transient() bool that returns true, the same build may succeed when tried
// again. When ctx is cancelled, Build stops and returns soon.
type Builder interface {
	Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error
}

// Options are the settings of a run.
type Options struct {
	Builder Builder
	// Fetch puts what a step needs from elsewhere into the cache directory. It is called for several
	// steps at once. Nil is allowed when no step has anything to fetch.
	Fetch func(ctx context.Context, s plan.Step) error
	// Complete adds to the outputs of a step in dir what is made of its inputs on this machine; its
	// error fails the step. It is called for several steps at once and may be nil.
	Complete func(ctx context.Context, s plan.Solve, step plan.Step, dir string) error
	// Check examines the outputs of a step in dir before they are stored or published; its error
	// fails the step. It is called for several steps at once and may be nil.
	Check func(ctx context.Context, s plan.Step, dir string) error
	Sink  progress.Sink
	Jobs  int // builds at once; 0 means what Prepare says, or 1
	// Prepare makes the builder ready and returns how many builds it can run well at once. It is
	// called once, before the first build: a run in which nothing has to be built needs no builder.
	// pending are the steps that have not ended then. Its error ends the run. It may be nil.
	Prepare func(ctx context.Context, pending []plan.Step) (jobs int, err error)
	// Ready waits until the builder can be used again after a build ended with a transient error,
	// for as long as that is reasonable; its error ends the run with a *GoneError. It may be called
	// for several steps at once, and may be nil.
	Ready func(ctx context.Context) error
	// Cache holds the results of earlier builds; nil means that every step is built.
	Cache *Cache
	// Wanted reports whether a step's outputs must be in place at the end; those of other steps
	// stay in a remote cache unless a build needs them. Nil means all steps.
	Wanted func(plan.Step) bool
	// StepTime is how long one attempt of a step may take; 0 means no limit.
	StepTime time.Duration
	Places

	// Only tests set the rest. Without an estimate it is what the Cache has recorded. The executor
	// first builds the ready step with the costliest path of dependants above it.
	estimate
	clock
	hooks builddir.Hooks
}

// clock is the time as a run sees it.
type clock struct {
	now   func() time.Time
	sleep func(ctx context.Context, d time.Duration) error // before a retry
}

// Cache is where a run looks for results before it builds, and where it keeps new ones.
type Cache struct {
	Store   *cache.Store
	Memo    *cache.Memo              // hashes of files in the checkout
	State   string                   // directory with the records of the outputs in the checkout
	Nodes   cache.Nodes              // what the digests of packages in those records stand for
	SDK     string                   // digest of the image that the steps run in
	Images  map[string]string        // digests of the plan's other images, by reference
	Log     func(step string) string // path of the step's whole output, "" when there is none
	Require bool                     // fail where a step would have to be built
	Remote  *remote.Cache            // results of other machines; nil for none
	Objects *objects.Use             // what compilers made in earlier steps; nil for nothing
	// Guess says how long a step may take that was never built here, or 0; it may be nil. Only the
	// order of builds depends on it.
	Guess func(plan.Step) time.Duration
	// Maker returns what builds here, to be noted with results; nil for nothing to note.
	Maker func() cache.Maker
	// Trusts reports whether the run may use what came from a remote cache, also what an earlier run
	// took from it. If Trusts is nil it may use only what was built on this machine.
	Trusts func(origin string) bool

	distrusted sync.Map // places from which a result was not used
}

// trusts reports whether an entry may be used, and warns of the first one from each place that may
// not: the step is then built again, which somebody may wonder about.
func (w worker) trusts(e cache.Entry) bool {
	c := w.o.Cache
	switch {
	case e.Origin == "", e.Origin == cache.FromObjects && c.Trusts != nil:
		return true
	case c.Trusts == nil:
		return false
	case c.Trusts(e.Origin):
		return true
	}
	// A forecast has no sink.
	if _, told := c.distrusted.LoadOrStore(e.Origin, true); !told && w.o.Sink != nil {
		w.warn(fmt.Sprintf("a result from %s is not used, because this run takes none from there "+
			"(--cache-from): it is built here", e.Origin))
	}
	return false
}

// Run runs every step of p that can be run, at most o.Jobs at once, and publishes each step's
// outputs as soon as it is built.
//
// A step that fails stops only the steps that depend on it; the error is then a *FailedError. When
// ctx is cancelled, Run starts and publishes nothing new, waits for the running builds (at most 10
// s, in case the engine hangs), and returns an error that wraps context.Cause(ctx). A
// *builddir.HostError means that the staging directory cannot be used. The Report is complete in
// all of these cases but the last.
func Run(ctx context.Context, p plan.Plan, o Options) (rep Report, err error) {
	o = o.withDefaults(p)
	if err := checkRequest(p, o); err != nil {
		return Report{}, err
	}
	staging, err := builddir.OpenStaging(o.Top, o.Staging, o.hooks)
	if err != nil {
		return Report{}, err
	}
	defer func() {
		if e := staging.Close(); e != nil {
			o.Sink.Event(progress.Event{Time: o.now(), Kind: progress.Warning,
				Text: fmt.Sprintf("cannot empty the staging directory: %v; the next run tries again", e)})
		}
	}()
	for _, s := range p.Steps {
		if s.Given { // another process may be writing it
			continue
		}
		if err := staging.Recover(outputsOf(s)); err != nil {
			return Report{}, err
		}
	}
	o.Cache.sweepNodes(o.now())
	r := newRun(p, o, staging)
	r.loop(ctx)
	return r.end(ctx)
}

func (o Options) withDefaults(p plan.Plan) Options {
	if o.Prepare == nil {
		o.Jobs = max(o.Jobs, 1)
	}
	if o.cost == nil && o.Cache != nil {
		o.estimate = o.Cache.estimate(p)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
	return o
}

// Places is where a run works.
type Places struct {
	// Staging is a directory on the same file system as every step's Out. It belongs to the run:
	// everything in it is deleted when a run starts and when it ends.
	Staging string
	// Top is the checkout, below which no link is followed to Staging or to outputs; "" is no limit.
	Top string
}

// checkRequest finds mistakes of the caller that would hang the run or delete outputs.
func checkRequest(p plan.Plan, o Options) error {
	if o.Builder == nil || o.Sink == nil || o.Staging == "" {
		return errors.New("executor: Builder, Sink and Staging must be set")
	}
	staging, err := filepath.Abs(o.Staging)
	if err != nil {
		return fmt.Errorf("executor: staging directory: %w", err)
	}
	for i, s := range p.Steps {
		for _, d := range s.Waits {
			if d < 0 || d >= i {
				return fmt.Errorf("executor: step %s (%d) depends on step %d, "+
					"which does not come before it", s.ID, i, d)
			}
		}
		if d := s.Uses.Last(); d >= i {
			return fmt.Errorf("executor: step %s (%d) uses step %d, "+
				"which does not come before it", s.ID, i, d)
		}
		if s.Given && o.Cache == nil {
			return fmt.Errorf("executor: step %s is given, but there is no cache "+
				"to read its outputs with", s.ID)
		}
		if s.Fetches() && o.Fetch == nil {
			return fmt.Errorf("executor: step %s has files to fetch, but Fetch is nil", s.ID)
		}
		out, err := filepath.Abs(s.Out)
		if err != nil || s.Out == "" {
			return fmt.Errorf("executor: step %s has no usable output directory %q", s.ID, s.Out)
		}
		if rel, err := filepath.Rel(staging, out); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("executor: step %s writes to %s inside the staging directory, "+
				"which is emptied", s.ID, s.Out)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
