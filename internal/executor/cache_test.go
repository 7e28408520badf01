// Steps that need not be built: in place, in the store, cut off; and how a run notices damage.

package executor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// diamond is the plan of most tests below.
var diamond = []string{"a:", "b: a", "c: a", "d: a b c", "other:"}

const (
	allDone   = "a done, b done, c done, d done, other done"
	allCached = "a cached, b cached, c cached, d cached, other cached"
)

func TestNothingIsBuiltTwice(t *testing.T) {
	s := newCachedScene(t, 2, diamond...)
	s.mustRun(t, allDone)
	s.opts.Jobs, s.opts.Prepare = 0, noEngine(t)
	for _, tt := range []struct {
		name     string
		change   func()
		restored int
	}{
		{"nothing changed", func() {}, 0},
		{"records lost", func() { s.remove(t, "state") }, 0},
		{"hashes lost", func() { s.opts.Cache.Memo = cache.NewMemo(t.Context()) }, 0},
		{"outputs deleted", func() { s.remove(t, "rpms") }, 5},
		{"outputs and records deleted", func() { s.remove(t, "rpms"); s.remove(t, "state") }, 5},
		{"an output deleted", func() { s.remove(t, "rpms/b/b.rpm") }, 1},
		{"an output edited", func() { flip(t, filepath.Join(s.dir, "rpms/c/c.rpm"), 9) }, 1},
		{"a file more", func() { buildtest.Write(t, s.dir, "-- rpms/d/more.rpm --\nx\n") }, 1},
		{"a directory in the way", func() {
			s.remove(t, "rpms/a/a.rpm")
			buildtest.Write(t, s.dir, "-- rpms/a/a.rpm/x --\n")
		}, 1},
		{"touched", func() { s.edit(t, "a", "Name: a\n") }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.change()
			s.mustRun(t, allCached)
			if got := len(s.rec.Steps(progress.StepRestored)); got != tt.restored {
				t.Errorf("%d steps were restored, want %d", got, tt.restored)
			}
			if w := s.warnings(); w != "" {
				t.Errorf("warnings: %s", w)
			}
			s.mustRun(t, allCached)
			if got := s.rec.Steps(progress.StepRestored); len(got) > 0 {
				t.Errorf("restored once more: %v", got)
			}
		})
	}
}

// The store alone is enough for a checkout in another directory.
func TestAnotherCheckout(t *testing.T) {
	s := newCachedScene(t, 2, diamond...)
	s.mustRun(t, allDone)
	other := newCachedScene(t, 2, diamond...)
	other.opts.Cache.Store = s.opts.Cache.Store
	other.opts.Jobs, other.opts.Prepare = 0, noEngine(t)
	other.mustRun(t, allCached)
}

// A run builds exactly the steps that a change reaches.
func TestCutOff(t *testing.T) {
	s := newCachedScene(t, 2, diamond...)
	s.mustRun(t, allDone)
	s.edit(t, "a", "# a comment\nName: a\n")
	s.mustRun(t, "a done, b cached, c cached, d cached, other cached")
	s.edit(t, "b", "Name: b\nmore\n")
	s.mustRun(t, "a cached, b done, c cached, d done, other cached")
	s.edit(t, "a", "Name: a\nmore\n")
	s.mustRun(t, "a done, b done, c done, d done, other cached")
	s.edit(t, "a", "Name: a\n")
	s.edit(t, "b", "Name: b\n")
	s.mustRun(t, allCached) // as it was
	for _, change := range []func(){
		func() { s.opts.Cache.SDK = "sha256:1" },
		func() { s.plan.Arch = "aarch64" },
	} {
		change()
		s.mustRun(t, allDone)
		s.mustRun(t, allCached)
	}
}

// A run that reads something damaged reports what is damaged and builds it again.
func TestDamagedStore(t *testing.T) {
	for _, dir := range []string{"store/blobs", "store/entries"} {
		s := newCachedScene(t, 2, "a:", "b: a")
		s.mustRun(t, "a done, b done")
		for _, path := range s.files(t, dir) {
			if record, _ := builddir.ReadState(s.opts.Cache.State, "package/a"); dir == "store/entries" &&
				filepath.Base(path) != record.Action.String() {
				continue
			}
			s.remove(t, "rpms")
			flip(t, path, 7)
			if err := s.run(t, "a done, b cached"); err != nil {
				t.Fatal(err)
			}
			if w := s.warnings(); !strings.Contains(w, "damaged") {
				t.Errorf("%s: warnings are %q", path, w)
			}
			if dir == "store/blobs" && !strings.Contains(s.warnings(), "built again") {
				t.Errorf("no warning says that the step is built again: %q", s.warnings())
			}
			break // the other files: see TestAnyBitFlips
		}
	}
}

// An input is edited while its step runs: the build may have seen either version.
func TestInputEditedMeanwhile(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, s *scene){
		"spec": func(t *testing.T, s *scene) { s.edit(t, "a", "Name: a\nedited meanwhile\n") },
		"dependency": func(t *testing.T, s *scene) {
			buildtest.Write(t, s.dir, "-- rpms/low/low.rpm --\nby hand\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCachedScene(t, 1, "low:", "a: low", "b: a")
			s.mustRun(t, "low done, a done, b done")
			s.edit(t, "a", "Name: a\nedited\n")
			before := snapshots(t, s, "a")
			s.fake.Hook = func(_ context.Context, p plan.Solve, _ string) error {
				if buildtest.Name(p) == "a" {
					edit(t, s)
				}
				return nil
			}
			err := s.run(t, "low cached, a failed, b skipped by package/a")
			changed, ok := errors.AsType[*executor.InputChangedError](err)
			if !ok || len(changed.Changes) != 1 || !strings.Contains(changed.Error(), "run again") {
				t.Fatalf("error is %v", err)
			}
			if after := snapshots(t, s, "a"); before != after {
				t.Errorf("something was stored, published or recorded: %s, before %s", after, before)
			}
			s.fake.Hook = nil
			s.mustRun(t, "low cached, a done, b done")
		})
	}
}

// snapshots returns the store, the record and the outputs of one step as text.
func snapshots(t *testing.T, s *scene, name string) string {
	t.Helper()
	record, err := os.ReadFile(filepath.Join(s.dir, "state", "package-"+name+".state"))
	if err != nil {
		t.Fatal(err)
	}
	outputs := buildtest.Snapshot(t, s.step(name).Out)
	return strings.Join(s.files(t, "store"), "\n") + string(record) + outputs[name+".rpm"]
}

func TestInputGoneMeanwhile(t *testing.T) {
	s := newCachedScene(t, 1, "a:")
	s.fake.Hook = func(_ context.Context, p plan.Solve, out string) error {
		buildtest.Write(t, out, "-- a.rpm --\n"+buildtest.RPMMagic+"\n")
		return nil
	}
	builder := s.fake.Hook
	s.fake.Hook = nil
	s.opts.Builder = nil
	s.forget()
	s.opts.Builder = builderFunc(func(ctx context.Context, p plan.Solve, out string) error {
		defer s.remove(t, "packages")
		return builder(ctx, p, out)
	})
	rep, err := executor.Run(t.Context(), s.plan, s.opts)
	if _, ok := errors.AsType[*builddir.HostError](err); !ok || statuses(rep) != "a failed" {
		t.Errorf("%s, %v", statuses(rep), err)
	}
	if files := s.files(t, "store/entries"); len(files) > 0 {
		t.Errorf("stored: %v", files)
	}
}

type builderFunc func(ctx context.Context, p plan.Solve, out string) error

func (f builderFunc) Build(ctx context.Context, p plan.Solve, out string,
	_ func(progress.Event)) error {
	return f(ctx, p, out)
}

// A run that must not build fails where it would have to build, names the inputs that differ, and
// leaves the rest as it is.
func TestRequire(t *testing.T) {
	s := newCachedScene(t, 2, "a:", "b: a", "other:")
	s.opts.Jobs, s.opts.Prepare = 0, noEngine(t)
	s.opts.Cache.Require = true
	err := s.run(t, "a failed, b skipped by package/a, other failed")
	missing, ok := errors.AsType[*executor.NotCachedError](err)
	if !ok || missing.Known || !strings.Contains(missing.Error(), "no earlier build") {
		t.Errorf("never built: %v", err)
	}
	s.opts.Jobs, s.opts.Prepare, s.opts.Cache.Require = 2, nil, false
	s.mustRun(t, "a done, b done, other done")
	s.opts.Jobs, s.opts.Prepare, s.opts.Cache.Require = 0, noEngine(t), true
	s.mustRun(t, "a cached, b cached, other cached")
	s.remove(t, "rpms", "other")
	s.mustRun(t, "a cached, b cached, other cached")
	s.edit(t, "a", "Name: a\nedited\n")
	err = s.run(t, "a failed, b skipped by package/a, other cached")
	if missing, ok = errors.AsType[*executor.NotCachedError](err); !ok || !missing.Known ||
		!strings.Contains(missing.Error(), "a.spec changed") {
		t.Errorf("edited: %v", err)
	}
	s.edit(t, "a", "Name: a\n")
	s.remove(t, "rpms")
	s.remove(t, "store/entries")
	err = s.run(t, "a failed, b skipped by package/a, other failed")
	if missing, ok = errors.AsType[*executor.NotCachedError](err); !ok ||
		!strings.Contains(missing.Error(), "outputs are gone") {
		t.Errorf("gone: %v", err)
	}
}

// The link beside an image comes back like the image itself.
func TestLinkIsRestored(t *testing.T) {
	s := newCachedScene(t, 1, "img:")
	step := &s.plan.Steps[0]
	step.Kind, step.Link, step.Solve.Target = plan.Variant, "latest", "variant"
	link := filepath.Join(s.dir, "rpms", "latest")
	check := func(built int) {
		t.Helper()
		s.forget()
		if _, err := executor.Run(t.Context(), s.plan, s.opts.NoSync()); err != nil {
			t.Fatal(err)
		}
		if target, err := os.Readlink(link); err != nil || target != "img" ||
			len(s.fake.Calls()) != built {
			t.Errorf("link to %q (%v), %d builds; want img and %d", target, err, len(s.fake.Calls()), built)
		}
	}
	check(1)
	check(0)
	s.remove(t, "rpms", "latest")
	check(0)
	s.remove(t, "rpms", "latest")
	if err := os.Symlink("elsewhere", link); err != nil {
		t.Fatal(err)
	}
	check(0)
	s.remove(t, "rpms")
	check(0)
}

// A store that cannot be written fails no run. As nothing else says who made the outputs, the next
// run makes them again.
func TestStoreIsReadOnly(t *testing.T) {
	s := newCachedScene(t, 1, "a:", "b: a")
	s.remove(t, "store/tmp")
	s.mustRun(t, "a done, b done")
	if w := s.warnings(); !strings.Contains(w, "not kept in the store") {
		t.Errorf("warnings: %q", w)
	}
	s.mustRun(t, "a done, b done")
}

// Outputs and records that a checkout brings along are no results, however good they look.
func TestCheckoutVouchesForNothing(t *testing.T) {
	theirs := newCachedScene(t, 2, diamond...)
	theirs.mustRun(t, allDone)
	ours := newCachedScene(t, 2, diamond...)
	for _, dir := range []string{"state", "rpms"} {
		at := filepath.Join(ours.dir, dir)
		buildtest.Must(t, os.RemoveAll(at))
		buildtest.Must(t, os.CopyFS(at, os.DirFS(filepath.Join(theirs.dir, dir))))
	}
	ours.mustRun(t, allDone)
	ours.mustRun(t, allCached)
	// The store has other outputs for the action than the record and the checkout agree on.
	evil := buildtest.Snapshot(t, ours.plan.Steps[0].Out)
	for name := range evil {
		buildtest.Must(t, os.WriteFile(filepath.Join(ours.plan.Steps[0].Out, name), []byte("x"), 0o644))
	}
	_, content, err := cache.ScanDir(ours.plan.Steps[0].Out)
	buildtest.Must(t, err)
	state, _ := builddir.ReadState(ours.opts.Cache.State, ours.plan.Steps[0].ID)
	state.Content = content
	buildtest.Must(t, builddir.WriteState("", ours.opts.Cache.State, ours.plan.Steps[0].ID, state))
	ours.mustRun(t, allCached) // restored; mustRun looks at the content
}
