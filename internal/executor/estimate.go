// Estimates: how long steps take according to earlier builds, and how long a run will still take.

package executor

import (
	"maps"
	"time"

	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// estimate is how long steps are expected to take.
type estimate struct {
	cost     func(plan.Step) time.Duration // nil if all take the same
	recorded map[string]time.Duration      // of earlier builds, by step ID
}

func estimateOf(recorded map[string]time.Duration) estimate {
	return estimate{CostOf(recorded, nil), recorded}
}

func (c *Cache) estimate(p plan.Plan) estimate {
	recorded, guessed := map[string]time.Duration{}, map[string]time.Duration{}
	for _, s := range p.Steps {
		if took, ok := c.took(s.ID, p.Arch); ok {
			recorded[s.ID] = took
		}
		if c.Guess != nil {
			guessed[s.ID] = c.Guess(s)
		}
		for _, arch := range manifest.Architectures() {
			if took, ok := c.took(s.ID, arch); ok && arch != p.Arch {
				guessed[s.ID] = took
			}
		}
	}
	return estimate{CostOf(recorded, guessed), recorded}
}

// Costs returns a function that estimates the duration of steps from earlier builds, and for how
// many steps of p one is recorded.
func (c *Cache) Costs(p plan.Plan) (cost func(plan.Step) time.Duration, known int) {
	e := c.estimate(p)
	return e.cost, len(e.recorded)
}

// CostOf is the expected duration of steps, given those of some by step ID, and guesses for others.
// Guesses count in proportion: if the steps with both took twice as long as was guessed, so will
// those with a guess alone. A step with neither is expected to take the mean of the others, and all
// are equal when none has any.
func CostOf(recorded, guessed map[string]time.Duration) func(plan.Step) time.Duration {
	var took, guess time.Duration
	for id, g := range guessed {
		if recorded[id] > 0 && g > 0 {
			took, guess = took+recorded[id], guess+g
		}
	}
	scale := 1.0
	if guess > 0 {
		scale = float64(took) / float64(guess)
	}
	all := map[string]time.Duration{}
	maps.Copy(all, recorded)
	for id, g := range guessed {
		if _, ok := recorded[id]; !ok && g > 0 {
			all[id] = time.Duration(scale * float64(g))
		}
	}
	mean := time.Second
	if len(all) > 0 {
		mean = 0
		for _, took := range all {
			mean += took / time.Duration(len(all))
		}
	}
	return func(s plan.Step) time.Duration {
		if took, ok := all[s.ID]; ok {
			return took
		}
		return mean
	}
}

// planned returns what is known of a run before it begins.
func (e estimate) planned(p plan.Plan) *progress.Plan {
	out := &progress.Plan{Arch: p.Arch, Variant: p.Variant,
		Steps: make([]progress.PlannedStep, len(p.Steps))}
	for i, s := range p.Steps {
		_, known := e.recorded[s.ID]
		out.Steps[i] = progress.PlannedStep{ID: s.ID, Known: known, After: s.Waits}
		if len(e.recorded) > 0 {
			out.Steps[i].Expected = e.cost(s)
		}
	}
	return out
}

// remainder is for computing how long a run will still take. It is asked at many events, and in a
// large tree an answer takes a while, so all answers take at most a hundredth of the run's time.
type remainder struct {
	jobs int       // builds at once; 0 until that is known
	next time.Time // when it may be computed again
}

// left returns how long the run will still take if each step that has not ended is built, or 0 if
// that is not known: no builder is ready yet, or no step that is left has been built before. A step
// that nobody has built counts as the mean of the others.
func (r *run) left(now time.Time) time.Duration {
	if r.rest.jobs == 0 || len(r.o.recorded) == 0 || now.Before(r.rest.next) {
		return 0
	}
	begin, known := time.Now(), false
	steps := Steps(r.plan, r.o.cost, nil)
	for i := range steps {
		if r.machine.Result(i).Status != 0 {
			steps[i].Cost = 0
			continue
		}
		if _, ok := r.o.recorded[r.plan.Steps[i].ID]; ok {
			known = true
		}
		if began := r.steps[i].began; !began.IsZero() {
			steps[i].Cost = max(steps[i].Cost-now.Sub(began), 0)
		}
	}
	if !known {
		return 0
	}
	left := scheduler.Simulate(steps, r.rest.jobs).Makespan
	r.rest.next = now.Add(100 * time.Since(begin))
	return left
}
