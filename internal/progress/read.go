// read: events from lines of JSON, as the sink JSON writes them.

package progress

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// maxJSONLine is the longest line that is read: the plan of ten thousand steps has about a MiB.
const maxJSONLine = 64 << 20

// kinds are the kinds by their names.
var kinds = func() map[string]Kind {
	all := map[string]Kind{}
	for k, name := range names {
		all[name] = k
	}
	return all
}()

// ReadJSON calls each with the events of a stream that a JSON has written, and returns when the
// stream ends or at the first error. It leaves out kinds that it does not know, which a later
// version may have, and a last line that is cut off, as a killed writer leaves it. The caller
// bounds the stream.
func ReadJSON(r io.Reader, each func(Event)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(lines)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil // also behind a line without its end
			}
			return err
		}
		var head jsonHead
		var e jsonEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("not an event: %w", err)
		}
		if e.Event == "" {
			if err := json.Unmarshal(line, &head); err != nil || head.Format < 1 {
				return errors.New("not an event: it has no name")
			}
			if head.Format > JSONFormat {
				return fmt.Errorf("the events have format %d; this buildsys reads formats up to %d: "+
					"use the newer one", head.Format, JSONFormat)
			}
			continue
		}
		if kinds[e.Event] != 0 {
			each(e.event())
		}
	}
}

// readLine returns a line with its end, or an error.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxJSONLine {
			return nil, fmt.Errorf("a line has more than %d bytes", maxJSONLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (j jsonEvent) event() Event {
	e := Event{
		Time: j.Time, Kind: kinds[j.Event], Step: j.Step, Text: j.Text, Duration: duration(j.Seconds),
		Done: j.Done, Total: j.Total, Running: j.Running, Bytes: j.Bytes, Size: j.Size, Jobs: j.Jobs,
		Engine: j.Engine,
	}
	if j.Error != "" {
		e.Err = errors.New(j.Error)
	}
	if j.Plan != nil {
		e.Plan = &Plan{Arch: j.Plan.Arch, Variant: j.Plan.Variant}
		for _, s := range j.Plan.Steps {
			step := PlannedStep{ID: s.Step, Expected: duration(s.Seconds), Known: s.Known, After: s.After}
			e.Plan.Steps = append(e.Plan.Steps, step)
		}
	}
	if c := j.Cause; c != nil {
		e.Cause = &Cause{c.Phase, c.Text, c.Hint, c.Lines}
	}
	return e
}

// duration is the opposite of seconds. What no run takes is 0.
func duration(s float64) time.Duration {
	if math.IsNaN(s) || s < 0 || s > (100*365*24*time.Hour).Seconds() {
		return 0
	}
	return time.Duration(math.Round(s*1000)) * time.Millisecond
}
