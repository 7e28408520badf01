// Simulate: how long a plan would take on a machine one does not have.

package engine

import (
	"container/heap"
	"time"

	"buildsys/internal/plan"
)

// Simulation is what a run of a plan would take if every step took its expected duration, with nothing cached.
type Simulation struct {
	Jobs         int
	Makespan     time.Duration // from the first start to the last end, with the scheduler's own order
	CriticalPath time.Duration // the costliest chain of steps: no number of jobs is faster
	Work         time.Duration // of all steps together
}

// LowerBound is the time that no scheduler can beat: max(critical path, work / jobs).
func (s Simulation) LowerBound() time.Duration {
	return max(s.CriticalPath, s.Work/time.Duration(s.Jobs))
}

// Simulate runs p in virtual time with the order of Run.
func Simulate(p plan.Plan, cost func(plan.Step) time.Duration, jobs int) Simulation {
	dependants := make([][]int, len(p.Steps))
	waits := make([]int, len(p.Steps))
	out := Simulation{Jobs: max(jobs, 1)}
	for i, s := range p.Steps {
		waits[i] = len(s.Waits)
		for _, d := range s.Waits {
			dependants[d] = append(dependants[d], i)
		}
		out.Work += cost(s)
	}
	ready := &readyHeap{rank: ranks(p, dependants, cost)}
	for i := range p.Steps {
		out.CriticalPath = max(out.CriticalPath, ready.rank[i])
		if waits[i] == 0 {
			heap.Push(ready, i)
		}
	}
	running := &endHeap{}
	for ready.Len() > 0 || running.Len() > 0 {
		for running.Len() < out.Jobs && ready.Len() > 0 {
			i := heap.Pop(ready).(int)
			heap.Push(running, end{step: i, at: out.Makespan + cost(p.Steps[i])})
		}
		next := heap.Pop(running).(end)
		out.Makespan = next.at
		for _, d := range dependants[next.step] {
			if waits[d]--; waits[d] == 0 {
				heap.Push(ready, d)
			}
		}
	}
	return out
}

// end is when a simulated step ends.
type end struct {
	step int
	at   time.Duration
}

// endHeap gives the step that ends next, of several the first of the plan.
type endHeap []end

func (h endHeap) Len() int { return len(h) }
func (h endHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].step < h[j].step
}
func (h endHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)   { *h = append(*h, x.(end)) }
func (h *endHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
