// The order of steps, and the jobs that are started in that order.

package scheduler

import (
	"cmp"
	"container/heap"
	"slices"
	"sort"
	"time"
)

// jobKind is a kind of job that has a limit.
type jobKind int

const (
	lookups jobKind = iota
	fetches
	places
	builds
	jobKinds int = iota
)

// rank sorts the steps. The rank of a step is the cost of the costliest path from it to the end of
// the run, including the step itself. Higher ranks come first, then earlier steps.
func (m *Machine) rank() {
	m.order = make([]int, len(m.steps))
	for i, s := range slices.Backward(m.steps) {
		for _, d := range s.dependants {
			s.rank = max(s.rank, m.steps[d].rank)
		}
		m.steps[i].rank = s.rank + s.Cost
		m.order[i] = i
	}
	slices.SortFunc(m.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(m.steps[b].rank, m.steps[a].rank), cmp.Compare(a, b))
	})
	for at, i := range m.order {
		m.steps[i].turn = at
	}
}

// criticalPath returns the cost of the costliest chain of steps.
func (m *Machine) criticalPath() time.Duration {
	if len(m.order) == 0 {
		return 0
	}
	return m.steps[m.order[0]].rank
}

// start decides on all jobs that can start now, or ends the run when no more jobs will start.
func (m *Machine) start() {
	if m.cancelled || m.fatal != nil {
		if m.Over() {
			m.cancelRest()
		}
		return
	}
	for i, ok := m.next(lookups); ok; i, ok = m.next(lookups) {
		m.lookingUp = append(m.lookingUp, i)
		m.launch(lookups, i, lookingUp)
	}
	for i, ok := m.next(fetches); ok; i, ok = m.next(fetches) {
		m.steps[i].fetch = fetching
		m.running[fetches]++
		m.decide(Decision{Kind: Fetch, Step: i})
	}
	for i, ok := m.next(places); ok; i, ok = m.next(places) {
		if m.steps[i].state == placeQueued {
			m.launch(places, i, placing)
		} else {
			m.launch(places, i, recalling)
		}
	}
	m.startBuilds()
}

// startBuilds is the part of start for builds; their limit is not known before the first one.
func (m *Machine) startBuilds() {
	if _, ok := m.first(builds); ok && m.limits.Builds == 0 && !m.preparing {
		m.preparing = true
		m.decide(Decision{Kind: Prepare})
	}
	for i, ok := m.next(builds); ok; i, ok = m.next(builds) {
		m.launch(builds, i, building)
	}
}

func (m *Machine) launch(kind jobKind, i int, to state) {
	m.move(i, to)
	m.running[kind]++
	m.decide(Decision{Kind: jobs[kind].decision, Step: i})
}

// jobs holds, for each kind of job, the decision that starts it and which steps are queued for it.
var jobs = [jobKinds]struct {
	decision DecisionKind
	queued   func(*stepState) bool
}{
	lookups: {LookUp, func(s *stepState) bool { return s.state == lookupQueued }},
	fetches: {Fetch, func(s *stepState) bool { return s.fetch == fetchQueued }},
	places: {Place, func(s *stepState) bool {
		return s.state == placeQueued || s.state == recallQueued
	}},
	builds: {Build, func(s *stepState) bool { return s.state == ready }},
}

func (m *Machine) limit(kind jobKind) int {
	l := m.limits
	return [jobKinds]int{l.Lookups, l.Fetches, l.Places, l.Builds}[kind]
}

// next takes the first step out of a queue if one more job may run.
//
// A step that is still being looked up may turn out to be the one to build first. A lookup takes
// milliseconds, but a job given to the wrong step is occupied for minutes. So builds wait for it.
func (m *Machine) next(kind jobKind) (int, bool) {
	if m.running[kind] >= m.limit(kind) {
		return 0, false
	}
	i, ok := m.first(kind)
	if ok && kind == builds && slices.ContainsFunc(m.lookingUp, func(other int) bool {
		return m.steps[other].turn < m.steps[i].turn
	}) {
		return 0, false
	}
	if ok {
		heap.Pop(&m.queues[kind])
	}
	return i, ok
}

// first returns the first step of a queue. It drops steps that have left the queue's state.
func (m *Machine) first(kind jobKind) (int, bool) {
	q := &m.queues[kind]
	for q.Len() > 0 {
		if i := m.order[q.IntSlice[0]]; jobs[kind].queued(&m.steps[i]) {
			return i, true
		}
		heap.Pop(q)
	}
	return 0, false
}

func (m *Machine) push(kind jobKind, i int) { heap.Push(&m.queues[kind], m.steps[i].turn) }

// queue is a heap of turns.
type queue struct{ sort.IntSlice }

// Push and Pop complete heap.Interface.
func (q *queue) Push(x any) { q.IntSlice = append(q.IntSlice, x.(int)) }
func (q *queue) Pop() any {
	last := q.IntSlice[len(q.IntSlice)-1]
	q.IntSlice = q.IntSlice[:len(q.IntSlice)-1]
	return last
}
