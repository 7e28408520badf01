// Scenes for tests of runs with a cache: steps have input files, and there are a store and records.

package executor_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// newCachedScene is newScene with a spec file for every step and a cache.
func newCachedScene(t *testing.T, jobs int, lines ...string) *scene {
	t.Helper()
	s := newScene(t, jobs, lines...)
	for i := range s.plan.Steps {
		step := &s.plan.Steps[i]
		s.edit(t, step.Name, "Name: "+step.Name+"\n")
		file := plan.File{Name: step.Name + ".spec", Host: s.spec(step.Name), Mode: 0o644}
		step.Solve.Contexts["package"] = plan.Context{Files: []plan.File{file}}
	}
	store, err := cache.Open(filepath.Join(s.dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Cache = &executor.Cache{
		Store: store, Memo: cache.NewMemo(t.Context()), SDK: "sha256:0",
		State:  filepath.Join(s.dir, "state"),
		Nodes:  cache.Nodes{Dir: filepath.Join(s.dir, "state/packages")},
		Log:    func(string) string { return "" },
		Trusts: func(string) bool { return true },
	}
	s.forget()
	return s
}

// forget replaces the builder and the recorder, so that they show only the next run.
func (s *scene) forget() {
	s.fake = &buildtest.Fake{Hook: s.fake.Hook}
	s.rec = &buildtest.Recorder{}
	s.opts.Builder, s.opts.Sink = s.fake, s.rec
	rec := s.rec
	s.opts.Cache.Store.Warn = func(text string) {
		rec.Event(progress.Event{Kind: progress.Warning, Text: text})
	}
}

func (s *scene) spec(name string) string { return filepath.Join(s.dir, "packages", name+".spec") }

func (s *scene) edit(t *testing.T, name, text string) {
	t.Helper()
	buildtest.Write(t, filepath.Join(s.dir, "packages"), "-- "+name+".spec --\n"+text)
}

// run runs the plan and fails the test unless the steps end as wanted and exactly the steps that
// are "done" were built.
func (s *scene) run(t *testing.T, want string) error {
	t.Helper()
	s.forget()
	rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
	if got := statuses(rep); got != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	var built []string
	for part := range strings.SplitSeq(want, ", ") {
		if name, ok := strings.CutSuffix(part, " done"); ok {
			built = append(built, name)
		}
	}
	if calls := slices.Sorted(slices.Values(s.fake.Calls())); err == nil &&
		!slices.Equal(calls, slices.Sorted(slices.Values(built))) {
		t.Errorf("built %v, want %v", calls, built)
	}
	if err == nil {
		for _, step := range s.plan.Steps {
			if !s.isNew(t, step.Name) {
				t.Errorf("the outputs of %s are %v", step.Name, buildtest.Snapshot(t, step.Out))
			}
		}
	}
	s.checkStagingEmpty(t)
	return err
}

// mustRun is run for a run that must succeed.
func (s *scene) mustRun(t *testing.T, want string) {
	t.Helper()
	if err := s.run(t, want); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) remove(t *testing.T, path ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(append([]string{s.dir}, path...)...)); err != nil {
		t.Fatal(err)
	}
}

// files returns the paths of all regular files below a directory of the scene.
func (s *scene) files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	for name, text := range buildtest.Snapshot(t, filepath.Join(s.dir, dir)) {
		if path := filepath.Join(s.dir, dir, name); text != "dir" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// flip changes one bit of a file in place, as a failing disk does.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1 << (at % 8)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) warnings() string {
	var texts []string
	for _, e := range s.rec.Events(progress.Warning) {
		texts = append(texts, e.Text)
	}
	return strings.Join(texts, "\n")
}

// noEngine returns a Prepare function that must not be called.
func noEngine(t *testing.T) func(context.Context, []plan.Step) (int, error) {
	return func(context.Context, []plan.Step) (int, error) {
		t.Error("the builder was prepared although nothing has to be built")
		return 1, nil
	}
}
