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
	StepStart // a step was handed to the builder
	StepLog   // one line of a step's output, without its newline, in Text
	// StepDone: a step's outputs, of which Bytes is the size, are in place; Duration is its wall
	// time. Text is its key, if it has one: the action ID.
	StepDone
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
	// StepCached: the outputs in place are those that a build would make; nothing was built. Text and
	// Bytes are as for StepDone, and Duration is how long the build took that is not repeated; 0 if
	// that is not known.
	StepCached
	StepRestored // a step's outputs were put in place from the store
	PlanDone     // the run is over; Duration is its wall time
	// FetchProgress: a long download goes on, or waits for another process; Text says how far it
	// is.
	FetchProgress
	StepFetched // a step's outputs were put in place from the remote cache in Text
	// EngineReady: builds can begin, Jobs at once. Text describes the engine, or each of several.
	EngineReady
	// StepEngine: of several engines, Engine got the step.
	StepEngine
	// RunForecast: Duration is how long the run will still take, by earlier builds and the critical
	// path, if nothing more comes from a cache.
	RunForecast
	// CommandFailed: the command ends because of Err, after the run or without one. Not for what other
	// events have said.
	CommandFailed
	// Notice: something about the run as a whole that is no warning, in Text.
	Notice
	// StepObjects: a step was built with what compilers had made in earlier ones. Text says how much
	// of it was known, and Bytes is what was sent.
	StepObjects
	// StepReason: a step is built because of what Text says: "file bash.spec changed". There may be
	// several.
	StepReason
)

// names are the kinds as JSON and stored runs have them. They never change.
var names = map[Kind]string{
	PlanReady: "plan-ready", FetchStart: "fetch-start", FetchRetry: "fetch-retry",
	FetchProgress: "fetch-progress", FetchDone: "fetch-done", StepStart: "step-start",
	StepLog: "step-log", StepDone: "step-done", StepFailed: "step-failed",
	StepSkipped: "step-skipped", StepCancelled: "step-cancelled", StepRetry: "step-retry",
	StepCached: "step-cached", StepRestored: "step-restored", StepFetched: "step-fetched",
	StepEngine: "step-engine", EngineReady: "engine-ready", Heartbeat: "heartbeat",
	RunForecast: "run-forecast", CommandFailed: "command-failed",
	Warning: "warning", Notice: "notice", PlanDone: "plan-done", StepReason: "step-reason",
	StepObjects: "step-objects",
}

// String returns the name of the kind.
func (k Kind) String() string { return names[k] }

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
	Plan     *Plan  // PlanReady: what is known before the run; nil if nothing is
	Cause    *Cause // StepFailed: what its output says; nil if nobody looked
	Bytes    int64  // FetchProgress, FetchDone: what came so far; 0 if that is not counted. Also above
	Size     int64  // FetchProgress, FetchDone: all of it; 0 if that is not known
	Jobs     int    // EngineReady: builds at once
	Engine   string // StepEngine: its address
}

// Plan is what is known of a run before it begins.
type Plan struct {
	Arch    string
	Variant string // empty for packages that are the same for all
	Steps   []PlannedStep
}

// PlannedStep is one step of a Plan.
type PlannedStep struct {
	ID string
	// Expected is how long a build of it takes: as long as the last one if Known, else a guess from
	// the others.
	Expected time.Duration
	Known    bool
	After    []int // the steps that it waits for, by their places in the plan
}

// Cause is why a step failed, as far as its output says.
type Cause struct {
	Phase string   // of rpmbuild: "%prep"; empty outside of it
	Text  string   // in one line: "patch 0001-x.patch does not apply: hunk 1 of less.c:120"
	Hint  string   // what to do; may be empty
	Lines []string // those that matter of the output, cleaned, oldest first
}

// Line returns phase and text in one line: "%prep: patch 0001-x.patch does not apply".
func (c Cause) Line() string {
	if c.Phase == "" {
		return Clean(c.Text)
	}
	return c.Phase + ": " + Clean(c.Text)
}

// Sink receives events. It must be safe for concurrent use and must not block for long.
type Sink interface {
	Event(Event)
}
