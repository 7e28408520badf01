package progress

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestReadJSON: what the sink writes comes back, except what it cleans.
func TestReadJSON(t *testing.T) {
	events := append(story(),
		Event{Time: start, Kind: StepReason, Step: "package/bash", Text: "file bash.spec changed"},
		Event{Time: start, Kind: StepEngine, Step: "package/bash", Engine: "ssh://builder.invalid"},
		Event{Time: start, Kind: StepCached, Step: "package/bash", Text: "ab12", Bytes: 1 << 40,
			Duration: 90 * time.Second},
		Event{Time: start, Kind: PlanReady, Total: 2, Plan: &Plan{Arch: "x86_64", Variant: "qemu-dev",
			Steps: []PlannedStep{{ID: "package/a", Expected: time.Second, Known: true},
				{ID: "package/b", After: []int{0}}}}},
		Event{Time: start, Kind: StepFailed, Step: "package/a",
			Cause: &Cause{Phase: "%prep", Text: "broken", Hint: "mend it", Lines: []string{"1"}}})
	var b bytes.Buffer
	sink := NewJSON(&b)
	for _, e := range events {
		sink.Event(e)
	}
	var got []Event
	if err := ReadJSON(&b, func(e Event) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(events) {
		t.Fatalf("%d of %d events came back", len(got), len(events))
	}
	for i, want := range events {
		want.Text = Clean(want.Text)
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("got  %+v\nwant %+v", got[i], want)
		}
	}
}

func TestReadJSONOfOthers(t *testing.T) {
	head := `{"format":1,"kind":"events","time":"2026-01-02T03:04:05Z"}` + "\n"
	done := `{"event":"plan-done","seconds":3}` + "\n"
	for _, tt := range []struct {
		name, text string
		events     int
		fault      string
	}{
		{"a kind of a later version", head + `{"event":"step-dreamt","dream":{}}` + "\n" + done, 1, ""},
		{"cut off", head + done + `{"event":"plan-d`, 1, ""},
		{"a later format", strings.Replace(head, "1", "2", 1) + done, 0, "format 2"},
		{"no event", head + "{}\n", 0, "no name"},
		{"no JSON", head + "plan-done\n", 0, "not an event"},
		{"never", head + `{"event":"plan-done","seconds":1e300}` + "\n", 1, ""},
	} {
		n := 0
		err := ReadJSON(strings.NewReader(tt.text), func(e Event) {
			if n++; e.Kind != PlanDone || e.Duration > time.Minute {
				t.Errorf("%s: %+v", tt.name, e)
			}
		})
		if n != tt.events || (err == nil) != (tt.fault == "") ||
			err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: %d events, %v", tt.name, n, err)
		}
	}
	endless := io.MultiReader(strings.NewReader(head), zeros{})
	err := ReadJSON(endless, func(Event) {})
	if err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a line without end: %v", err)
	}
}

// zeros is a file with a line that never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
