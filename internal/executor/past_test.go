// What a run tells of itself, so that it can be looked at later: why steps were built, what it
// saved, and the logs of results that other machines made.

package executor_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
	"buildsys/internal/progress"
)

// told returns the texts of the events of one kind about a step.
func (s *scene) told(kind progress.Kind, name string) (texts []string) {
	for _, e := range s.rec.Events() {
		if e.Kind == kind && e.Step == "package/"+name {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// end returns the event with which a step ended.
func (s *scene) end(t *testing.T, name string) progress.Event {
	t.Helper()
	for _, e := range slices.Backward(s.rec.Events()) {
		if e.Step == "package/"+name &&
			slices.Contains([]progress.Kind{progress.StepDone, progress.StepCached}, e.Kind) {
			return e
		}
	}
	t.Fatalf("%s did not end", name)
	return progress.Event{}
}

func TestRunTellsReasons(t *testing.T) {
	s := newCachedScene(t, 2, "low:", "top: low")
	s.mustRun(t, "low done, top done")
	if got := s.told(progress.StepReason, "low"); !slices.Equal(got,
		[]string{"there is no record of an earlier build in this checkout"}) {
		t.Errorf("the first time: %q", got)
	}
	s.edit(t, "low", "Name: low\nVersion: 2\n")
	s.mustRun(t, "low done, top done")
	if got := s.told(progress.StepReason, "low"); !slices.Equal(got,
		[]string{"file package: low.spec changed"}) {
		t.Errorf("edited: %q", got)
	}
	if got := s.told(progress.StepReason, "top"); len(got) != 1 ||
		!strings.HasPrefix(got[0], "dependency low changed: low.rpm") {
		t.Errorf("above the edit: %q", got)
	}
}

// TestRunTellsWhatItSaved: the end of a step has its key and the size of its outputs, and one that
// was not built says how long its build took.
func TestRunTellsWhatItSaved(t *testing.T) {
	s := newCachedScene(t, 1, "low:")
	s.mustRun(t, "low done")
	built := s.end(t, "low")
	id, err := cache.ParseActionID(built.Text)
	if err != nil || built.Bytes == 0 || built.Duration <= 0 {
		t.Fatalf("built: %+v, %v", built, err)
	}
	entry, ok := s.opts.Cache.Store.Get(id)
	if !ok || entry.Took <= 0 {
		t.Fatalf("the store has %+v", entry)
	}
	s.mustRun(t, "low cached")
	same := func(e progress.Event) bool {
		return e.Text == built.Text && e.Bytes == built.Bytes && e.Duration == entry.Took
	}
	if e := s.end(t, "low"); !same(e) {
		t.Errorf("in place: %+v, want %v saved", e, entry.Took)
	}
	s.remove(t, "rpms")
	s.mustRun(t, "low cached")
	if e := s.end(t, "low"); !same(e) {
		t.Errorf("restored: %+v, want %v saved", e, entry.Took)
	}
}

// TestLogsTravel: a result that another machine built brings its log and its time along, and comes
// without a log that is gone.
func TestLogsTravel(t *testing.T) {
	dir := t.TempDir()
	const printed = "checking for gcc... yes\n"
	first := sharing(t, dir, chain...)
	buildtest.Write(t, first.dir, "-- step.log --\n"+printed)
	first.opts.Cache.Log = func(string) string { return filepath.Join(first.dir, "step.log") }
	first.with(t, dir, chainBuilt)
	built := storedEntry(t, first, "top")

	second := sharing(t, dir, chain...)
	second.with(t, dir, chainCached)
	taken := storedEntry(t, second, "top")
	if got := logOf(t, second.opts.Cache.Store, taken); got != printed {
		t.Errorf("the log on the second machine is %q", got)
	}
	if !taken.Built.Equal(built.Built.Truncate(time.Second)) {
		t.Errorf("built %v, on the second machine %v", built.Built, taken.Built)
	}

	removeBlob(t, dir, built.Log)
	third := sharing(t, dir, chain...)
	third.with(t, dir, chainCached)
	if e := storedEntry(t, third, "top"); !e.Log.IsZero() {
		t.Errorf("a log that is gone: %+v", e.Log)
	}
	if got := third.warnings(); !strings.Contains(got, "its log is not kept") {
		t.Errorf("warnings: %s", got)
	}
}

func storedEntry(t *testing.T, s *scene, name string) cache.Entry {
	t.Helper()
	id, err := cache.ParseActionID(s.end(t, name).Text)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := s.opts.Cache.Store.Get(id)
	if !ok {
		t.Fatalf("%s is not in the store", name)
	}
	return e
}

func logOf(t *testing.T, store *cache.Store, e cache.Entry) string {
	t.Helper()
	f, err := store.OpenBlob(e.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// removeBlob removes a blob from a directory that is a remote cache.
func removeBlob(t *testing.T, dir string, b cache.Blob) {
	t.Helper()
	removed := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, cache.ActionID(b.SHA256).String()) {
			removed++
			return os.Remove(path)
		}
		return err
	})
	if err != nil || removed != 1 {
		t.Fatalf("removed %d files: %v", removed, err)
	}
}
