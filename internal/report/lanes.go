// lanes: which build ran beside which, and which of them decided how long the run took.

package report

import (
	"cmp"
	"slices"
	"time"
)

// Lane is what one slot of an engine did, or downloads side by side.
type Lane struct {
	Name  string
	Parts []Part
}

// Part is one thing in a lane.
type Part struct {
	Span
	Step int
	Get  *Download // nil for a build
}

// assignSlots gives each build the first slot of its engine that was free when it began.
func (m *Model) assignSlots() {
	free := map[string][]time.Duration{} // since when, by engine
	for _, i := range m.byStart() {
		s := &m.Steps[i]
		slots := free[s.Engine]
		at := slices.IndexFunc(slots, func(since time.Duration) bool { return since <= s.Build.Start })
		if at < 0 {
			at = len(slots)
			slots = append(slots, 0)
		}
		slots[at], free[s.Engine], s.Slot = s.Build.End, slots, at
	}
}

// byStart returns the steps that were built, in the order in which their builds began.
func (m *Model) byStart() (steps []int) {
	for i, s := range m.Steps {
		if s.ran() {
			steps = append(steps, i)
		}
	}
	slices.SortStableFunc(steps, func(a, b int) int {
		return cmp.Compare(m.Steps[a].Build.Start, m.Steps[b].Build.Start)
	})
	return steps
}

// Lanes returns a lane for each slot of each engine, then those of downloads.
func (m *Model) Lanes() []Lane {
	type place struct {
		engine string
		slot   int
	}
	lanes := map[place]*Lane{}
	var order []place
	for _, i := range m.byStart() {
		s := m.Steps[i]
		p := place{s.Engine, s.Slot}
		if lanes[p] == nil {
			lanes[p] = &Lane{Name: s.Engine}
			order = append(order, p)
		}
		lanes[p].Parts = append(lanes[p].Parts, Part{Span: s.Build, Step: i})
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.engine, b.engine), cmp.Compare(a.slot, b.slot))
	})
	var all []Lane
	for _, p := range order {
		all = append(all, *lanes[p])
	}
	return append(all, m.downloads()...)
}

// downloads returns the lanes of downloads, each in the first that was free.
func (m *Model) downloads() []Lane {
	var parts []Part
	for i, s := range m.Steps {
		for n := range s.Gets {
			parts = append(parts, Part{Span: s.Gets[n].Span, Step: i, Get: &s.Gets[n]})
		}
	}
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(a.Start, b.Start) })
	var lanes []Lane
	for _, p := range parts {
		at := slices.IndexFunc(lanes, func(l Lane) bool { return l.Parts[len(l.Parts)-1].End <= p.Start })
		if at < 0 {
			at = len(lanes)
			lanes = append(lanes, Lane{Name: "downloads"})
		}
		lanes[at].Parts = append(lanes[at].Parts, p)
	}
	return lanes
}

// findCritical finds the chain of builds that decided how long the run took: it ends with the one
// that ended last, and each began once the one before had ended, because it needed that one or its
// slot. What is between two of them was spent on something else, a download for instance.
func (m *Model) findCritical() {
	last := -1
	for i, s := range m.Steps {
		if s.ran() && (last < 0 || s.Build.End > m.Steps[last].Build.End) {
			last = i
		}
	}
	done := map[int]bool{}
	for last >= 0 && !done[last] {
		done[last] = true
		m.Steps[last].Critical = true
		m.Critical = append(m.Critical, last)
		needed, freed := m.before(last), m.freed(last)
		if needed < 0 || freed >= 0 &&
			m.Steps[freed].Build.End-m.Steps[needed].Build.End > m.notice() {
			m.Steps[last].ForSlot = freed >= 0
			needed = freed
		}
		last = needed
	}
	slices.Reverse(m.Critical)
}

// notice is the shortest wait that is noticed.
func (m *Model) notice() time.Duration { return max(500*time.Millisecond, m.Took/200) }

// freed returns the build whose end gave a step its slot; -1 if the step did not wait for one.
func (m *Model) freed(step int) int {
	freed, start := -1, m.Steps[step].Build.Start
	for i, s := range m.Steps {
		if s.ran() && i != step && s.Engine == m.Steps[step].Engine && s.Build.End <= start &&
			start-s.Build.End <= m.notice() && (freed < 0 || s.Build.End > m.Steps[freed].Build.End) {
			freed = i
		}
	}
	return freed
}

// before returns the build that ended last of those that a step needed, directly or through steps
// that were not built; -1 if there is none.
func (m *Model) before(step int) int {
	last, seen, todo := -1, map[int]bool{}, slices.Clone(m.Steps[step].After)
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[i] {
			continue
		}
		seen[i] = true
		s := m.Steps[i]
		if !s.ran() {
			todo = append(todo, s.After...)
		} else if last < 0 || s.Build.End > m.Steps[last].Build.End {
			last = i
		}
	}
	return last
}

// Work is the time that all builds took together.
func (m *Model) Work() (sum time.Duration) {
	for _, s := range m.Steps {
		sum += s.Build.Took()
	}
	return sum
}

// Savings is what did not have to be built.
type Savings struct {
	Steps                      int
	InPlace, Restored, Fetched int
	Time                       time.Duration
	Unknown                    int // steps of which nobody knows how long their build took
}

// Saved sums up what caches saved.
func (m *Model) Saved() (s Savings) {
	for _, step := range m.Steps {
		switch step.Status {
		case UpToDate:
			s.InPlace++
		case Restored:
			s.Restored++
		case Fetched:
			s.Fetched++
		default:
			continue
		}
		s.Steps++
		s.Time += step.Saved
		if step.Saved == 0 {
			s.Unknown++
		}
	}
	return s
}
