// The ledger of a run in which steps are sent back.

package executor

import (
	"errors"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/scheduler"
)

// TestLedgerOfSentBackSteps checks that one new ledger serves all steps that are sent back
// together, and that it has a step that failed after it had ended: those above may yet be placed.
func TestLedgerOfSentBackSteps(t *testing.T) {
	const low, mid, high, top, lost, aboveLost, topOfLost = 0, 1, 2, 3, 4, 5, 6
	var p plan.Plan
	for _, uses := range [][]int{
		low: {}, mid: {low}, high: {low, mid}, top: {low, mid, high},
		lost: {}, aboveLost: {lost}, topOfLost: {lost, aboveLost},
	} {
		p.Steps = append(p.Steps, plan.Step{Waits: uses, Uses: graph.SetOf(uses...)})
	}
	o := Options{Sink: &buildtest.Recorder{}, Wanted: func(plan.Step) bool { return false }}
	r := newRun(p, o.withDefaults(p), nil)
	for i := range r.steps {
		r.steps[i].action.outputs = &outputs{}
	}
	ledgers := map[*ledger]bool{r.made: true}
	for _, e := range []scheduler.Event{
		{Kind: scheduler.Begin},
		{Kind: scheduler.LookedUp, Step: low, Found: scheduler.Remote},
		{Kind: scheduler.LookedUp, Step: mid, Found: scheduler.Remote},
		{Kind: scheduler.LookedUp, Step: high, Found: scheduler.Remote},
		{Kind: scheduler.LookedUp, Step: top, Found: scheduler.Missing}, // so the others are placed
		{Kind: scheduler.LookedUp, Step: lost, Found: scheduler.Remote},
		{Kind: scheduler.LookedUp, Step: aboveLost, Found: scheduler.Remote},
		{Kind: scheduler.Placed, Step: mid, Found: scheduler.Here},
		{Kind: scheduler.Placed, Step: high, Found: scheduler.Here},
		{Kind: scheduler.LookedUp, Step: topOfLost, Found: scheduler.Missing},
		{Kind: scheduler.Placed, Step: lost, Err: errors.New("no space")},
		{Kind: scheduler.Placed, Step: low, Found: scheduler.Missing}, // those above are sent back
		{Kind: scheduler.Finished, Step: low},
		{Kind: scheduler.LookedUp, Step: mid, Found: scheduler.Here},
		{Kind: scheduler.LookedUp, Step: high, Found: scheduler.Here},
		{Kind: scheduler.LookedUp, Step: top, Found: scheduler.Here},
	} {
		for _, d := range r.machine.Handle(e) {
			if d.Kind == scheduler.Ended {
				r.ended(d)
				ledgers[r.made] = true
			}
		}
	}
	if len(ledgers) != 2 {
		t.Errorf("the run had %d ledgers, want one more after steps were sent back", len(ledgers))
	}
	for i, made := range r.made.made {
		if made == nil && i != topOfLost {
			t.Errorf("the ledger does not have step %d", i)
		}
	}
}
