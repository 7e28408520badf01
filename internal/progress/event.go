// Package progress defines the events of a run and the sinks that show them. Packages that work on
// a build report through events, and none of them prints.
package progress

import "time"

// Kind is the kind of an Event.
type Kind int

// The kinds of event, in the usual order of a step's life.
const (
	PlanReady Kind = iota + 1 // the run starts; Total is the number of steps
	// FetchStart: Step waits for an external file, whose name is Text, or, if Text is empty, for
	// its outputs from a remote cache.
	FetchStart
	FetchRetry // an attempt failed and is repeated; Text says which, Err why
	// FetchDone: the file is there and verified; Text is its name, Duration the time it took.
	FetchDone
	StepStart   // a step was handed to the builder
	StepLog     // one line of a step's output, without its newline, in Text
	StepDone    // a step's outputs are in place; Duration is its wall time
	StepFailed  // a step failed; Err says why
	StepSkipped // a step was not run because the step named in Text failed
	// StepCancelled: a step that was being worked on was stopped because the run was cancelled.
	StepCancelled
	// StepRetry: a transient fault; the step is run again. Err is the fault, Text says which
	// attempt is next and the kind of fault.
	StepRetry
	// Heartbeat: nothing else has happened for a while. Running lists the steps being worked on,
	// Text other work.
	Heartbeat
	Warning // something a user should know, in Text; Step may be empty
	// StepCached: the outputs in place are those that a build would make; nothing was built.
	StepCached
	StepRestored // a step's outputs were put in place from the store
	PlanDone     // the run is over; Duration is its wall time
	// FetchProgress: a long download goes on, or waits for another process; Text says how far it
	// is.
	FetchProgress
	StepFetched // a step's outputs were put in place from the remote cache in Text
)

// Event is one thing that happened. Fields that a kind does not use are zero.
type Event struct {
	Time     time.Time
	Kind     Kind
	Step     string // step ID, "package/bash"
	Text     string
	Duration time.Duration
	Done     int      // steps finished, failed or skipped so far
	Total    int      // steps of the run
	Running  []string // step IDs being worked on, oldest first
	Err      error
}

// Sink receives events. It must be safe for concurrent use and must not block for long.
type Sink interface {
	Event(Event)
}
