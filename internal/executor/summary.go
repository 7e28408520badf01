// The summary of a run for people, made from its report.

package executor

import (
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// Summary returns what progress.WriteReport shows. lines returns a step's last lines of output, log
// the path of its whole output or ""; progress.Tail and builddir.LogFiles provide them.
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
