// Package scheduler decides what a run does next. It is a pure machine: events go in, decisions
// come out, and it starts nothing, waits for nothing and knows no time but the durations it is
// told. It has steps by number only. The executor carries out its decisions; plan --simulate drives
// it in virtual time, and a forecast takes its order.
package scheduler

import (
	"iter"
	"time"
)

// Step is what the machine has to know of a step.
type Step struct {
	// After are the steps that have to end before this one is looked up; all come before it.
	After []int
	// Uses are the steps whose outputs have to be in the checkout when this one is built. Each is
	// one that this one comes after, directly or through others. Nil means none.
	Uses   iter.Seq[int]
	Wanted bool          // its outputs have to be in the checkout at the end
	Files  bool          // it has files that are fetched before it is built
	Cost   time.Duration // how long it is expected to take
}

// Limits are how many of each kind of job run at once.
type Limits struct {
	Lookups, Fetches, Places int
	// Builds is 0 while that is not known: before the first build the machine decides to Prepare,
	// and is told then.
	Builds int
}

// EventKind is what happened.
type EventKind int

// The kinds of event. Those that end a job have its Step.
const (
	Begin     EventKind = iota // the run begins; the first event
	LookedUp                   // a lookup ended: Found, or Err
	Fetched                    // the files of a step are here, or Err
	Placed                     // outputs are in the checkout, or not Found after all, or Err
	Prepared                   // builds can start, so many Jobs at once, or none because of Err
	Finished                   // a build ended, with Err or without
	Cancel                     // nothing more shall be started
	Abandoned                  // jobs that still run are not waited for; the builds ended with Err
)

// Found is where the outputs of a step are.
type Found int

// The answers to a lookup.
const (
	Missing Found = iota // nowhere: they have to be built
	Here                 // in the checkout
	Remote               // known, and in a remote cache
)

// Event is something that happened to a run.
type Event struct {
	Kind  EventKind
	Step  int
	Found Found         // LookedUp; and Placed, which is Here or Missing
	Took  time.Duration // how long the job took
	Jobs  int           // Prepared
	Err   error
	Fatal bool // Finished: the Err means that nothing else can be built either
}

// DecisionKind is what is to be done.
type DecisionKind int

// The kinds of decision. The end of every job is reported by an event.
const (
	LookUp    DecisionKind = iota // find out whether the step has to be built
	Fetch                         // fetch its files
	StopFetch                     // stop doing so: nobody needs them any more
	Place                         // bring its outputs into the checkout
	Prepare                       // make the builder ready
	Build                         // build it
	Ended                         // nothing is to be done: the step has ended, see Result
)

// Decision is something to be done.
type Decision struct {
	Kind DecisionKind
	Step int
	Done int // Ended: how many steps have ended by then
}

// Status is how a step ended.
type Status int

// The ways a step ends. It is 0 before.
const (
	Done      Status = iota + 1 // built and in place
	Cached                      // its outputs are there, or known, without having been built
	Failed                      // a job of it failed
	Skipped                     // a step it depends on failed
	Cancelled                   // the run was cancelled before the step was done
)

// String returns the status as a lower-case word.
func (s Status) String() string {
	switch s {
	case Done:
		return "done"
	case Cached:
		return "cached"
	case Failed:
		return "failed"
	case Skipped:
		return "skipped"
	case Cancelled:
		return "cancelled"
	}
	return "unknown"
}

// Result is how a step ended.
type Result struct {
	Status Status
	Took   time.Duration // of the job that ended it; 0 when there was none
	Err    error         // when Failed; when Cancelled, if a job of it was cut off
	Root   int           // when Skipped: the failed step that is the cause
}

// Machine is the state of one run.
type Machine struct {
	steps  []stepState
	order  []int // the steps by the costliest path from each to the end, the costliest first
	limits Limits

	// Which steps can have a job of each kind is said by their states; the queues only find the
	// first of them. The same is true of lookingUp, the steps whose lookups run.
	queues    [jobKinds]queue
	running   [jobKinds]int
	lookingUp []int
	preparing bool
	ended     int
	absent    int // steps that ended well, if not for ever, without outputs in the checkout
	cancelled bool
	fatal     error // why nothing can be built at all
	walk      int   // counts walks over the dependants, to visit each step once
	decisions []Decision
	moved     func(from, to state) // for tests
}

// New returns the machine for a run of steps.
func New(steps []Step, limits Limits) *Machine {
	m := &Machine{steps: make([]stepState, len(steps)), limits: limits}
	for i, s := range steps {
		state := &m.steps[i]
		state.Step, state.waits = s, len(s.After)
		if !s.Files {
			state.fetch = fetchDone
		}
		for _, d := range s.After {
			m.steps[d].dependants = append(m.steps[d].dependants, i)
		}
	}
	m.rank()
	return m
}

// Handle books an event and returns what is to be done, in this order. The jobs that run when it is
// told that they were Abandoned must not be reported any more.
func (m *Machine) Handle(e Event) []Decision {
	m.decisions = nil
	switch e.Kind {
	case Begin:
		for i := range m.steps {
			m.awaken(i)
		}
	case LookedUp:
		m.lookedUp(e)
	case Fetched:
		m.fetched(e)
	case Placed:
		m.placed(e)
	case Prepared:
		m.prepared(e)
	case Finished:
		m.finished(e)
	case Cancel:
		m.cancel()
	case Abandoned:
		m.abandon(e.Err)
	}
	m.start()
	return m.decisions
}

// Over reports whether no job runs. As long as a step can be brought further, one does.
func (m *Machine) Over() bool { return m.running == [jobKinds]int{} && !m.preparing }

// Preparing reports whether the builder is being made ready.
func (m *Machine) Preparing() bool { return m.preparing }

// Ended is how many steps have ended.
func (m *Machine) Ended() int { return m.ended }

// Fatal is why nothing could be built at all, or nil.
func (m *Machine) Fatal() error { return m.fatal }

// Awaited reports whether the end of the job that runs for a step will count: it will not when the
// step was sent back or skipped meanwhile.
func (m *Machine) Awaited(i int) bool {
	switch m.steps[i].state {
	case lookingUp, placing, recalling, building:
		return true
	}
	return false
}

// Result is how a step ended, or that it has not.
func (m *Machine) Result(i int) Result {
	r := m.steps[i].result
	r.Status = m.steps[i].state.status()
	return r
}
