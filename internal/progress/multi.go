// Multi: one sink that hands every event to several.

package progress

// Multi is a sink that passes each event to all its sinks, in order.
type Multi []Sink

// Event passes e on.
func (m Multi) Event(e Event) {
	for _, s := range m {
		s.Event(e)
	}
}
