// Multi: one sink that hands every event to several.

package progress

// Multi returns a sink that passes each event to all sinks, in order.
func Multi(sinks ...Sink) Sink { return multi(sinks) }

type multi []Sink

func (m multi) Event(e Event) {
	for _, s := range m {
		s.Event(e)
	}
}
