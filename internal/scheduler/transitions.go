// What follows from each event: the transitions of the table in state.go.

package scheduler

import "slices"

// lookedUp books the end of a lookup.
func (m *Machine) lookedUp(e Event) {
	m.running[lookups]--
	at := slices.Index(m.lookingUp, e.Step)
	m.lookingUp = slices.Delete(m.lookingUp, at, at+1)
	s := &m.steps[e.Step]
	switch {
	case !m.counts(e.Step):
	case e.Err != nil:
		s.result.Took = e.Took
		m.fail(e.Step, e.Err)
	case e.Found == Missing:
		m.miss(e.Step)
	case e.Found == Here:
		s.result.Took = e.Took
		m.end(e.Step, here)
	case s.Wanted:
		m.move(e.Step, placeQueued)
		m.push(places, e.Step)
	default:
		s.result.Took = e.Took
		m.end(e.Step, elsewhere)
	}
}

// counts reports whether the end of a job counts. A step that was sent back during the job is
// looked up again, now that no job works on it.
func (m *Machine) counts(i int) bool {
	if m.steps[i].state == outdated {
		m.move(i, waiting)
		m.awaken(i)
		return false
	}
	return m.Awaited(i)
}

// awaken queues the lookup of a step that waits for nothing any more.
func (m *Machine) awaken(i int) {
	if s := &m.steps[i]; s.state == waiting && s.waits == 0 {
		m.move(i, lookupQueued)
		m.push(lookups, i)
	}
}

// miss has step i built once everything it needs is here. Of the outputs in remote caches, only
// those that it uses are placed: the others may never be needed, and fetching them early gains
// nothing.
func (m *Machine) miss(i int) {
	s := &m.steps[i]
	m.move(i, missed)
	if s.fetch == fetchFailed {
		m.fail(i, s.fetchErr)
		return
	}
	s.lacks = 0
	if s.Uses != nil && m.absent > 0 {
		for u := range s.Uses {
			if !m.recall(u, i) {
				m.skip(i, u)
				m.skipAbove(i, u)
				return
			}
		}
	}
	m.fetchAhead(i)
	m.prepareBuild(i)
}

// recall has the outputs of step u placed for step i if they are elsewhere. It reports whether they
// can be had.
func (m *Machine) recall(u, i int) bool {
	used, s := &m.steps[u], &m.steps[i]
	switch used.state {
	case failed: // after it had ended: its outputs could not be placed
		return false
	case elsewhere:
		m.move(u, recallQueued)
		m.push(places, u)
	case recallQueued, recalling:
	default:
		return true
	}
	used.waiters = append(used.waiters, waiter{i, s.round})
	s.lacks++
	return true
}

// fetchAhead asks for the files of step i and of all steps above it: they will probably be built
// too, and a transfer that waits for the compiler to finish wastes time.
func (m *Machine) fetchAhead(i int) {
	m.wantFiles(i)
	if m.steps[i].ahead {
		return
	}
	m.steps[i].ahead = true
	m.above(i, func(d int) bool {
		m.wantFiles(d)
		done := m.steps[d].ahead
		m.steps[d].ahead = true
		return !done
	})
}

func (m *Machine) wantFiles(i int) {
	if s := &m.steps[i]; s.fetch == fetchIdle && !s.state.ended() {
		s.fetch = fetchQueued
		m.push(fetches, i)
	}
}

// prepareBuild makes step i ready once everything it needs is here.
func (m *Machine) prepareBuild(i int) {
	if s := &m.steps[i]; s.state == missed && s.fetch == fetchDone && s.lacks == 0 {
		m.move(i, ready)
		m.push(builds, i)
	}
}

// fetched books the end of a fetch. A failed fetch fails its step only if the step needs the files.
func (m *Machine) fetched(e Event) {
	m.running[fetches]--
	s := &m.steps[e.Step]
	s.fetch = fetchDone
	if e.Err != nil {
		s.fetch, s.fetchErr = fetchFailed, e.Err
	}
	if s.state != missed || m.fatal != nil {
		return
	}
	if e.Err != nil {
		m.fail(e.Step, e.Err)
		return
	}
	m.prepareBuild(e.Step)
}

// placed books that outputs are in the checkout, or that they could not be placed.
func (m *Machine) placed(e Event) {
	m.running[places]--
	if !m.counts(e.Step) {
		return
	}
	s := &m.steps[e.Step]
	recalled := s.state == recalling
	switch {
	case e.Err == nil && e.Found == Here:
		if recalled {
			m.move(e.Step, here)
		} else {
			s.result.Took = e.Took
			m.end(e.Step, here)
		}
		m.supply(e.Step)
	case recalled && e.Err == nil:
		m.ended--
		m.sendBack(e.Step)
		m.miss(e.Step)
	case e.Err == nil:
		m.miss(e.Step)
	default:
		if recalled {
			m.ended--
		}
		m.fail(e.Step, e.Err)
	}
}

// supply tells the steps that lack the outputs of step i that they are here.
func (m *Machine) supply(i int) {
	waiters := m.steps[i].waiters
	m.steps[i].waiters = nil
	for _, w := range waiters {
		if s := &m.steps[w.step]; s.round == w.round && s.state == missed {
			s.lacks--
			m.prepareBuild(w.step)
		}
	}
}

// sendBack has all steps above step i looked up again once step i has ended again.
func (m *Machine) sendBack(i int) {
	var back []int
	m.above(i, func(d int) bool {
		s := &m.steps[d]
		if s.state == failed || s.state == skipped || s.state == cancelled {
			return true
		}
		if s.state.ended() {
			m.ended--
		}
		switch {
		case s.state == waiting || s.state == outdated:
		case m.Awaited(d):
			m.move(d, outdated)
		default:
			m.move(d, waiting)
		}
		s.round++
		s.waiters = nil // they are sent back too
		s.ahead = false
		back = append(back, d)
		return true
	})
	m.steps[i].waiters, m.steps[i].ahead = nil, false
	slices.Sort(back) // each now follows the steps that it comes after
	for _, d := range back {
		m.waitAgain(d, i)
	}
}

// waitAgain makes a step that was sent back wait for the steps it comes after: step i, which is
// built, and others that were sent back. The step is skipped if one of them failed, even after that
// one had ended.
func (m *Machine) waitAgain(d, i int) {
	s := &m.steps[d]
	s.waits = 0
	for _, a := range s.After {
		switch after := &m.steps[a]; {
		case after.state == failed:
			m.skip(d, a)
			return
		case after.state == skipped:
			m.skip(d, after.result.Root)
			return
		case a == i || !after.state.ended():
			s.waits++
		}
	}
}

// prepared books that builds can start, or that none can.
func (m *Machine) prepared(e Event) {
	m.preparing = false
	m.limits.Builds = max(e.Jobs, 1)
	if e.Err != nil {
		m.giveUp(e.Err)
	}
}

// finished books the end of a build.
func (m *Machine) finished(e Event) {
	m.running[builds]--
	if e.Fatal {
		m.giveUp(e.Err)
	}
	if !m.counts(e.Step) {
		return
	}
	m.steps[e.Step].result.Took = e.Took
	if e.Err != nil {
		m.fail(e.Step, e.Err)
		return
	}
	m.end(e.Step, built)
}

// end books that a step ended well, and wakes the steps that come after it.
func (m *Machine) end(i int, to state) {
	m.finish(i, to)
	for _, d := range m.steps[i].dependants {
		m.steps[d].waits--
		m.awaken(d)
	}
}

// fail books that a step failed, and skips all steps above it that have not ended.
func (m *Machine) fail(i int, err error) {
	m.steps[i].result.Err = err
	if m.cancelled {
		m.finish(i, cancelled)
		return
	}
	m.finish(i, failed)
	m.skipAbove(i, i)
}

// skip books that step i cannot be built because another step, root, failed.
func (m *Machine) skip(i, root int) {
	s := &m.steps[i]
	if s.fetch == fetching {
		m.decide(Decision{Kind: StopFetch, Step: i})
	}
	s.result.Root = root
	m.finish(i, skipped)
}

// skipAbove skips all steps above step i that have not ended. A step that has ended stays as it is:
// step i had then ended as well, and failed because its outputs could not be placed.
func (m *Machine) skipAbove(i, root int) {
	m.above(i, func(d int) bool {
		switch state := m.steps[d].state; {
		case state == failed || state == skipped || state == cancelled:
			return false
		case !state.ended():
			m.skip(d, root)
		}
		return true
	})
}

// giveUp stops the preparations for builds, because there will be none.
func (m *Machine) giveUp(err error) {
	if m.fatal == nil {
		m.fatal = err
	}
	m.stopFetches()
}

// cancel stops what only prepares jobs that will not start.
func (m *Machine) cancel() {
	if !m.cancelled {
		m.cancelled = true
		m.stopFetches()
	}
}

func (m *Machine) stopFetches() {
	for i := range m.steps {
		if m.steps[i].fetch == fetching {
			m.decide(Decision{Kind: StopFetch, Step: i})
		}
	}
}

// abandon gives up all jobs: the builder may be frozen, and a user who cancelled wants to leave.
func (m *Machine) abandon(err error) {
	m.running, m.lookingUp, m.preparing = [jobKinds]int{}, nil, false
	for i := range m.steps {
		if m.steps[i].state == building {
			m.steps[i].result.Err = err
			m.finish(i, cancelled)
		}
	}
}

// cancelRest ends the steps that have not ended when the run is over.
func (m *Machine) cancelRest() {
	for i := range m.steps {
		if !m.steps[i].state.ended() {
			m.move(i, cancelled)
		}
	}
}
