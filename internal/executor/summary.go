// From the report of a run to the summary that people read.

package executor

import (
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// Summary turns the report into what progress.WriteReport shows. lines gives a step's last lines of
// output, log the path of its whole output or ""; progress.Tail and progress.LogFiles have them.
func (r Report) Summary(
	lines func(step string) []string, log func(step string) string,
) progress.Summary {
	s := progress.Summary{Total: len(r.Steps), Duration: r.Duration}
	skipped := map[string][]string{}
	for _, step := range r.Steps {
		s.Retries += step.Retries
		switch step.Status {
		case scheduler.Done:
			s.Done++
		case scheduler.Cached:
			s.Cached++
		case scheduler.Failed:
			s.Failures = append(s.Failures, progress.Failure{
				Step: step.ID, Err: step.Err, Tail: lines(step.ID), Log: log(step.ID),
			})
		case scheduler.Skipped:
			skipped[step.Root] = append(skipped[step.Root], step.ID)
		case scheduler.Cancelled:
			s.Cancelled++
		}
	}
	for _, f := range s.Failures {
		if steps := skipped[f.Step]; len(steps) > 0 {
			s.Skipped = append(s.Skipped, progress.Skipped{Root: f.Step, Steps: steps})
		}
	}
	return s
}
