// Forecast: what a run would do and why, without building, restoring or writing anything.

package executor

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// Outlook is what a run would do about a step.
type Outlook string

// The outlooks.
const (
	UpToDate Outlook = "up to date"
	Restore  Outlook = "restore"   // from the store
	Remote   Outlook = "remote"    // a remote cache has it; fetched only if a build needs it
	Build    Outlook = "build"     // no outputs are known for its inputs
	MayBuild Outlook = "may build" // after a step that is built, unless it has the same bytes
)

// Forecast is the outlook of one step.
type Forecast struct {
	Step    plan.Step
	Outlook Outlook
	// Changes are the inputs that differ from those that the outputs in the checkout were made
	// from. For MayBuild they do not include dependencies that are not known yet.
	Changes []cache.Change
	// Last are the inputs that differed when the outputs in the checkout were built. Only the last
	// step has them, and only if it is UpToDate.
	Last  []cache.Change
	First bool // there is no record of an earlier build in this checkout
	After After
	took  func() time.Duration
}

// After holds the dependencies of a step that are built or may be built. A large tree has many, so
// their names are computed only on request.
type After struct {
	plan  plan.Plan
	steps graph.Set
}

// Len returns the number of dependencies.
func (a After) Len() int { return a.steps.Len() }

// Names returns their names in plan order.
func (a After) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range a.steps.All() {
			if !yield(progress.Name(a.plan.Steps[i].ID)) {
				return
			}
		}
	}
}

// has reports whether c is a change in the outputs of one of them. names maps step IDs to indexes.
func (a After) has(c cache.Change, names map[string]int) bool {
	kind := plan.Package
	switch c.Label {
	case "modules", string(plan.KmodKit):
		kind = plan.Kind(c.Label)
	case "packages": // nothing tells which
		return a.Len() > 0
	case "rpms":
	default:
		return false
	}
	i, ok := names[string(kind)+"/"+c.Name]
	return ok && a.steps.Has(i)
}

// Took returns how long the step took when it was last built, in any checkout; 0 if that is
// unknown.
func (f Forecast) Took() time.Duration { return f.took() }

// Foresee returns the outlook of every step of p, in plan order. It asks the remote caches of c,
// unless an earlier run noted their answer. The error is a *builddir.HostError if an input cannot
// be read.
func Foresee(ctx context.Context, p plan.Plan, c *Cache) ([]Forecast, error) {
	out := make([]Forecast, len(p.Steps))
	made := newLedger(p)
	names := make(map[string]int, len(p.Steps))
	for i, s := range p.Steps {
		names[s.ID] = i
	}
	var mu sync.Mutex
	var pending graph.Set // steps that are built or may be built
	foresee := func(i int) (err error) {
		s := p.Steps[i]
		mu.Lock()
		after := After{plan: p, steps: s.Uses.Intersection(pending)}
		mu.Unlock()
		w := worker{o: Options{Cache: c}, plan: p, step: s, made: made}
		out[i], made.made[i], err = w.foresee(ctx, after, names)
		if o := out[i].Outlook; o == Build || o == MayBuild {
			mu.Lock()
			pending = pending.Union(graph.SetOf(i))
			mu.Unlock()
		}
		out[i].took = func() time.Duration { // rarely asked for a step that is up to date
			took, _ := c.took(s.ID, p.Arch)
			return took
		}
		return err
	}
	if err := lookAhead(p, foresee); err != nil {
		return nil, err
	}
	if last := len(out) - 1; last >= 0 && out[last].Outlook == UpToDate {
		state, _ := builddir.ReadState(c.State, p.Steps[last].ID)
		if state.Previous != "" {
			w := worker{o: Options{Cache: c}}
			out[last].Last = w.explain(state.Previous, state.Transcript)
		}
	}
	return out, nil
}

// lookAhead visits the steps in the scheduler's order of lookups, for a run in which each lookup
// finds the outputs.
func lookAhead(p plan.Plan, foresee func(i int) error) (err error) {
	m := scheduler.New(Steps(p, nil, nil), limits)
	ends := make(chan scheduler.Event)
	todo := m.Handle(scheduler.Event{Kind: scheduler.Begin})
	for !m.Over() {
		for _, d := range todo {
			if d.Kind == scheduler.LookUp {
				go func() {
					ends <- scheduler.Event{
						Kind: scheduler.LookedUp, Step: d.Step, Found: scheduler.Here,
						Err: foresee(d.Step),
					}
				}()
			}
		}
		e := <-ends
		if e.Err != nil {
			err = cmp.Or(err, e.Err)
			m.Handle(scheduler.Event{Kind: scheduler.Cancel})
		}
		todo = m.Handle(e)
	}
	return err
}

// foresee returns the outlook of the step and its outputs. Where the outputs are unknown it assumes
// those on record: then the steps above differ from their own records only in other changes.
func (w worker) foresee(ctx context.Context, after After, names map[string]int) (
	Forecast, *outputs, error) {
	f := Forecast{Step: w.step, After: after}
	state, known := builddir.ReadStateHead(w.o.Cache.State, w.step.ID)
	unknown := newOutputs(w.step.Name, state.Content, nil)
	act, err := w.key(state.Action)
	if err != nil {
		return f, unknown, err
	}
	f.First = !known
	// Equal actions have equal transcripts, and comparing those of a large tree takes long.
	if known && state.Action != act.id {
		f.Changes = slices.DeleteFunc(w.changes(act), func(c cache.Change) bool {
			return after.has(c, names)
		})
	}
	if after.Len() > 0 {
		f.Outlook = MayBuild
		if len(f.Changes) > 0 { // whatever the outputs of the dependencies turn out to be
			f.Outlook = Build
		}
		return f, unknown, nil
	}
	if known && state.Action == act.id {
		_, vouched := w.vouched(state)
		if made, ok := w.inPlace(state.Content); ok && vouched {
			f.Outlook = UpToDate
			return f, made, nil
		}
	}
	f.Outlook = Build
	entry, ok := w.stored(act.id)
	if ok {
		f.Outlook = Restore
	} else if entry, _, ok = w.ask(ctx, act); ok {
		f.Outlook = Remote
	}
	if _, there := w.inPlace(entry.Content); ok && there {
		f.Outlook = UpToDate
	}
	return f, newOutputs(w.step.Name, entry.Content, entry.Files), nil
}

// took returns how long a step took when it was last built, in any checkout.
func (c *Cache) took(step, arch string) (time.Duration, bool) {
	if c.Store == nil {
		return 0, false
	}
	return c.Store.Took(storedName(step, arch))
}

// storedName returns the name of a step in the store, which architectures share.
func storedName(step, arch string) string { return step + " " + arch }
