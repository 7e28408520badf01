// Package engine runs a plan: it schedules the steps, has their sources fetched, builds them, checks what came out and
// swaps it into place. It tells what happens through progress events and never prints.
package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// Builder does one build and leaves its outputs in the existing, empty directory out.
//
// It may report StepLog and Warning events; the engine fills in Time and Step. An error that has a method
// Transient() bool returning true means the same build may succeed when it is tried again.
// When ctx is cancelled, Build stops and returns soon.
type Builder interface {
	Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error
}

// Options says how to run a plan.
type Options struct {
	Builder Builder
	// Fetch puts a step's external files into the source store. It is called for several steps at once.
	// Nil is allowed when no step has files to fetch.
	Fetch func(ctx context.Context, step string, files []manifest.ExternalFile) error
	// Check looks at the outputs of a step in dir, before they are stored or published; its error fails the step. It is
	// called for several steps at once and may be nil.
	Check func(ctx context.Context, s plan.Step, dir string) error
	Sink  progress.Sink
	Jobs  int // builds at once; 0 means what Prepare says, or 1
	// Prepare makes the builder ready and returns how many builds it does well at once. It is called once, before the
	// first build: a run in which nothing has to be built needs no builder. Its error ends the run. It may be nil.
	Prepare func(ctx context.Context) (jobs int, err error)
	// Ready waits until the builder can be used again after a build ended with a transient error, for as long as that is
	// reasonable; its error ends the run with a *GoneError. It may be called for several steps at once, and may be nil.
	Ready func(ctx context.Context) error
	// Cache is what is known of earlier builds; nil means that every step is built.
	Cache *Cache
	// Wanted says whose outputs have to be in place at the end; those of the others are left in a remote cache when
	// nothing that is built needs them. Nil means all.
	Wanted func(plan.Step) bool
	// Staging is a directory on the same file system as every step's Out. It belongs to the engine:
	// all it holds is deleted when a run starts and when it ends.
	Staging   string
	Heartbeat time.Duration // longest silence between two step events; 0 means 10 s
	// Cost is the expected duration of a step; nil means what the Cache has recorded, or else that all cost the same.
	// The ready step with the costliest path of dependants above it is built first.
	Cost  func(plan.Step) time.Duration
	Now   func() time.Time                                 // nil means time.Now
	Sleep func(ctx context.Context, d time.Duration) error // waits before a retry; nil means a real wait

	// For tests; nil means the real thing.
	exchange func(a, b string) error // swaps two directories
	sync     func(path string) error // writes one file or directory to disk
	stage    func(name string)       // called between the stages of publishing
}

// Cache is where a run looks for results before it builds, and where it keeps them.
type Cache struct {
	Store   *cache.Store
	Memo    *cache.Memo              // hashes of files in the checkout
	State   string                   // directory with the record of each step's outputs in this checkout and architecture
	SDK     string                   // digest of the image that steps run in
	Images  map[string]string        // digests of the plan's other images, by reference
	Log     func(step string) string // path of the step's whole output, "" when there is none
	Require bool                     // fail where a step would have to be built
	Remote  *remote.Cache            // what other machines have built; nil for none
	Native  bool                     // use nothing that was not built on this machine
}

// Status is how a step ended.
type Status int

// The ways a step ends.
const (
	Done      Status = iota + 1 // built and in place
	Cached                      // in place without having been built
	Failed                      // its fetch, its build, its outputs or their publishing failed
	Skipped                     // a step it depends on failed
	Cancelled                   // the run was cancelled before the step was done
)

// String returns the status as a lower-case word.
func (s Status) String() string {
	switch s {
	case Done:
		return "done"
	case Cached:
		return "cached"
	case Failed:
		return "failed"
	case Skipped:
		return "skipped"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

// StepResult is the end of one step.
type StepResult struct {
	ID       string
	Status   Status
	Duration time.Duration // wall time from its start to its end; 0 when it was never started
	Err      error         // set when Failed or Cancelled
	Root     string        // when Skipped: ID of the failed step that is the cause
	Retries  int           // how often it was built again after a transient failure

	missed bool // looked up, and has to be built
}

// Report is the end of a run. Steps are in plan order.
type Report struct {
	Steps    []StepResult
	Duration time.Duration
}

// Run runs every step of p that can be run, at most o.Jobs at once, and publishes each step's outputs as soon as it is built.
//
// A step that fails stops only the steps that depend on it. When any failed the error is a *FailedError. When ctx
// is cancelled nothing new is started or published, the running builds are waited for (at most 10 s, should the
// engine hang), and the error wraps context.Cause(ctx).
// A *HostError means the staging directory cannot be used. The Report is complete in every one of these cases
// but the last.
func Run(ctx context.Context, p plan.Plan, o Options) (rep Report, err error) {
	o = o.withDefaults(p)
	if err := checkRequest(p, o); err != nil {
		return Report{}, err
	}
	if err := emptyDir(o.Staging); err != nil {
		return Report{}, &HostError{Doing: "empty the staging directory", Err: err}
	}
	defer func() {
		if e := emptyDir(o.Staging); e != nil {
			o.Sink.Event(progress.Event{Time: o.Now(), Kind: progress.Warning,
				Text: fmt.Sprintf("cannot empty the staging directory: %v; the next run tries again", e)})
		}
	}()
	if err := recoverOutputs(p); err != nil {
		return Report{}, err
	}
	r := newRun(p, o)
	r.loop(ctx)
	o.Cache.sweepNodes()
	return r.end(ctx)
}

func (o Options) withDefaults(p plan.Plan) Options {
	if o.Prepare == nil {
		o.Jobs = max(o.Jobs, 1)
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 10 * time.Second
	}
	if o.Cost == nil && o.Cache != nil {
		o.Cost, _ = o.Cache.Costs(p)
	}
	if o.Cost == nil {
		o.Cost = func(plan.Step) time.Duration { return time.Second }
	}
	if o.Wanted == nil {
		o.Wanted = func(plan.Step) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.exchange == nil {
		o.exchange = exchange
	}
	if o.sync == nil {
		o.sync = syncPath
	}
	if o.stage == nil {
		o.stage = func(string) {}
	}
	return o
}

// checkRequest finds the mistakes of a caller that would otherwise hang the scheduler or delete outputs.
func checkRequest(p plan.Plan, o Options) error {
	if o.Builder == nil || o.Sink == nil || o.Staging == "" {
		return errors.New("engine: Builder, Sink and Staging must be set")
	}
	staging, err := filepath.Abs(o.Staging)
	if err != nil {
		return fmt.Errorf("engine: staging directory: %w", err)
	}
	for i, s := range p.Steps {
		for _, d := range s.Waits {
			if d < 0 || d >= i {
				return fmt.Errorf("engine: step %s (%d) depends on step %d, which does not come before it", s.ID, i, d)
			}
		}
		if d := s.Uses.Last(); d >= i {
			return fmt.Errorf("engine: step %s (%d) uses step %d, which does not come before it", s.ID, i, d)
		}
		if s.Given && o.Cache == nil {
			return fmt.Errorf("engine: step %s is given but there is no cache to read its outputs with", s.ID)
		}
		if len(s.Fetch) > 0 && o.Fetch == nil {
			return fmt.Errorf("engine: step %s has files to fetch but there is no fetcher", s.ID)
		}
		out, err := filepath.Abs(s.Out)
		if err != nil || s.Out == "" {
			return fmt.Errorf("engine: step %s has no usable output directory %q", s.ID, s.Out)
		}
		if rel, err := filepath.Rel(staging, out); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("engine: step %s writes to %s inside the staging directory, which is emptied", s.ID, s.Out)
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
