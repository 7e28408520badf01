// The order in which ready steps are started.

package engine

import (
	"cmp"
	"time"

	"buildsys/internal/plan"
)

// readyHeap holds the steps that can be built now, the one with the costliest path above it first, then plan order.
type readyHeap struct {
	steps []int
	rank  []time.Duration
}

func (h *readyHeap) compare(a, b int) int {
	return cmp.Or(cmp.Compare(h.rank[b], h.rank[a]), cmp.Compare(a, b))
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (h *readyHeap) Len() int           { return len(h.steps) }
func (h *readyHeap) Less(i, j int) bool { return h.compare(h.steps[i], h.steps[j]) < 0 }
func (h *readyHeap) Swap(i, j int)      { h.steps[i], h.steps[j] = h.steps[j], h.steps[i] }
func (h *readyHeap) Push(x any)         { h.steps = append(h.steps, x.(int)) }
func (h *readyHeap) Pop() any {
	last := h.steps[len(h.steps)-1]
	h.steps = h.steps[:len(h.steps)-1]
	return last
}

// ranks returns for each step the cost of the costliest path from it to the end of the plan, itself included.
func ranks(p plan.Plan, dependants [][]int, cost func(plan.Step) time.Duration) []time.Duration {
	rank := make([]time.Duration, len(p.Steps))
	for i := len(p.Steps) - 1; i >= 0; i-- {
		for _, d := range dependants[i] {
			rank[i] = max(rank[i], rank[d])
		}
		rank[i] += cost(p.Steps[i])
	}
	return rank
}
