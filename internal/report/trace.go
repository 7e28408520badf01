// trace: a run in the format of Chrome's tracing, which ui.perfetto.dev, chrome://tracing and
// others show: a process for each engine, a thread for each of its slots.

package report

import (
	"encoding/json"
	"io"
	"time"

	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// traceEvent is an event of the format: a complete one ("X"), or a name ("M").
type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`
	Time     int64          `json:"ts"` // microseconds
	Duration int64          `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Args     map[string]any `json:"args,omitempty"`
}

// Trace writes a run as JSON.
func Trace(w io.Writer, m *Model) error {
	t := tracer{m: m, processes: map[string]int{}, threads: map[int]int{}}
	t.add("run", m.Run.Command, Span{0, m.Took})
	for _, lane := range m.Lanes() {
		t.lane(lane)
	}
	data, err := json.Marshal(struct {
		Events []traceEvent   `json:"traceEvents"`
		Unit   string         `json:"displayTimeUnit"`
		Other  map[string]any `json:"otherData"`
	}{t.events, "ms", map[string]any{"run": m.Run.ID, "command": m.Run.Command, "arch": m.Arch,
		"began": m.Run.Began.Format(time.RFC3339Nano)}})
	if err == nil {
		_, err = w.Write(append(safetext.JSON(data), '\n'))
	}
	return err
}

type tracer struct {
	m         *Model
	events    []traceEvent
	processes map[string]int
	threads   map[int]int // how many each process has
}

// add adds the run itself.
func (t *tracer) add(name string, command []string, s Span) {
	t.process("buildsys")
	t.events = append(t.events, traceEvent{Name: name, Category: "run", Phase: "X",
		Duration: s.Took().Microseconds(), Process: 1, Thread: 1,
		Args: map[string]any{"command": command}})
}

// process returns the number of a process, which it names when it is new.
func (t *tracer) process(name string) int {
	if t.processes[name] == 0 {
		t.processes[name] = len(t.processes) + 1
		t.events = append(t.events, traceEvent{Name: "process_name", Phase: "M",
			Process: t.processes[name], Args: map[string]any{"name": name}})
	}
	return t.processes[name]
}

func (t *tracer) lane(l Lane) {
	process := t.process(t.m.laneTitle(l.Name, l.Parts[0].Get != nil))
	t.threads[process]++
	for _, p := range l.Parts {
		s := t.m.Steps[p.Step]
		e := traceEvent{Name: progress.Name(s.ID), Category: string(s.Status), Phase: "X",
			Time: p.Start.Microseconds(), Duration: max(1, p.Took().Microseconds()), Process: process,
			Thread: t.threads[process], Args: s.Attributes()}
		if p.Get != nil {
			e.Category, e.Args = "download", map[string]any{"file": p.Get.Name, "bytes": p.Get.Bytes}
		}
		t.events = append(t.events, e)
	}
}

// Attributes returns what is said of a step in traces and spans.
func (s Step) Attributes() map[string]any {
	all := map[string]any{"step": s.ID, "status": string(s.Status)}
	for name, value := range map[string]string{"engine": s.Engine, "key": s.Key, "why": s.why(),
		"error": s.Err, "origin": s.Origin} {
		if value != "" {
			all[name] = value
		}
	}
	if s.Bytes > 0 {
		all["bytes"] = s.Bytes
	}
	if s.Critical {
		all["critical"] = true
	}
	return all
}
