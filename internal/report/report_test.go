package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/history"
	"buildsys/internal/progress"
)

// TestModel: how steps ended, where they ran, and which of them decided.
func TestModel(t *testing.T) {
	m := model(t, history.Failure, story()...)
	var got strings.Builder
	for _, s := range m.Steps {
		fmt.Fprintf(&got, "%s %s", progress.Name(s.ID), s.Status)
		if s.ran() {
			fmt.Fprintf(&got, " %v-%v slot %d", s.Build.Start, s.Build.End, s.Slot)
		}
		if s.Critical {
			got.WriteString(" critical")
		}
		fmt.Fprintf(&got, ": %.40s\n", s.why())
	}
	const want = `musl built 2s-10s slot 0 critical: file package: musl.spec changed, and 1 m
kept up to date: its outputs were in place
got fetched: another machine built it
low built 10s-14s slot 0: 
slow built 10.5s-30s slot 1 critical: 
bad failed 14.2s-26s slot 0: 
top built 30.5s-40s slot 0 critical: 
over skipped: bad failed
none restored: built before from the same inputs
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if s := m.Saved(); s.Steps != 3 || s.Time != 2*time.Minute || s.Unknown != 1 {
		t.Errorf("saved %+v", s)
	}
	if m.Took != 41*time.Second || m.Work() != 52800*time.Millisecond {
		t.Errorf("took %v, work %v", m.Took, m.Work())
	}
	if log := m.Steps[5].Log; len(log) < 3 || log[0] != "compiling" {
		t.Errorf("the log of what failed: %q", log)
	}
}

// TestCriticalSlots: where all slots are taken, the build that frees one decides.
func TestCriticalSlots(t *testing.T) {
	m := model(t, history.Success, planned(step("base"), step("other"), step("last", 0)),
		at(0, progress.StepStart, "package/base", ""), at(5, progress.StepDone, "package/base", ""),
		at(5.1, progress.StepStart, "package/other", ""), at(25, progress.StepDone, "package/other", ""),
		at(25.1, progress.StepStart, "package/last", ""), at(30, progress.StepDone, "package/last", ""))
	if !slices.Equal(m.Critical, []int{0, 1, 2}) || !m.Steps[1].ForSlot || !m.Steps[2].ForSlot {
		t.Errorf("%v: %+v", m.Critical, m.Steps)
	}
}

// TestObjects: the page says how much compilers had made before.
func TestObjects(t *testing.T) {
	const text = "1,351 of 1,352 objects known, 2 MiB sent"
	m := model(t, history.Success, planned(step("a")), at(0, progress.StepStart, "package/a", ""),
		at(4, progress.StepObjects, "package/a", text), at(5, progress.StepDone, "package/a", ""))
	if got := m.details(m.Steps[0]); !slices.Contains(got, fact{"Compiler cache", text}) {
		t.Errorf("the details %q", got)
	}
}

// TestKilledRun: what had not ended reaches to the last that is known.
func TestKilledRun(t *testing.T) {
	m := model(t, "", append(story()[:15], at(20, progress.Warning, "", "last"))...)
	if s := m.Steps[3]; s.Status != Running || s.Build != (Span{10 * time.Second, 20 * time.Second}) {
		t.Errorf("%+v", s)
	}
	if text := html(t, m, nil); !strings.Contains(text, "ended without an end") {
		t.Error("the page does not say that the run was killed")
	}
}

// TestBadPlan: steps that wait for themselves or for later ones would have no drawing.
func TestBadPlan(t *testing.T) {
	m := model(t, history.Success, planned(step("a", 0, 1, -1, 99), step("b", 0)))
	if a, b := m.Steps[0].After, m.Steps[1].After; len(a) != 0 || !slices.Equal(b, []int{0}) {
		t.Errorf("%v, %v", a, b)
	}
	if m.drawing() == nil {
		t.Error("no drawing")
	}
}

func html(t testing.TB, m, earlier *Model) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, m, earlier); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHostileText: nothing that others wrote is markup in the page.
func TestHostileText(t *testing.T) {
	text := html(t, model(t, history.Failure, story()...), nil)
	for _, bad := range []string{"<img", "<script>hit", "\x1b", "\u202e", "\n::"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if n := strings.Count(text, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	if !strings.Contains(text, "bad.c:1: &lt;/script&gt;") {
		t.Error("the page does not show why a step failed")
	}
}

// TestBounds: thousands of steps make a page that opens at once, and it says what is left out.
func TestBounds(t *testing.T) {
	text := html(t, model(t, history.Success, large(2000)...), nil)
	if len(text) > 4<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
	if n := strings.Count(text, `<g class="box`); n != maxBoxes {
		t.Errorf("%d boxes", n)
	}
	if !strings.Contains(text, "1600 steps are left out") {
		t.Error("it does not say that steps are missing in the graph")
	}
	if n := strings.Count(text, `id="step-`); n != 2000 {
		t.Errorf("%d of 2000 steps", n)
	}
}

func TestCompare(t *testing.T) {
	d := history.Dir{Path: filepath.Join(t.TempDir(), "runs")}
	was, err := New(keep(t, d, history.Success, planned(step("same"), step("slower"), step("gone")),
		at(0, progress.StepStart, "package/same", ""), at(10, progress.StepDone, "package/same", ""),
		at(10, progress.StepStart, "package/slower", ""), at(12, progress.StepDone, "package/slower", ""),
		at(12, progress.StepCached, "package/gone", "")), Sources{})
	if err != nil {
		t.Fatal(err)
	}
	grown := at(30, progress.StepDone, "package/slower", "")
	grown.Bytes = 2048
	was.Steps[1].Bytes = 1024
	is, err := New(keep(t, d, history.Success, planned(step("same"), step("slower"), step("new")),
		at(0, progress.StepStart, "package/same", ""), at(10.5, progress.StepDone, "package/same", ""),
		at(11, progress.StepStart, "package/slower", ""), grown,
		at(31, progress.StepCached, "package/new", "")), Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range compare(is, was).Steps {
		fmt.Fprintf(&got, "%d %s: %s, %s, %s, %s\n", s.N, s.Name, s.Before, s.After, s.Delta, s.Size)
	}
	const want = `1 slower: built in 2.0s, built in 19.0s, +17.0s, +1 KiB
2 new: –, up to date, new, 
-1 gone: up to date, –, gone, 
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// TestTrace: the trace has an event for each build and download, in the place of its slot.
func TestTrace(t *testing.T) {
	var b bytes.Buffer
	if err := Trace(&b, model(t, history.Failure, story()...)); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		TraceEvents []traceEvent
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range doc.TraceEvents {
		got = append(got, fmt.Sprintf("%s %s %d.%d %d+%d", e.Phase, e.Name, e.Process, e.Thread,
			e.Time/1000, e.Duration/1000))
	}
	want := []string{
		"M process_name 1.0 0+0", "X run 1.1 0+41000",
		"M process_name 2.0 0+0", "X musl 2.1 2000+8000", "X low 2.1 10000+4000",
		"X bad 2.1 14200+11800", "X top 2.1 30500+9500", "X slow 2.2 10500+19500",
		"M process_name 3.0 0+0", "X got 3.1 200+2800", "X musl 3.2 300+1700",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestDurations: what was built took its time, and what was cached had taken one. What failed or
// was skipped tells nothing of how long it takes.
func TestDurations(t *testing.T) {
	var b bytes.Buffer
	if err := Durations(&b, model(t, history.Failure, story()...)); err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"musl": 8, "low": 4, "slow": 19.5, "top": 9.5, "kept": 90, "got": 30}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
