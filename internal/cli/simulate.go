// simulate: how long a cold build would take with other numbers of jobs (plan --simulate).

package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"buildsys/internal/build"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// simulation holds the flags of plan --simulate.
type simulation struct {
	wanted    bool
	durations string // JSON file of seconds by step name; "" for those of earlier builds
	first     bool   // the order is that of a first build
}

func (o *simulation) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.wanted, "simulate", false, "print how long a cold build would take with --jobs "+
		"(default: 2, 8, 32 and 72)")
	flags.StringVar(&o.durations, "durations", "", "with --simulate: JSON file of seconds by step "+
		"name (default: recorded ones)")
	flags.BoolVar(&o.first, "first-build", false, "with --simulate: in the order of a machine that "+
		"has built nothing yet, and has to guess")
}

// simulate prints makespan, lower bound and their ratio for a cold build. A step without a duration
// takes what is guessed, or the mean of the others.
func (a *app) simulate(ctx context.Context, names []string, o simulation) error {
	c, s, want, err := a.resolvePlan(names)
	if err != nil {
		return err
	}
	p, err := s.Plan(ctx, want)
	if err != nil {
		return err
	}
	cost, known, err := a.costs(s, p, o.durations)
	if err != nil {
		return err
	}
	expected := cost
	if o.first {
		if expected, _, err = s.Costs(p, true); err != nil {
			return err
		}
	}
	steps, really := executor.Steps(p, expected, nil), executor.Steps(p, cost, nil)
	jobs := []int{2, 8, 32, 72}
	if c.Jobs > 0 {
		jobs = []int{c.Jobs}
	}
	fmt.Fprintf(a.sys.Stdout, "%d steps, durations known of %d\n", len(p.Steps), known)
	for _, n := range jobs {
		s := scheduler.SimulateWrong(steps, really, n)
		fmt.Fprintf(a.sys.Stdout, "%3d jobs: makespan %s, lower bound %s (critical path %s, work %s), "+
			"ratio %.3f\n", n, progress.Took(s.Makespan), progress.Took(s.LowerBound()),
			progress.Took(s.CriticalPath), progress.Took(s.Work),
			float64(s.Makespan)/float64(max(s.LowerBound(), 1)))
	}
	return nil
}

// costs returns how long each step is expected to take, and of how many steps of p that is known.
func (a *app) costs(s *build.Session, p plan.Plan, durations string) (
	cost func(plan.Step) time.Duration, known int, err error) {
	if durations == "" {
		return s.Costs(p, false)
	}
	read, err := build.ReadDurations(confined.Path{Name: a.path(durations)})
	if err != nil {
		return nil, 0, errkind.BadUsage(err)
	}
	recorded := map[string]time.Duration{}
	for _, s := range p.Steps {
		if took, ok := read.Of(s); ok {
			recorded[s.ID] = took
		}
	}
	return executor.CostOf(recorded, nil), len(recorded), nil
}
