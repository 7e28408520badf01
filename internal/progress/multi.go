// Multi: a sink that passes every event to several sinks.

package progress

// Multi is a sink that passes each event to all its sinks, in order.
type Multi []Sink

// Event implements Sink.
func (m Multi) Event(e Event) {
	for _, s := range m {
		s.Event(e)
	}
}
