// simulate: how long a cold build would take with other numbers of jobs (plan --simulate).

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"buildsys/internal/build"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// simulate prints makespan, lower bound and their ratio for a cold build. durations is a JSON file
// of seconds by package or variant name; if empty, earlier builds' durations are used. A step
// without a duration takes the mean of the others.
func (a *app) simulate(ctx context.Context, names []string, durations string) error {
	c, s, want, err := a.resolvePlan(names)
	if err != nil {
		return err
	}
	p, err := s.Plan(ctx, want)
	if err != nil {
		return err
	}
	cost, known, err := a.costs(s, p, durations)
	if err != nil {
		return err
	}
	steps := executor.Steps(p, cost, nil)
	jobs := []int{2, 8, 32, 72}
	if c.Jobs > 0 {
		jobs = []int{c.Jobs}
	}
	fmt.Fprintf(a.sys.Stdout, "%d steps, durations known of %d\n", len(p.Steps), known)
	for _, n := range jobs {
		s := scheduler.Simulate(steps, n)
		fmt.Fprintf(a.sys.Stdout, "%3d jobs: makespan %s, lower bound %s (critical path %s, work %s), "+
			"ratio %.3f\n", n, progress.Took(s.Makespan), progress.Took(s.LowerBound()),
			progress.Took(s.CriticalPath), progress.Took(s.Work),
			float64(s.Makespan)/float64(max(s.LowerBound(), 1)))
	}
	return nil
}

// maxDurations bounds a file of durations. One of 100,000 packages has 4 MiB.
const maxDurations = 16 << 20

// costs returns how long each step is expected to take, and of how many steps of p that is known.
func (a *app) costs(s *build.Session, p plan.Plan, durations string) (
	cost func(plan.Step) time.Duration, known int, err error) {
	if durations == "" {
		return s.Costs(p)
	}
	data, err := confined.Path{Name: a.path(durations)}.Read(maxDurations)
	if err != nil {
		return nil, 0, errkind.BadUsage(err)
	}
	var seconds map[string]float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return nil, 0, errkind.Usagef("%s: %w; it must be a JSON object of seconds by step name",
			a.path(durations), err)
	}
	recorded := map[string]time.Duration{}
	for _, s := range p.Steps {
		if sec, ok := seconds[s.Name]; ok && sec >= 0 {
			recorded[s.ID] = time.Duration(sec * float64(time.Second))
		}
	}
	return executor.CostOf(recorded), len(recorded), nil
}
