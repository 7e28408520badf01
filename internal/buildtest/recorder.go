// A sink that records, for tests that check events.

package buildtest

import (
	"slices"
	"sync"

	"buildsys/internal/progress"
)

// Recorder keeps every event. It is safe for concurrent use; the zero value is ready.
type Recorder struct {
	mu     sync.Mutex
	events []progress.Event
}

// Event implements progress.Sink.
func (r *Recorder) Event(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns the events of the given kinds, or all if none is given, in order of arrival.
func (r *Recorder) Events(kinds ...progress.Kind) []progress.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var events []progress.Event
	for _, e := range r.events {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			events = append(events, e)
		}
	}
	return events
}

// Steps returns the step IDs of the events of one kind, in order of arrival.
func (r *Recorder) Steps(kind progress.Kind) []string {
	var ids []string
	for _, e := range r.Events(kind) {
		ids = append(ids, e.Step)
	}
	return ids
}
