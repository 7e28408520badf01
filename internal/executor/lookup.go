// Lookup: whether a step has to be built at all. Its outputs may be in place, in the store, or in a
// remote cache.

package executor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// action is one step whose inputs are known.
type action struct {
	id         cache.ActionID
	transcript string        // may be omitted if the action is the one on record
	outputs    *outputs      // once they are known
	remote     cache.Entry   // if the outputs are elsewhere
	took       time.Duration // how long the build took that made the outputs; 0 if unknown
}

// lookUp computes the step's key and looks for its outputs: in place; in the store, from which it
// puts them in place; and in the remote caches, where it leaves them.
func (w worker) lookUp(ctx context.Context) (act action, found scheduler.Found, err error) {
	if w.step.Given {
		return w.given()
	}
	if w.o.Cache == nil {
		return action{}, scheduler.Missing, nil
	}
	state, known := builddir.ReadStateHead(w.o.Cache.State, w.step.ID)
	if act, err = w.key(state.Action); err != nil {
		return act, scheduler.Missing, err
	}
	if known && state.Action == act.id {
		var ok bool
		if act.outputs, ok = w.inPlace(state.Content); ok {
			if entry, ok := w.vouched(state); ok {
				w.shareStored(act.id)
				act.took = entry.Took
				return act, scheduler.Here, nil
			}
		}
		if act, err = w.key(cache.ActionID{}); err != nil { // everything below needs the transcript
			return act, scheduler.Missing, err
		}
	}
	if entry, ok := w.stored(act.id); ok {
		act.outputs, act.took = newOutputs(w.step.Name, entry.Content, entry.Files), entry.Took
		w.share(entry)
		// The outputs may have been made from other inputs to the same bytes, or the record was
		// lost.
		if _, there := w.inPlace(entry.Content); there {
			return act, scheduler.Here, w.remember(act)
		}
		switch err := w.restore(ctx, entry); {
		case err == nil:
			return act, scheduler.Here, w.remember(act)
		case !errkind.Is[*cache.DamagedError](err):
			return act, scheduler.Missing, err
		default:
			w.report(progress.Event{Kind: progress.Warning, Text: fmt.Sprintf("%v; it is built again", err)})
		}
	}
	if act.remote, known = w.remote(ctx, act); known {
		act.outputs = newOutputs(w.step.Name, act.remote.Content, act.remote.Files)
		act.took = act.remote.Took
		if _, there := w.inPlace(act.remote.Content); there {
			return act, scheduler.Here, w.remember(act)
		}
		return act, scheduler.Remote, nil
	}
	return act, scheduler.Missing, w.mayBuild(act)
}

// given takes the outputs that another process has put in place.
func (w worker) given() (action, scheduler.Found, error) {
	files, content, err := w.o.Cache.Memo.ScanDir(w.step.Out)
	state, known := builddir.ReadStateHead(w.o.Cache.State, w.step.ID)
	if err != nil || len(files) == 0 || !known || state.Content != content {
		return action{}, scheduler.Missing, &NotThereError{Step: w.step.ID, Dir: w.step.Out}
	}
	if _, ok := w.vouched(state); !ok {
		return action{}, scheduler.Missing, &NotThereError{Step: w.step.ID, Dir: w.step.Out}
	}
	return action{outputs: newOutputs(w.step.Name, content, files)}, scheduler.Here, nil
}

// mayBuild returns an error in a run that must not build.
func (w worker) mayBuild(act action) error {
	if w.o.Cache == nil || !w.o.Cache.Require {
		return nil
	}
	_, known := builddir.ReadState(w.o.Cache.State, w.step.ID)
	return &NotCachedError{Step: w.step.ID, Changes: w.changes(act), Known: known}
}

// stored returns the store's entry of an action.
func (w worker) stored(id cache.ActionID) (cache.Entry, bool) {
	entry, ok := w.o.Cache.Store.Get(id)
	return entry, ok && w.trusts(entry)
}

// vouched returns the entry with which the store says the same of the outputs in the checkout as
// their record. A checkout can bring records and outputs along; the store has what this user's runs
// have made.
func (w worker) vouched(s builddir.State) (cache.Entry, bool) {
	entry, ok := w.o.Cache.Store.Peek(s.Action)
	if !ok {
		entry, ok = w.o.Cache.Store.Remote(s.Action)
	}
	return entry, ok && entry.Content == s.Content && w.trusts(entry)
}

// scratch holds memory for transcripts: nearly all are the ones on record, and not kept.
var scratch = sync.Pool{New: func() any { return new(cache.Transcript) }}

// key computes the step's action from the current files. It omits the transcript if the action is
// the known one.
func (w worker) key(known cache.ActionID) (action, error) {
	t := scratch.Get().(*cache.Transcript)
	defer scratch.Put(t)
	err := writeKey(t, w.step, w.plan.Arch, w.o.Cache, w.made)
	if err != nil {
		return action{}, &builddir.HostError{Step: w.step.ID, Doing: "read the inputs", Err: err}
	}
	act := action{id: t.ID()}
	if act.id != known {
		act.transcript = t.String()
	}
	return act, nil
}

// inPlace reports whether the outputs in the checkout have the wanted content. Outputs that are
// missing or cannot be read do not.
func (w worker) inPlace(want cache.ContentID) (*outputs, bool) {
	files, content, err := w.o.Cache.Memo.ScanDir(w.step.Out)
	if err == nil && content != want {
		files, content = builddir.WithoutPapers(files)
	}
	if err != nil || content != want || !outputsOf(w.step).Linked() {
		return nil, false
	}
	return newOutputs(w.step.Name, content, files), true
}

// restore puts the store's copy of the outputs in place.
func (w worker) restore(ctx context.Context, entry cache.Entry) error {
	return w.staging.Use(w.step.ID, func(dir string) error {
		if err := w.o.Cache.Store.Restore(entry, dir); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := w.staging.Publish(outputsOf(w.step), dir); err != nil {
			return err
		}
		w.report(progress.Event{Kind: progress.StepRestored})
		return nil
	})
}

// remember records what the outputs in place were made from.
func (w worker) remember(act action) error {
	w.made.keep(w.o.Cache.Nodes, rpmsOf(w.step)) // before the record that names them
	previous := ""
	if old, ok := builddir.ReadState(w.o.Cache.State, w.step.ID); ok {
		previous = old.Transcript
		if old.Action == act.id {
			previous = old.Previous
		}
	}
	err := builddir.WriteState(w.o.Top, w.o.Cache.State, w.step.ID, builddir.State{
		Action: act.id, Content: act.outputs.content, Transcript: act.transcript, Previous: previous,
	})
	if err != nil {
		doing := "record what the outputs were made from"
		return &builddir.HostError{Step: w.step.ID, Doing: doing, Err: err}
	}
	return nil
}

// changes returns the differences between what the outputs in place were made from and what they
// would be made from now.
func (w worker) changes(act action) []cache.Change {
	state, _ := builddir.ReadState(w.o.Cache.State, w.step.ID)
	return w.explain(state.Transcript, act.transcript, w.made.source(rpmsOf(w.step)))
}

// checkUnchanged returns an error if an input was edited while the step ran: a file of the checkout
// or the outputs of a dependency. The build may have seen either version.
func (w worker) checkUnchanged() error {
	seen := w
	seen.made = w.made.seats.ledger(make([]*outputs, len(w.made.made)))
	for d := range w.step.Uses.All() {
		dep := w.plan.Steps[d]
		files, content, _ := w.o.Cache.Memo.ScanDir(dep.Out) // outputs that cannot be read have changed
		seen.made.made[d] = newOutputs(dep.Name, content, files)
	}
	now, err := seen.key(w.action.id)
	if err != nil {
		return err
	}
	if now.id == w.action.id {
		return nil
	}
	set := rpmsOf(w.step)
	return &InputChangedError{Step: w.step.ID, Changes: w.explain(w.action.transcript, now.transcript,
		w.made.source(set), seen.made.source(set))}
}

// InputChangedError reports that a step's inputs were edited while it ran.
type InputChangedError struct {
	Step    string
	Changes []cache.Change
}

// Error names the inputs and what to do.
func (e *InputChangedError) Error() string {
	return fmt.Sprintf("its inputs changed while it was built (%s); "+
		"the result was not kept: run again", list(e.Changes))
}

// NotCachedError reports that a step would have to be built in a run that must not build.
type NotCachedError struct {
	Step string
	// Changes are the differences from what the checkout's outputs were made from; empty unless
	// Known.
	Changes []cache.Change
	Known   bool
}

// Error names the inputs that differ.
func (e *NotCachedError) Error() string {
	if !e.Known {
		return "it is not cached, and there is no earlier build in this checkout to compare with"
	}
	if len(e.Changes) == 0 {
		return "it is not cached: its inputs are those of the last build, but the outputs are gone"
	}
	return "it is not cached: " + list(e.Changes)
}

func list(changes []cache.Change) string {
	words := make([]string, len(changes))
	for i, c := range changes {
		words[i] = c.String()
	}
	return strings.Join(words, ", ")
}
