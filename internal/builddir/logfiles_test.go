package builddir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"buildsys/internal/progress"
)

type list struct {
	mu     sync.Mutex
	events []progress.Event
}

func (l *list) Event(e progress.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func TestLogFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs", "x86_64")
	warn := &list{}
	for _, run := range []string{"first", "second"} {
		l := NewLogFiles("", dir, 0o644, warn)
		for _, e := range []progress.Event{
			{Kind: progress.StepLog, Step: "package/bash", Text: "before its start"},
			{Kind: progress.StepStart, Step: "package/bash"},
			{Kind: progress.StepStart, Step: "variant/dev"},
			{Kind: progress.StepLog, Step: "package/bash", Text: run + " \x1b[1mraw\xff"},
			{Kind: progress.StepLog, Step: "variant/dev", Text: "image of https://u:p@h/?token=s"},
			{Kind: progress.StepRetry, Step: "package/bash", Err: errors.New("gone")},
			{Kind: progress.StepFailed, Step: "package/bash", Err: errors.New("exit code: 1")},
			{Kind: progress.StepLog, Step: "package/bash", Text: "after its end"},
			{Kind: progress.StepFailed, Step: "package/nosrc", Err: errors.New("never started")},
		} {
			l.Event(e)
		}
		path := filepath.Join(dir, "package-bash.log")
		got, err := os.ReadFile(path)
		want := run + " \x1b[1mraw\xff\n--- built again after: gone\n--- failed: exit code: 1\n"
		if string(got) != want || err != nil {
			t.Errorf("log is %q, %v; want %q", got, err, want)
		}
		if l.Path("package/bash") != path || l.Path("package/nosrc") != "" {
			t.Errorf("paths %q, %q", l.Path("package/bash"), l.Path("package/nosrc"))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "variant-dev.log")); string(got) !=
			"image of https://…@h/?token=…\n" {
			t.Errorf("log of a step that never ended: %q", got)
		}
	}
	if len(warn.events) > 0 {
		t.Errorf("warnings: %v", warn.events)
	}
}

func TestLogFilesWarnOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	warn := &list{}
	l := NewLogFiles("", filepath.Join(file, "logs"), 0o644, warn)
	for _, step := range []string{"package/a", "package/b"} {
		l.Event(progress.Event{Kind: progress.StepStart, Step: step})
		l.Event(progress.Event{Kind: progress.StepLog, Step: step, Text: "line"})
		l.Event(progress.Event{Kind: progress.StepDone, Step: step})
	}
	if len(warn.events) != 1 || warn.events[0].Kind != progress.Warning ||
		!strings.Contains(warn.events[0].Text, "not a directory") {
		t.Errorf("warnings: %+v", warn.events)
	}
	if p := l.Path("package/a"); p != "" {
		t.Errorf("path of a log that could not be made: %q", p)
	}
}

// All sinks may be called from many goroutines; this is for the race detector.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	rest := &list{}
	logs, tail := NewLogFiles("", dir, 0o644, rest), progress.NewTail(5)
	all := progress.Multi{logs, tail, rest}
	var wg sync.WaitGroup
	for i := range 8 {
		step := fmt.Sprintf("package/p%d", i)
		wg.Go(func() {
			all.Event(progress.Event{Kind: progress.StepStart, Step: step})
			for range 50 {
				all.Event(progress.Event{Kind: progress.StepLog, Step: step, Text: step})
			}
			all.Event(progress.Event{Kind: progress.StepFailed, Step: step, Err: errors.New("x")})
		})
	}
	wg.Wait()
	if len(rest.events) != 8*52 {
		t.Errorf("%d events, want %d", len(rest.events), 8*52)
	}
	for i := range 8 {
		data, _ := os.ReadFile(filepath.Join(dir, fmt.Sprintf("package-p%d.log", i)))
		want := strings.Repeat(fmt.Sprintf("package/p%d\n", i), 50) + "--- failed: x\n"
		if string(data) != want {
			t.Errorf("log %d holds %d bytes, want %d", i, len(data), len(want))
		}
	}
}

// TestLogIsWholeWhenItIsKept: the store takes a log while its step has not ended.
func TestLogIsWholeWhenItIsKept(t *testing.T) {
	l := NewLogFiles("", t.TempDir(), 0o600, &list{})
	l.Event(progress.Event{Kind: progress.StepStart, Step: "package/bash"})
	l.Event(progress.Event{Kind: progress.StepLog, Step: "package/bash", Text: "last words"})
	if got, err := os.ReadFile(l.Path("package/bash")); string(got) != "last words\n" || err != nil {
		t.Errorf("log is %q, %v", got, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
