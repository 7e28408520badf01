// Simulate: how long a run would take with a given number of jobs.

package scheduler

import (
	"cmp"
	"slices"
	"time"
)

// Simulation is how long a run takes if every step takes its cost and has to be built.
type Simulation struct {
	Jobs         int
	Makespan     time.Duration // from the first start to the last end, in the machine's order
	CriticalPath time.Duration // the costliest chain of steps: no number of jobs is faster
	Work         time.Duration // of all steps together
}

// LowerBound returns the time that no scheduler can beat: max(critical path, work / jobs).
func (s Simulation) LowerBound() time.Duration {
	return max(s.CriticalPath, s.Work/time.Duration(s.Jobs))
}

// Simulate drives a machine in virtual time, in which only builds take time: what they cost.
func Simulate(steps []Step, jobs int) Simulation { return SimulateWrong(steps, steps, jobs) }

// SimulateWrong is Simulate for a machine that expects the costs of steps, where builds take those
// of really.
func SimulateWrong(steps, really []Step, jobs int) Simulation {
	out := Simulation{Jobs: max(jobs, 1)}
	// With one lookup at a time, lookups run in the order of builds.
	m := New(steps, Limits{Lookups: 1, Fetches: 1, Places: 1, Builds: out.Jobs})
	out.CriticalPath = New(really, Limits{}).criticalPath()
	for _, s := range really {
		out.Work += s.Cost
	}
	todo := m.Handle(Event{Kind: Begin})
	var running []end // the build that ends last comes first
	for len(todo) > 0 || len(running) > 0 {
		if len(todo) == 0 {
			last := running[len(running)-1]
			running = running[:len(running)-1]
			out.Makespan = last.at
			todo = m.Handle(Event{Kind: Finished, Step: last.step})
			continue
		}
		d := todo[0]
		todo = todo[1:]
		switch d.Kind {
		case LookUp:
			todo = append(todo, m.Handle(Event{Kind: LookedUp, Step: d.Step})...)
		case Fetch:
			todo = append(todo, m.Handle(Event{Kind: Fetched, Step: d.Step})...)
		case Build:
			one := end{d.Step, out.Makespan + really[d.Step].Cost}
			at, _ := slices.BinarySearchFunc(running, one, end.compare)
			running = slices.Insert(running, at, one)
		}
	}
	return out
}

// end is the end of a simulated build.
type end struct {
	step int
	at   time.Duration
}

// compare sorts later ends first, and at the same time higher steps first.
func (e end) compare(other end) int {
	return cmp.Or(cmp.Compare(other.at, e.at), cmp.Compare(other.step, e.step))
}
