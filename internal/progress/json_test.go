// Golden lines of the sink for programs, and what in them must not change.

package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const jsonLines = `{"format":1,"kind":"events","time":"2026-01-02T03:04:05Z"}
{"time":"2026-01-02T03:04:05Z","event":"plan-ready","total":2,"plan":{"arch":"x86_64",` +
	`"variant":"qemu-dev","steps":[{"step":"package/a","expected_seconds":1.5,"known":true},` +
	`{"step":"package/b","expected_seconds":1.5,"known":false,"after":[0]}]}}
{"time":"2026-01-02T03:04:06.5Z","event":"fetch-progress","step":"package/a","text":"a.tar",` +
	`"bytes":1024,"size":4096}
{"time":"2026-01-02T03:04:06.5Z","event":"step-log","step":"package/a","text":"red #\u0023 [x] <b>"}
{"time":"2026-01-02T03:04:07Z","event":"step-failed","step":"package/a","seconds":1.235,"done":1,` +
	`"total":2,"error":"exit code: 1\nDockerfile:3","cause":{"phase":"%prep","text":"it is broken",` +
	`"hint":"mend it","lines":["1","2"]}}
`

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	sink := NewJSON(&b)
	half := start.Add(1500 * time.Millisecond)
	for _, e := range []Event{
		{Time: start, Kind: PlanReady, Total: 2, Plan: &Plan{Arch: "x86_64", Variant: "qemu-dev",
			Steps: []PlannedStep{{ID: "package/a", Expected: 1500 * time.Millisecond, Known: true},
				{ID: "package/b", Expected: 1500 * time.Millisecond, After: []int{0}}}}},
		{Time: half, Kind: FetchProgress, Step: "package/a", Text: "a.tar", Bytes: 1024, Size: 4096},
		{Time: half, Kind: StepLog, Step: "package/a", Text: "\x1b[31mred\x1b[0m ##[x] <b>"},
		{Time: start.Add(2 * time.Second), Kind: StepFailed, Step: "package/a", Done: 1, Total: 2,
			Duration: 1234567 * time.Microsecond, Err: errors.New("exit code: 1\nDockerfile:3"),
			Cause: &Cause{Phase: "%prep", Text: "it is broken", Hint: "mend it",
				Lines: []string{"1", "2"}}},
	} {
		sink.Event(e)
	}
	if got := b.String(); got != jsonLines || sink.Err() != nil {
		t.Errorf("got\n%s\nwant\n%s\nerror %v", got, jsonLines, sink.Err())
	}
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// TestKindNames: every kind has a name of its own, as readers tell events by it.
func TestKindNames(t *testing.T) {
	seen := map[string]Kind{}
	docs, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	for k := PlanReady; k <= StepReason; k++ {
		name := k.String()
		if other, twice := seen[name]; name == "" || twice {
			t.Errorf("kind %d has the name %q, and so has %d", k, name, other)
		}
		seen[name] = k
		if !bytes.Contains(docs, []byte("\n| `"+name+"` | ")) {
			t.Errorf("docs/events.md does not have %s", name)
		}
	}
}
