// JSON: events as lines of JSON, for other programs (docs/events.md) and for runs that are kept.

package progress

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"sync"
	"time"

	"buildsys/internal/safetext"
)

// JSONFormat is the version of the lines. A change that old readers would take wrongly gets the
// next one; a new field or kind of event does not.
const JSONFormat = 1

// jsonHead is the first line of a stream.
type jsonHead struct {
	Format int       `json:"format"`
	Kind   string    `json:"kind"`
	Time   time.Time `json:"time"`
}

// jsonEvent is any other line.
type jsonEvent struct {
	Time    time.Time  `json:"time"`
	Event   string     `json:"event"`
	Step    string     `json:"step,omitempty"`
	Text    string     `json:"text,omitempty"`
	Seconds float64    `json:"seconds,omitempty"`
	Done    int        `json:"done,omitempty"`
	Total   int        `json:"total,omitempty"`
	Running []string   `json:"running,omitempty"`
	Error   string     `json:"error,omitempty"`
	Bytes   int64      `json:"bytes,omitempty"`
	Size    int64      `json:"size,omitempty"`
	Jobs    int        `json:"jobs,omitempty"`
	Engine  string     `json:"engine,omitempty"`
	Plan    *jsonPlan  `json:"plan,omitempty"`
	Cause   *jsonCause `json:"cause,omitempty"`
}

type jsonPlan struct {
	Arch    string     `json:"arch"`
	Variant string     `json:"variant,omitempty"`
	Steps   []jsonStep `json:"steps"`
}

type jsonStep struct {
	Step    string  `json:"step"`
	Seconds float64 `json:"expected_seconds"`
	Known   bool    `json:"known"`
	After   []int   `json:"after,omitempty"`
}

type jsonCause struct {
	Phase string   `json:"phase,omitempty"`
	Text  string   `json:"text"`
	Hint  string   `json:"hint,omitempty"`
	Lines []string `json:"lines,omitempty"`
}

// JSON is a sink that writes a line of JSON for each event, after one that names the format. Text
// of others is cleaned as for a terminal. It is safe for concurrent use.
type JSON struct {
	mu    sync.Mutex
	w     io.Writer
	begun bool
	err   error
}

// NewJSON returns a JSON that writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w} }

// Event implements Sink.
func (j *JSON) Event(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if !j.begun {
		j.begun = true
		j.write(jsonHead{Format: JSONFormat, Kind: "events", Time: e.Time.UTC()})
	}
	j.write(jsonOf(e))
}

// Err returns the first error of the writer.
func (j *JSON) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

func (j *JSON) write(v any) {
	if j.err != nil {
		return
	}
	var line bytes.Buffer
	out := json.NewEncoder(&line)
	out.SetEscapeHTML(false)
	if j.err = out.Encode(v); j.err == nil {
		_, j.err = j.w.Write(safetext.JSON(line.Bytes()))
	}
}

func jsonOf(e Event) jsonEvent {
	out := jsonEvent{
		Time: e.Time.UTC(), Event: e.Kind.String(), Step: e.Step, Text: Clean(e.Text),
		Seconds: seconds(e.Duration), Done: e.Done, Total: e.Total, Running: e.Running,
		Bytes: e.Bytes, Size: e.Size, Jobs: e.Jobs, Engine: e.Engine,
	}
	if e.Err != nil {
		out.Error = safetext.Lines(e.Err.Error())
	}
	if p := e.Plan; p != nil {
		out.Plan = &jsonPlan{Arch: p.Arch, Variant: p.Variant, Steps: []jsonStep{}}
		for _, s := range p.Steps {
			out.Plan.Steps = append(out.Plan.Steps, jsonStep{s.ID, seconds(s.Expected), s.Known, s.After})
		}
	}
	if c := e.Cause; c != nil {
		out.Cause = &jsonCause{c.Phase, c.Text, c.Hint, c.Lines}
	}
	return out
}

// seconds returns a duration in seconds, to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
