// reasons: why a step is built, as events.

package executor

import (
	"fmt"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/progress"
)

// maxReasons bounds the reasons that are told of one step: its whole recipe may have changed.
const maxReasons = 20

// tellReasons reports why the step is built. The records that it compares are there while its
// outputs are still the old ones.
func (w worker) tellReasons() {
	for _, text := range w.reasons() {
		w.report(progress.Event{Kind: progress.StepReason, Text: text})
	}
}

func (w worker) reasons() []string {
	if w.o.Cache == nil {
		return []string{"it is built whatever is known of it"}
	}
	state, known := builddir.ReadState(w.o.Cache.State, w.step.ID)
	if !known {
		return []string{"there is no record of an earlier build in this checkout"}
	}
	if state.Action == w.action.id {
		return []string{"its outputs are gone or were changed"}
	}
	changes := w.explain(state.Transcript, w.action.transcript, w.made.source(rpmsOf(w.step)))
	var texts []string
	for i, c := range changes {
		if i == maxReasons {
			return append(texts, fmt.Sprintf("… and %d more changes", len(changes)-i))
		}
		texts = append(texts, c.String())
	}
	return texts
}

// key returns the action's ID as events have it; "" if it is not known.
func (a action) key() string {
	if a.id == (cache.ActionID{}) {
		return ""
	}
	return a.id.String()
}

// bytes returns the size of the outputs; 0 if they are not known.
func (o *outputs) bytes() (sum int64) {
	if o == nil {
		return 0
	}
	for _, f := range o.files {
		sum += f.Size
	}
	return sum
}
