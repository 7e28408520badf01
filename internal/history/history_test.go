package history

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/progress"
)

const bash = "package/bash"

func event(k progress.Kind, text string) progress.Event {
	return progress.Event{Time: time.Now(), Kind: k, Step: bash, Text: text, Total: 1}
}

// story is a run that builds one package.
func story() []progress.Event {
	return []progress.Event{
		event(progress.PlanReady, ""), event(progress.StepStart, ""),
		event(progress.StepReason, "file bash.spec changed"),
		event(progress.StepLog, "checking for gcc... yes"), event(progress.Heartbeat, ""),
		event(progress.StepLog, "\x1b[31mred\x1b[0m"),
		event(progress.StepDone, "ab12"), event(progress.PlanDone, ""),
	}
}

func newDir(t *testing.T) Dir { return Dir{filepath.Join(t.TempDir(), "cache/runs")} }

// keep keeps a run with events.
func keep(t *testing.T, d Dir, end End, events ...progress.Event) int {
	t.Helper()
	rec := &buildtest.Recorder{}
	r := d.Start(Begin{Root: "/tree", Began: time.Now()}, rec)
	id := r.ID()
	for _, e := range events {
		r.Event(e)
	}
	r.End(end)
	if w := rec.Events(progress.Warning); len(w) > 0 {
		t.Fatal(w)
	}
	return id
}

func read(t *testing.T, r Run) string {
	t.Helper()
	log, err := r.Log(bash)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	text, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func kinds(t *testing.T, r Run) (all []progress.Kind) {
	t.Helper()
	if err := r.Events(func(e progress.Event) { all = append(all, e.Kind) }); err != nil {
		t.Fatal(err)
	}
	return all
}

const printed = "checking for gcc... yes\n\x1b[31mred\x1b[0m\n"

func TestKeepsRun(t *testing.T) {
	d := newDir(t)
	id := keep(t, d, End{Outcome: Failure, Error: "why"}, story()...)
	r, err := d.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Root != "/tree" || r.Running || r.End == nil || r.End.Outcome != Failure ||
		r.End.Error != "why" || r.End.Built != 1 || r.End.Total != 1 {
		t.Errorf("%+v, %+v", r, r.End)
	}
	want := []progress.Kind{progress.PlanReady, progress.StepStart, progress.StepReason,
		progress.StepDone, progress.PlanDone}
	if got := kinds(t, r); !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
	if got := read(t, r); got != printed {
		t.Errorf("log %q", got)
	}
	if _, err := os.Lstat(filepath.Join(d.Path, "1/logs/package-bash.log.zst")); err != nil {
		t.Errorf("the log is not packed: %v", err)
	}
	var missing *NoRunError
	if _, err := d.Open(7); !errors.As(err, &missing) {
		t.Errorf("a run that is not kept: %v", err)
	}
}

// TestIsPrivate: what a build prints is nobody else's business.
func TestIsPrivate(t *testing.T) {
	d := newDir(t)
	keep(t, d, End{}, story()...)
	err := filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
		info, e2 := e.Info()
		if err = errors.Join(err, e2); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKilledRun: a process that is killed leaves what it had written, and a run that says so.
func TestKilledRun(t *testing.T) {
	d := newDir(t)
	r := d.Start(Begin{Root: "/tree"}, &buildtest.Recorder{})
	for _, e := range story()[:6] {
		r.Event(e)
	}
	if run, err := d.Open(1); err != nil || !run.Running || run.Lost() {
		t.Errorf("while it goes on: %+v, %v", run, err)
	}
	r.close() // as the kernel does
	path := filepath.Join(d.Path, "1", eventsFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"event":"step-do`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	run, err := d.Open(1)
	if err != nil || !run.Lost() {
		t.Fatalf("%+v, %v", run, err)
	}
	if got := kinds(t, run); len(got) != 3 {
		t.Errorf("events %v", got)
	}
	if got := read(t, run); got != printed {
		t.Errorf("log %q", got)
	}
}

// TestNumbers: runs that begin at the same time have different numbers.
func TestNumbers(t *testing.T) {
	d := newDir(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { keep(t, d, End{}, story()...) })
	}
	group.Wait()
	runs, err := d.List(func(int, error) {})
	if err != nil || len(runs) != 8 || runs[0].ID != 8 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}

// TestNeverFailsBuild: where nothing can be kept, there is one warning.
func TestNeverFailsBuild(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, d Dir) Dir{
		"a file is in the way": func(t *testing.T, d Dir) Dir {
			buildtest.Write(t, filepath.Dir(d.Path), "-- runs --\n")
			return d
		},
		"others may write": func(t *testing.T, d Dir) Dir {
			if err := errors.Join(os.MkdirAll(d.Path, 0o700), os.Chmod(d.Path, 0o777)); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"a link": func(t *testing.T, d Dir) Dir {
			if err := errors.Join(os.MkdirAll(filepath.Dir(d.Path), 0o700),
				os.Symlink(t.TempDir(), d.Path)); err != nil {
				t.Fatal(err)
			}
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := prepare(t, newDir(t))
			rec := &buildtest.Recorder{}
			r := d.Start(Begin{}, rec)
			for _, e := range story() {
				r.Event(e)
			}
			r.End(End{Outcome: Success})
			if w := rec.Events(progress.Warning); len(w) != 1 ||
				!strings.HasPrefix(w[0].Text, "this run is not kept: ") {
				t.Errorf("warnings %v", w)
			}
		})
	}
}

// TestFullDisk: the record ends with a warning where the disk is full.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	rec := &buildtest.Recorder{}
	r := newDir(t).Start(Begin{}, rec)
	r.lines.Reset(full)
	r.Event(event(progress.PlanReady, ""))
	r.flush()
	for _, e := range story() {
		r.Event(e)
	}
	r.End(End{Outcome: Success})
	if w := rec.Events(progress.Warning); len(w) != 1 ||
		!strings.Contains(w[0].Text, "no space left") {
		t.Errorf("warnings %v", w)
	}
}

// TestBounds: a run that goes wild is cut, and says so.
func TestBounds(t *testing.T) {
	d := newDir(t)
	r := d.Start(Begin{}, &buildtest.Recorder{})
	r.n = maxRecorded
	r.printed[bash] = maxLog - 30
	for _, e := range story() {
		r.Event(e)
	}
	r.End(End{})
	run, err := d.Open(1)
	if err != nil || !strings.Contains(run.End.Left, "only the first") {
		t.Fatalf("%+v, %v", run.End, err)
	}
	want := []progress.Kind{progress.StepDone, progress.PlanDone}
	if got := kinds(t, run); !slices.Equal(got, want) {
		t.Errorf("events %v", got)
	}
}

func TestLogIsBounded(t *testing.T) {
	d := newDir(t)
	r := d.Start(Begin{}, &buildtest.Recorder{})
	r.Event(event(progress.StepStart, ""))
	r.Event(event(progress.StepLog, "first"))
	r.printed[bash] = maxLog
	for range 3 {
		r.Event(event(progress.StepLog, "more"))
	}
	r.Event(event(progress.StepDone, ""))
	r.End(End{})
	run, err := d.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, run); got != "first\n--- more than 64 MiB: the rest is only in build/logs/\n" {
		t.Errorf("log %q", got)
	}
}

func TestTrim(t *testing.T) {
	idle, busy := []progress.Event{event(progress.StepCached, "")}, story()
	for _, tt := range []struct {
		name   string
		limits Limits
		want   []int
	}{
		{"none", Limits{}, []int{6, 5, 4, 3, 2, 1}},
		{"number", Limits{Runs: 2}, []int{6, 5, 4}},
		{"idle", Limits{Idle: 1}, []int{6, 5, 4, 2}},
		{"bytes", Limits{Bytes: 1}, []int{6, 5}},
		{"age", Limits{Age: time.Nanosecond}, []int{6}},
	} {
		d := newDir(t)
		keep(t, d, End{Outcome: Success}, idle...)
		keep(t, d, End{Outcome: Success}, busy...)
		keep(t, d, End{Outcome: Success}, idle...)
		keep(t, d, End{Outcome: Success}, busy...)
		keep(t, d, End{Outcome: Success}, idle...)
		running := d.Start(Begin{Began: time.Now()}, &buildtest.Recorder{})
		buildtest.Write(t, d.Path, "-- .gone-9/logs/x --\nleft by a killed process")
		removed, err := d.Trim(tt.limits, time.Now().Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		runs, _ := d.List(func(int, error) {})
		for _, r := range runs {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, tt.want) || removed.Runs != 6-len(tt.want) {
			t.Errorf("%s: left %v, removed %+v; want %v", tt.name, got, removed, tt.want)
		}
		if _, err := os.Lstat(filepath.Join(d.Path, ".gone-9")); err == nil {
			t.Errorf("%s: what was half removed is still there", tt.name)
		}
		running.End(End{})
		if s, err := d.Stat(); err != nil || s.Runs != len(tt.want) || s.Bytes <= 0 {
			t.Errorf("%s: %+v, %v", tt.name, s, err)
		}
	}
}

// buffer may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestFollow: lines come as they are printed, and it ends with the step.
func TestFollow(t *testing.T) {
	d := newDir(t)
	r := d.Start(Begin{}, &buildtest.Recorder{})
	run, err := d.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	var out buffer
	waiting, ended := make(chan bool), make(chan error)
	go func() { ended <- run.Follow(t.Context(), bash, &out, func() { close(waiting) }) }()
	<-waiting
	want := ""
	r.Event(event(progress.StepStart, ""))
	for i := range 3 {
		line := fmt.Sprintf("line %d", i)
		want += line + "\n"
		r.Event(event(progress.StepLog, line))
		if !need.Until(10*time.Second, func() bool { return out.String() == want }) {
			t.Fatalf("%q, want %q", out.String(), want)
		}
	}
	r.Event(event(progress.StepLog, "last"))
	r.Event(event(progress.StepDone, ""))
	if err := <-ended; err != nil || out.String() != want+"last\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	// A step that has ended before is shown whole, one that is not built is none.
	var again bytes.Buffer
	if err := run.Follow(t.Context(), bash, &again, nil); err != nil ||
		again.String() != want+"last\n" {
		t.Errorf("%q, %v", again.String(), err)
	}
	r.End(End{})
	err = run.Follow(t.Context(), "package/none", io.Discard, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a step that was not built: %v", err)
	}
}

// TestBuiltAgain: a step that is built twice in a run has its last log.
func TestBuiltAgain(t *testing.T) {
	d := newDir(t)
	keep(t, d, End{}, event(progress.StepStart, ""), event(progress.StepLog, "one"),
		event(progress.StepDone, ""), event(progress.StepStart, ""), event(progress.StepLog, "two"),
		event(progress.StepDone, ""))
	run, err := d.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, run); got != "two\n" {
		t.Errorf("log %q", got)
	}
}
