// Runs for tests, made of events whose times are known.

package report

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"buildsys/internal/history"
	"buildsys/internal/progress"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at returns an event some seconds after the beginning.
func at(seconds float64, kind progress.Kind, step, text string) progress.Event {
	when := began.Add(time.Duration(seconds * float64(time.Second)))
	return progress.Event{Time: when, Kind: kind, Step: step, Text: text}
}

// planned returns the beginning of a run whose steps wait for others, by their places.
func planned(steps ...progress.PlannedStep) progress.Event {
	e := at(0, progress.PlanReady, "", "")
	e.Total, e.Plan = len(steps), &progress.Plan{Arch: "x86_64", Variant: "qemu-dev", Steps: steps}
	return e
}

func step(name string, after ...int) progress.PlannedStep {
	return progress.PlannedStep{ID: "package/" + name, After: after}
}

// hostile is a text that must not become markup, a script or a terminal's escape sequence.
const hostile = `</script><script>hit=1</script><img src=x onerror="hit=1">"'&` + "\x1b]0;x\a\u202e\n" +
	"::set-output name=a::b"

// story is a run with each way to end. On two slots: musl, then low and slow, then top; bad fails.
func story() []progress.Event {
	key := fmt.Sprintf("%064x", 7)
	kept := at(0.1, progress.StepCached, "package/kept", key)
	kept.Duration, kept.Bytes = 90*time.Second, 2<<20
	got := at(3, progress.StepCached, "package/got", key)
	got.Duration, got.Bytes = 30*time.Second, 1<<20
	failed := at(26, progress.StepFailed, "package/bad", "")
	failed.Err = errors.New("exit code: 1\n" + hostile)
	failed.Cause = &progress.Cause{Phase: "%build", Text: "bad.c:1: " + hostile, Hint: "mend it"}
	done := func(seconds float64, name string, bytes int64) progress.Event {
		e := at(seconds, progress.StepDone, "package/"+name, key)
		e.Bytes = bytes
		return e
	}
	ready := at(0.5, progress.EngineReady, "", "Docker engine 20.10.24 unix:///var/run/docker.sock")
	ready.Jobs = 2
	return []progress.Event{
		planned(step("musl"), step("kept"), step("got"), step("low", 0), step("slow", 0), step("bad", 3),
			step("top", 3, 4), step("over", 5)),
		kept, at(0.1, progress.StepRestored, "package/none", ""),
		at(0.2, progress.FetchStart, "package/got", ""),
		at(0.3, progress.FetchStart, "package/musl", "musl.tar.gz"), ready,
		at(2, progress.FetchDone, "package/musl", "musl.tar.gz"),
		at(2, progress.StepStart, "package/musl", ""),
		at(2, progress.StepReason, "package/musl", "file package: musl.spec changed"),
		at(2, progress.StepReason, "package/musl", hostile),
		at(3, progress.StepFetched, "package/got", "dir:/shared"), got,
		done(10, "musl", 300<<10),
		at(10, progress.StepStart, "package/low", ""), at(10.5, progress.StepStart, "package/slow", ""),
		done(14, "low", 10), at(14.2, progress.StepStart, "package/bad", ""),
		at(14.3, progress.StepLog, "package/bad", "compiling"),
		at(14.3, progress.StepLog, "package/bad", hostile),
		failed, at(26, progress.StepSkipped, "package/over", "package/bad"),
		done(30, "slow", 20), at(30.5, progress.StepStart, "package/top", ""), done(40, "top", 5<<20),
		at(40, progress.Warning, "", "disk nearly full: /"+strings.Repeat("long", 30)+" "+hostile),
		at(40, progress.PlanDone, "", ""),
	}
}

// silent drops events.
type silent struct{}

func (silent) Event(progress.Event) {}

// keep keeps a run and reads it again. Without an outcome it is one that was killed.
func keep(t testing.TB, d history.Dir, outcome history.Outcome,
	events ...progress.Event) history.Run {
	t.Helper()
	r := d.Start(history.Begin{Root: "/tree", Command: []string{"build-variant", "qemu-dev"},
		Arch: "x86_64", Variant: "qemu-dev", Began: began}, silent{})
	id := r.ID()
	for _, e := range events {
		r.Event(e)
	}
	r.End(history.End{Outcome: outcome})
	if outcome == "" { // the process was killed before that
		if err := os.Remove(filepath.Join(d.Path, strconv.Itoa(id), "end.json")); err != nil {
			t.Fatal(err)
		}
	}
	run, err := d.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	if run.End != nil {
		run.End.Ended = began.Add(41 * time.Second)
	}
	return run
}

func model(t testing.TB, outcome history.Outcome, events ...progress.Event) *Model {
	t.Helper()
	d := history.Dir{Path: filepath.Join(t.TempDir(), "runs")}
	m, err := New(keep(t, d, outcome, events...), Sources{Files: func(step, _ string) []File {
		return []File{{Name: "x86_64/" + hostile + ".rpm", Size: 7}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// large is a run of many steps, a tenth of which were built, on four slots.
func large(steps int) []progress.Event {
	plan := make([]progress.PlannedStep, steps)
	var events []progress.Event
	for i := range plan {
		plan[i] = step(fmt.Sprintf("package-%d", i))
		if i >= 40 {
			plan[i].After = []int{i - 40, i - 17}
		}
		id := plan[i].ID
		if i%10 != 0 {
			e := at(0, progress.StepCached, id, fmt.Sprintf("%064x", i))
			e.Duration, e.Bytes = time.Minute, int64(i)
			events = append(events, e)
			continue
		}
		start := float64(i / 10 / 4 * 3)
		events = append(events, at(start, progress.StepStart, id, ""),
			at(start, progress.StepReason, id, "dependency package-1 changed: package-1.rpm"),
			at(start+3, progress.StepDone, id, fmt.Sprintf("%064x", i)))
	}
	return append([]progress.Event{planned(plan...)}, events...)
}
