// Forecast: what a run would do and why, found out without building, restoring or writing anything.

package engine

import (
	"context"
	"iter"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/cache"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// Outlook is what a run would do with a step.
type Outlook string

// The outlooks.
const (
	UpToDate Outlook = "up to date"
	Restore  Outlook = "restore"   // from the store
	Remote   Outlook = "remote"    // a remote cache has it; fetched when something that is built needs it
	Build    Outlook = "build"     // its inputs are known, and no outputs made from them
	MayBuild Outlook = "may build" // after a step that is built, unless that gives the same bytes as before
)

// Forecast is the outlook of one step.
type Forecast struct {
	Step    plan.Step
	Outlook Outlook
	// Changes are the inputs that differ from those that the outputs in the checkout were made from. For MayBuild they
	// leave out the dependencies that are not known yet.
	Changes []cache.Change
	// Last are the inputs that differed when the outputs in the checkout were built; for the last step, when it is UpToDate.
	Last  []cache.Change
	First bool // there is no record of an earlier build in this checkout
	After After
	took  func() time.Duration
}

// After are the dependencies of a step that are built or may be. Those of a large tree are many:
// they are named to those who ask.
type After struct {
	plan  plan.Plan
	steps graph.Set
}

// Len returns how many they are.
func (a After) Len() int { return a.steps.Len() }

// Names returns their names, in the order of the plan.
func (a After) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range a.steps.All() {
			if !yield(progress.Name(a.plan.Steps[i].ID)) {
				return
			}
		}
	}
}

// has reports whether a change is in what one of them made. names are the indexes of steps by ID.
func (a After) has(c cache.Change, names map[string]int) bool {
	kind := plan.Package
	switch c.Label {
	case "modules":
		kind = plan.Modules
	case "packages": // nobody knows which
		return a.Len() > 0
	case "rpms":
	default:
		return false
	}
	i, ok := names[string(kind)+"/"+c.Name]
	return ok && a.steps.Has(i)
}

// Took returns how long the step took when it was last built, in whatever checkout; 0 when that is unknown.
func (f Forecast) Took() time.Duration { return f.took() }

// Foresee returns the outlook of every step of p, in its order. Remote caches are asked when c has some; what they said
// in earlier runs is known without. The error is a *HostError when an input cannot be read.
func Foresee(ctx context.Context, p plan.Plan, c *Cache) ([]Forecast, error) {
	out := make([]Forecast, len(p.Steps))
	made := newLedger(p)
	names := make(map[string]int, len(p.Steps))
	for i, s := range p.Steps {
		names[s.ID] = i
	}
	var pending graph.Set // the steps that are built or may be
	for _, wave := range waves(p) {
		var group errgroup.Group
		group.SetLimit(lookupJobs)
		for _, i := range wave {
			group.Go(func() (err error) {
				s := p.Steps[i]
				after := After{plan: p, steps: s.Uses.Intersection(pending)}
				w := worker{o: Options{Cache: c}, plan: p, step: s, made: made}
				out[i], made.made[i], err = w.foresee(ctx, after, names)
				out[i].took = func() time.Duration { // looked up on request: hardly anyone asks about a step that is up to date
					took, _ := c.took(s.ID, p.Arch)
					return took
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		var more []int
		for _, i := range wave {
			if o := out[i].Outlook; o == Build || o == MayBuild {
				more = append(more, i)
			}
		}
		pending = pending.Union(graph.SetOf(more...))
	}
	if last := len(out) - 1; last >= 0 && out[last].Outlook == UpToDate {
		if state, _ := ReadState(c.State, p.Steps[last].ID); state.Previous != "" {
			out[last].Last = worker{o: Options{Cache: c}}.explain(state.Previous, state.Transcript)
		}
	}
	return out, nil
}

// waves divides the steps of a plan so that each comes in a later wave than those it depends on.
func waves(p plan.Plan) [][]int {
	var all [][]int
	wave := make([]int, len(p.Steps))
	for i, s := range p.Steps {
		for _, d := range s.Waits {
			wave[i] = max(wave[i], wave[d]+1)
		}
		if wave[i] == len(all) {
			all = append(all, nil)
		}
		all[wave[i]] = append(all[wave[i]], i)
	}
	return all
}

// foresee returns the outlook of the step and what its outputs are. Where that is unknown they are
// taken to be those on record: then what is above differs from its own record only in what else has
// changed.
func (w worker) foresee(ctx context.Context, after After, names map[string]int) (
	Forecast, *outputs, error,
) {
	f := Forecast{Step: w.step, After: after}
	state, known := readStateHead(w.o.Cache.State, w.step.ID)
	unknown := newOutputs(w.step.Name, state.Content, nil)
	act, err := w.key(state.Action)
	if err != nil {
		return f, unknown, err
	}
	f.First = !known
	if known && state.Action != act.id { // equal ones have equal transcripts, and comparing those of a large tree takes long
		f.Changes = slices.DeleteFunc(w.changes(act), func(c cache.Change) bool {
			return after.has(c, names)
		})
	}
	if after.Len() > 0 {
		f.Outlook = MayBuild
		if len(f.Changes) > 0 { // whatever comes of the dependencies
			f.Outlook = Build
		}
		return f, unknown, nil
	}
	if known && state.Action == act.id && w.mayTrust(act.id) {
		if made, ok := w.inPlace(state.Content); ok {
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

// took is how long a step took when it was last built, in whatever checkout.
func (c *Cache) took(step, arch string) (time.Duration, bool) {
	return c.Store.Took(storedName(step, arch))
}

// storedName is what a step is called in the store, which other architectures share.
func storedName(step, arch string) string { return step + " " + arch }

// Costs is what earlier builds say that the steps of p take, and of how many of them it is known.
func (c *Cache) Costs(p plan.Plan) (cost func(plan.Step) time.Duration, known int) {
	recorded := map[string]time.Duration{}
	for _, s := range p.Steps {
		if took, ok := c.took(s.ID, p.Arch); ok {
			recorded[s.ID] = took
		}
	}
	return CostOf(recorded), len(recorded)
}

// CostOf is the expected duration of steps, given those of some by step ID: a step without one is expected to take the
// mean of the others, and when none has one all are equal.
func CostOf(recorded map[string]time.Duration) func(plan.Step) time.Duration {
	mean := time.Second
	if len(recorded) > 0 {
		mean = 0
		for _, took := range recorded {
			mean += took / time.Duration(len(recorded))
		}
	}
	return func(s plan.Step) time.Duration {
		if took, ok := recorded[s.ID]; ok {
			return took
		}
		return mean
	}
}
