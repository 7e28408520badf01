// Package scheduler decides what a run does next. It is a pure machine: events go in, decisions
// come out. It starts nothing, waits for nothing, and knows no time but the durations in events. It
// knows steps by number only. Package executor carries out its decisions; plan --simulate drives it
// in virtual time, and a forecast follows its order.
package scheduler

import (
	"iter"
	"time"
)

// Step is what the machine needs to know about a step.
type Step struct {
	// After lists the steps that must end before this one is looked up; all of them precede it.
	After []int
	// Uses are the steps whose outputs must be in the checkout when this step is built. This step
	// comes after each of them, directly or through others. Nil means none.
	Uses   iter.Seq[int]
	Wanted bool          // its outputs must be in the checkout at the end
	Files  bool          // it has files to fetch before it is built
	Cost   time.Duration // how long it is expected to take
}

// Limits holds how many jobs of each kind may run at once.
type Limits struct {
	Lookups, Fetches, Places int
	// Builds is 0 if it is not known yet: before the first build the machine decides to Prepare,
	// and the event Prepared tells it.
	Builds int
}

// EventKind is a kind of event.
type EventKind int

// The kinds of event. An event that ends a job has the job's Step.
const (
	Begin     EventKind = iota // the run begins; the first event
	LookedUp                   // a lookup ended: Found, or Err
	Fetched                    // the files of a step are here, or Err
	Placed                     // outputs are in the checkout (Here) or cannot be had (Missing), or Err
	Prepared                   // up to Jobs builds can run at once, or none because of Err
	Finished                   // a build ended; Err is nil if it succeeded
	Cancel                     // no more jobs may start
	Abandoned                  // the jobs that still run are given up; their builds ended with Err
)

// Found is where the outputs of a step are.
type Found int

// The answers to a lookup.
const (
	Missing Found = iota // nowhere: they must be built
	Here                 // in the checkout
	Remote               // known, and in a remote cache
)

// Event is something that happened to a run.
type Event struct {
	Kind  EventKind
	Step  int
	Found Found         // LookedUp; Placed, where it is Here or Missing
	Took  time.Duration // how long the job took
	Jobs  int           // Prepared
	Err   error
	Fatal bool // Finished: because of Err nothing else can be built either
}

// DecisionKind is a kind of decision.
type DecisionKind int

// The kinds of decision. An event reports the end of every job.
const (
	LookUp    DecisionKind = iota // find out whether the step has to be built
	Fetch                         // fetch its files
	StopFetch                     // stop fetching them: no step needs them any more
	Place                         // bring its outputs into the checkout
	Prepare                       // make the builder ready
	Build                         // build it
	Ended                         // nothing to do: the step has ended, see Result
)

// Decision is something for the executor to do.
type Decision struct {
	Kind DecisionKind
	Step int
	Done int // Ended: how many steps have ended so far
}

// Status is how a step ended.
type Status int

// The ways in which a step ends. The status is 0 before that.
const (
	Done      Status = iota + 1 // built and in place
	Cached                      // its outputs are in place, or known, without a build
	Failed                      // one of its jobs failed
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

// Result describes how a step ended.
type Result struct {
	Status Status
	Took   time.Duration // the job that ended it; 0 if there was none
	Err    error         // if Failed; if Cancelled and one of its jobs was cut off
	Root   int           // if Skipped: the failed step that is the cause
}

// Machine is the state of one run.
type Machine struct {
	steps  []stepState
	order  []int // the steps, costliest path to the end first
	limits Limits

	// The state of a step decides which jobs it can have; the queues only find the first such step.
	// The same holds for lookingUp, the steps that are being looked up.
	queues    [jobKinds]queue
	running   [jobKinds]int
	lookingUp []int
	preparing bool
	ended     int
	// absent counts the steps that ended with outputs in remote caches only, and those of them whose
	// outputs could not be placed: without any, miss need not look at what a step uses.
	absent    int
	cancelled bool
	fatal     error // why nothing can be built at all
	walk      int   // counts walks over the dependants, so that each visits a step once
	decisions []Decision
	moved     func(from, to state) // for tests
}

// New returns the machine for a run of the given steps.
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

// Handle books an event and returns what to do, in order. After an Abandoned event, the ends of the
// jobs that still ran must not be reported.
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

// Over reports whether no job runs. While a step can still make progress, some job runs.
func (m *Machine) Over() bool { return m.running == [jobKinds]int{} && !m.preparing }

// Preparing reports whether the builder is being prepared.
func (m *Machine) Preparing() bool { return m.preparing }

// Ended returns how many steps have ended.
func (m *Machine) Ended() int { return m.ended }

// Fatal returns why nothing could be built at all, or nil.
func (m *Machine) Fatal() error { return m.fatal }

// Awaited reports whether the end of the job that runs for a step will count. It will not if the
// step was sent back or skipped meanwhile.
func (m *Machine) Awaited(i int) bool {
	switch m.steps[i].state {
	case lookingUp, placing, recalling, building:
		return true
	}
	return false
}

// Result returns how a step ended; its Status is 0 if it has not.
func (m *Machine) Result(i int) Result {
	r := m.steps[i].result
	r.Status = m.steps[i].state.status()
	return r
}
