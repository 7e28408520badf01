// simulate: plan --simulate, how long a cold build would take with other numbers of jobs.

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// simulate prints makespan, lower bound and their ratio for a cold build of p. durations names a JSON file of seconds by
// package or variant name; empty means what earlier builds recorded. A step without a duration takes the mean of the others.
func simulate(sys *System, c config, p plan.Plan, durations string) error {
	cost, known, err := costs(sys, c, p, durations)
	if err != nil {
		return err
	}
	jobs := []int{2, 8, 32, 72}
	if c.jobs > 0 {
		jobs = []int{c.jobs}
	}
	fmt.Fprintf(sys.Stdout, "%d steps, durations known of %d\n", len(p.Steps), known)
	for _, n := range jobs {
		s := scheduler.Simulate(executor.Steps(p, cost, nil), n)
		fmt.Fprintf(sys.Stdout, "%3d jobs: makespan %s, lower bound %s (critical path %s, work %s), ratio %.3f\n", n,
			progress.Took(s.Makespan), progress.Took(s.LowerBound()), progress.Took(s.CriticalPath), progress.Took(s.Work),
			float64(s.Makespan)/float64(max(s.LowerBound(), 1)))
	}
	return nil
}

// costs returns what each step is expected to take, and of how many steps of p that is known.
func costs(sys *System, c config, p plan.Plan, durations string) (cost func(plan.Step) time.Duration, known int, err error) {
	if durations == "" {
		cache, err := c.openCache(progress.Multi{})
		if err != nil {
			return nil, 0, err
		}
		cost, known := cache.Costs(p)
		return cost, known, nil
	}
	if !filepath.IsAbs(durations) {
		durations = filepath.Join(sys.Dir, durations)
	}
	data, err := os.ReadFile(durations)
	if err != nil {
		return nil, 0, usageError{err}
	}
	var seconds map[string]float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return nil, 0, usageError{fmt.Errorf("%s: %w; it is a JSON object of seconds by step name", durations, err)}
	}
	recorded := map[string]time.Duration{}
	for _, s := range p.Steps {
		if sec, ok := seconds[s.Name]; ok && sec >= 0 {
			recorded[s.ID] = time.Duration(sec * float64(time.Second))
		}
	}
	return executor.CostOf(recorded), len(recorded), nil
}
