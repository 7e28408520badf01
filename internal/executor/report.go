// The report of a run: how each step ended, and the error of the run.

package executor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// StepResult is the end of one step.
type StepResult struct {
	ID       string
	Status   scheduler.Status
	Duration time.Duration // of the job that ended it; 0 if none was started
	Err      error         // if Failed or Cancelled
	Root     string        // if Skipped: ID of the failed step that is the cause
	Retries  int           // how often it was built again after a transient failure
}

// Report is the end of a run. Steps are in plan order.
type Report struct {
	Steps    []StepResult
	Duration time.Duration
}

// result returns how a step ended.
func (r *run) result(i int) StepResult {
	res, id := r.machine.Result(i), r.plan.Steps[i].ID
	out := StepResult{
		ID: id, Status: res.Status, Duration: res.Took, Err: res.Err, Retries: r.budget.usedBy(id),
	}
	if res.Status == scheduler.Skipped {
		out.Root = r.plan.Steps[res.Root].ID
	}
	return out
}

// end returns the report and the run's error.
func (r *run) end(ctx context.Context) (Report, error) {
	failed := &FailedError{Total: len(r.plan.Steps)}
	unfinished := 0
	var rep Report
	for i := range r.plan.Steps {
		res := r.result(i)
		switch res.Status {
		case scheduler.Failed:
			failed.Roots = append(failed.Roots, res)
		case scheduler.Skipped:
			failed.Skipped++
		case scheduler.Cancelled:
			res.Err = cmp.Or(res.Err, context.Cause(ctx), r.machine.Fatal())
			unfinished++
		}
		rep.Steps = append(rep.Steps, res)
	}
	rep.Duration = r.o.now().Sub(r.begin)
	r.emit(progress.Event{Kind: progress.PlanDone, Duration: rep.Duration}, r.machine.Ended())
	switch {
	case r.machine.Fatal() != nil:
		return rep, r.machine.Fatal()
	case unfinished > 0:
		return rep, fmt.Errorf("cancelled with %d of %d steps not built: %w",
			unfinished, len(rep.Steps), context.Cause(ctx))
	case len(failed.Roots) > 0:
		return rep, failed
	}
	return rep, nil
}
