// The states of a step, and which state may follow which.

package scheduler

import (
	"fmt"
	"slices"
	"time"
)

// state is the state of a step.
//
//	state         what moves a step there
//	waiting       the beginning; or it was sent back: see below
//	lookupQueued  all steps that it comes after have ended well
//	lookingUp     the decision to look it up
//	placeQueued   the lookup found its outputs in a remote cache, and it is wanted
//	placing       the decision to place them
//	missed        the lookup found nothing; or its outputs could not be placed after all
//	ready         its files and all outputs that it uses are here
//	building      the decision to build it
//	outdated      it was sent back while one of these jobs ran; the job's end moves it to waiting
//	elsewhere     the lookup found its outputs in a remote cache, and it is not wanted
//	recallQueued  it was elsewhere, and a step that uses its outputs was missed
//	recalling     the decision to place them
//	here          the lookup found its outputs in the checkout; or they were placed there
//	built         the build ended well
//	failed        a job of it failed, or there are no files for it
//	skipped       a step below it failed
//	cancelled     a job of it failed in a cancelled run; or the run ended before the step did
//
// A step has ended from elsewhere on. If the announced outputs of a step cannot be placed, the step
// is missed, and all steps above it that have not failed are sent back: the step may come out
// differently when it is built, and then their keys change.
type state int

const (
	waiting state = iota
	lookupQueued
	lookingUp
	placeQueued
	placing
	missed
	ready
	building
	outdated
	elsewhere
	recallQueued
	recalling
	here
	built
	failed
	skipped
	cancelled
	states int = iota
)

var stateNames = [states]string{
	waiting: "waiting", lookupQueued: "lookupQueued", lookingUp: "lookingUp",
	placeQueued: "placeQueued", placing: "placing", missed: "missed", ready: "ready",
	building: "building", outdated: "outdated", elsewhere: "elsewhere",
	recallQueued: "recallQueued", recalling: "recalling", here: "here", built: "built",
	failed: "failed", skipped: "skipped", cancelled: "cancelled",
}

// String returns the state as it is called above.
func (s state) String() string { return stateNames[s] }

// moves lists, for each state, the states that may follow it.
var moves = [states][]state{
	waiting:      {lookupQueued, skipped, cancelled},
	lookupQueued: {lookingUp, waiting, skipped, cancelled},
	lookingUp:    {here, elsewhere, placeQueued, missed, failed, outdated, skipped, cancelled},
	placeQueued:  {placing, waiting, skipped, cancelled},
	placing:      {here, missed, failed, outdated, skipped, cancelled},
	missed:       {ready, failed, waiting, skipped, cancelled},
	ready:        {building, waiting, skipped, cancelled},
	building:     {built, failed, outdated, skipped, cancelled},
	outdated:     {waiting, skipped, cancelled},
	elsewhere:    {recallQueued, waiting},
	recallQueued: {recalling, waiting},
	recalling:    {here, missed, failed, outdated, cancelled},
	here:         {waiting},
	built:        {waiting},
}

// status returns the Status that a state stands for.
func (s state) status() Status {
	switch s {
	case built:
		return Done
	case elsewhere, recallQueued, recalling, here:
		return Cached
	case failed:
		return Failed
	case skipped:
		return Skipped
	case cancelled:
		return Cancelled
	}
	return 0
}

// ended reports whether a step in this state has ended.
func (s state) ended() bool { return s >= elsewhere }

// absent reports whether a step in this state has ended and its outputs are not in the checkout.
func (s state) absent() bool { return s == elsewhere || s == recallQueued || s == recalling }

// fetchState is the progress of a step's files. They are fetched ahead, whatever the step's state.
type fetchState int

const (
	fetchIdle   fetchState = iota // perhaps never needed: the step may be known
	fetchQueued                   // it or a step below it was missed
	fetching                      // the decision to fetch them
	fetchDone                     // they are here, or there are none
	fetchFailed                   // they cannot be had, which matters only if the step is missed
)

// stepState is all that the machine knows about a step.
type stepState struct {
	Step
	dependants []int // the steps that come directly after it
	rank       time.Duration
	turn       int // its index in the machine's order

	state  state
	result Result // without the status, which follows from the state
	waits  int    // how many of After have not ended

	fetch    fetchState
	fetchErr error
	ahead    bool // the files of all steps above it were asked for

	lacks   int      // missed: how many of its Uses are not in the checkout yet
	round   int      // how often it was sent back
	waiters []waiter // recallQueued and recalling: the steps that lack it
	walk    int      // the last walk that visited it
}

// waiter is a step that lacks outputs, unless it was sent back since round.
type waiter struct{ step, round int }

// move moves a step to another state.
func (m *Machine) move(i int, to state) {
	s := &m.steps[i]
	if !slices.Contains(moves[s.state], to) {
		panic(fmt.Sprintf("scheduler: step %d cannot go from %v to %v", i, s.state, to))
	}
	if m.moved != nil {
		m.moved(s.state, to)
	}
	switch from := s.state; {
	case to == elsewhere:
		m.absent++
	case from.absent() && !to.absent() && to != failed:
		m.absent--
	}
	s.state = to
}

// finish moves a step to one of the states in which it has ended.
func (m *Machine) finish(i int, to state) {
	m.move(i, to)
	if s := &m.steps[i]; s.fetch == fetchQueued {
		s.fetch = fetchIdle
	}
	m.ended++
	m.decide(Decision{Kind: Ended, Step: i, Done: m.ended})
}

func (m *Machine) decide(d Decision) { m.decisions = append(m.decisions, d) }

// above visits the steps that come after step i, directly or through others, each once and nearest
// first. It does not go beyond a step for which visit returns false.
func (m *Machine) above(i int, visit func(int) bool) {
	m.walk++
	for todo := []int{i}; len(todo) > 0; todo = todo[1:] {
		for _, d := range m.steps[todo[0]].dependants {
			if m.steps[d].walk == m.walk {
				continue
			}
			if m.steps[d].walk = m.walk; visit(d) {
				todo = append(todo, d)
			}
		}
	}
}
