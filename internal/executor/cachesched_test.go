// The order of events with a cache: lookups, fetches, the builder's preparation, cancellation.

package executor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func TestPrepareOnceAndOnlyForAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCachedScene(t, 0, "a:", "b:", "c:", "d: a b c")
		prepared := 0
		s.opts.Prepare = func(context.Context, []plan.Step) (int, error) {
			prepared++
			time.Sleep(time.Second)
			return 2, nil
		}
		s.fake.Hook = wait(time.Second)
		s.mustRun(t, "a done, b done, c done, d done")
		if prepared != 1 || s.fake.MaxRunning() != 2 {
			t.Errorf("prepared %d times, %d builds at once; want 1 and the 2 that Prepare said", prepared,
				s.fake.MaxRunning())
		}
		s.mustRun(t, "a cached, b cached, c cached, d cached")
		s.remove(t, "rpms")
		s.mustRun(t, "a cached, b cached, c cached, d cached")
		if prepared != 1 {
			t.Error("the builder was prepared for a run in which nothing is built")
		}
		s.opts.Jobs = 1 // the user's setting overrides Prepare
		s.edit(t, "a", "Name: a\nedited\n")
		s.edit(t, "b", "Name: b\nedited\n")
		s.mustRun(t, "a done, b done, c cached, d done")
		if prepared != 2 || s.fake.MaxRunning() != 1 {
			t.Errorf("prepared %d times, %d builds at once; want 2 and 1", prepared, s.fake.MaxRunning())
		}
	})
}

// If the builder cannot be prepared, nothing can be built: work for it stops, the rest is
// cancelled, and the run's error is the cause.
func TestPrepareFails(t *testing.T) {
	for _, jobs := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			s := newCachedScene(t, jobs, "known:", "a: known", "b: a", "slow:", "late: known a")
			s.mustRunOnly(t, "known")
			for _, n := range []string{"a", "slow", "late"} {
				s.step(n).Fetch = []manifest.ExternalFile{{URL: "https://example.org/" + n}}
			}
			stopped := 0
			var mu sync.Mutex
			s.opts.Fetch = func(ctx context.Context, step plan.Step) error {
				if step.ID == "package/a" {
					return nil
				}
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				stopped++
				return ctx.Err()
			}
			refused := errors.New("connection refused")
			s.opts.Prepare = func(context.Context, []plan.Step) (int, error) {
				time.Sleep(time.Second)
				return 0, refused
			}
			s.forget()
			rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
			want := "known cached, a cancelled, b cancelled, slow cancelled, late cancelled"
			if statuses(rep) != want || !errors.Is(err, refused) {
				t.Errorf("got  %s, %v\nwant %s", statuses(rep), err, want)
			}
			if rep.Duration != time.Second || stopped != 2 || len(s.fake.Calls()) > 0 {
				t.Errorf("%v, %d fetches stopped, built %v", rep.Duration, stopped, s.fake.Calls())
			}
			s.checkStagingEmpty(t)
		})
	}
}

// mustRunOnly runs the plan with nothing but the named first step.
func (s *scene) mustRunOnly(t *testing.T, name string) {
	t.Helper()
	whole, prepare := s.plan, s.opts.Prepare
	s.plan.Steps, s.opts.Prepare = s.plan.Steps[:1], nil
	s.mustRun(t, name+" done")
	s.plan, s.opts.Prepare = whole, prepare
}

// A builder that hangs while it gets ready does not keep a cancelled run from ending.
func TestPrepareHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCachedScene(t, 0, "a:", "b: a")
		release := make(chan struct{})
		defer close(release)
		s.opts.Prepare = func(context.Context, []plan.Step) (int, error) { <-release; return 1, nil }
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		rep, err := executor.Run(ctx, s.plan, s.opts)
		if !errors.Is(err, context.Canceled) || statuses(rep) != "a cancelled, b cancelled" ||
			rep.Duration != 11*time.Second {
			t.Errorf("%s after %v, %v", statuses(rep), rep.Duration, err)
		}
	})
}

// Files are fetched for steps that are built and, ahead of time, for the steps above them, but
// never for a step that is known to be up to date.
func TestFetchOnlyWhatIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCachedScene(t, 2, "a:", "b: a", "c: b", "other:")
		for i := range s.plan.Steps {
			s.plan.Steps[i].Fetch = []manifest.ExternalFile{{URL: "https://example.org/x"}}
		}
		var mu sync.Mutex
		var fetched []string
		broken := map[string]bool{}
		s.opts.Fetch = func(_ context.Context, step plan.Step) error {
			mu.Lock()
			defer mu.Unlock()
			fetched = append(fetched, step.ID)
			if broken[step.ID] {
				return errors.New("no such file")
			}
			return nil
		}
		check := func(want ...string) {
			t.Helper()
			slices.Sort(fetched)
			if !slices.Equal(fetched, want) {
				t.Errorf("fetched for %v, want %v", fetched, want)
			}
			fetched = nil
		}
		s.mustRun(t, "a done, b done, c done, other done")
		check("package/a", "package/b", "package/c", "package/other")
		s.mustRun(t, "a cached, b cached, c cached, other cached")
		check()

		// b comes out the same, so c is cached even though its files, asked for ahead, cannot be
		// fetched.
		broken["package/c"] = true
		s.edit(t, "b", "# comment\nName: b\n")
		s.mustRun(t, "a cached, b done, c cached, other cached")
		check("package/b", "package/c")

		s.edit(t, "b", "Name: b\nedited\n")
		err := s.run(t, "a cached, b done, c failed, other cached")
		check("package/b", "package/c")
		if err == nil || slices.Contains(s.fake.Calls(), "c") {
			t.Errorf("%v, built %v", err, s.fake.Calls())
		}
	})
}

// slowLookup makes the next lookup of the step take a second: it finds damage, and its warnings are
// slow.
func (s *scene) slowLookup(t *testing.T, name string, then func()) {
	t.Helper()
	record, ok := builddir.ReadState(s.opts.Cache.State, "package/"+name)
	if !ok {
		t.Fatal("no record")
	}
	entry, ok := s.opts.Cache.Store.Peek(record.Action)
	if !ok {
		t.Fatal("no entry")
	}
	blob := fmt.Sprintf("%x", entry.Files[0].SHA256)
	path := filepath.Join(s.opts.Cache.Store.Dir, "blobs", blob[:2], blob)
	// Blobs are read-only, which stops everybody but root.
	if err := errors.Join(os.Chmod(path, 0o644), os.Truncate(path, 1)); err != nil {
		t.Fatal(err)
	}
	s.remove(t, "rpms", name)
	// There are two warnings: for the blob, and for its entry.
	s.opts.Cache.Store.Warn = func(string) { time.Sleep(time.Second / 2); then() }
}

// The only job is not given to a cheaper step while a costlier one is still being looked up.
func TestLookupsKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCachedScene(t, 1, "a:", "b: a", "c: b", "x:", "y:")
		s.fake.Hook = wait(time.Minute)
		s.mustRun(t, "a done, b done, c done, x done, y done")
		for _, n := range []string{"x", "y"} {
			s.edit(t, n, "Name: "+n+"\nedited\n")
		}
		s.forget()
		s.slowLookup(t, "a", func() {})
		rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
		if want := "a done, b cached, c cached, x done, y done"; err != nil || statuses(rep) != want {
			t.Fatalf("%s, %v", statuses(rep), err)
		}
		if got := fmt.Sprint(s.fake.Calls()); got != "[a x y]" ||
			rep.Duration != 3*time.Minute+time.Second {
			t.Errorf("built %v in %v, want a first", got, rep.Duration)
		}
		// A cheaper step whose lookup takes long holds up no other.
		s.edit(t, "a", "Name: a\nedited\n")
		s.edit(t, "b", "Name: b\nedited\n")
		s.forget()
		s.slowLookup(t, "x", func() {})
		rep, err = executor.Run(t.Context(), s.plan, s.opts.NoSync())
		if err != nil || rep.Duration != 4*time.Minute || fmt.Sprint(s.fake.Calls()) != "[a b c x]" {
			t.Errorf("built %v in %v, %v", s.fake.Calls(), rep.Duration, err)
		}
	})
}

// A run cancelled while it looks steps up builds and publishes nothing more.
func TestCancelDuringLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newCachedScene(t, 2, "a:", "b: a", "other:")
		s.mustRun(t, "a done, b done, other done")
		s.remove(t, "rpms", "other")
		ctx, cancel := context.WithCancel(t.Context())
		s.forget()
		s.slowLookup(t, "a", cancel)
		rep, err := executor.Run(ctx, s.plan, s.opts.NoSync())
		if want := "a cancelled, b cancelled, other cached"; !errors.Is(err, context.Canceled) ||
			statuses(rep) != want {
			t.Errorf("%s, %v; want %s", statuses(rep), err, want)
		}
		if len(s.fake.Calls()) > 0 || len(s.rec.Events(progress.StepStart)) > 0 {
			t.Errorf("built %v", s.fake.Calls())
		}
		if left := buildtest.Snapshot(t, s.step("a").Out); len(left) > 0 {
			t.Errorf("a was published: %v", left)
		}
		s.checkStagingEmpty(t)
		s.mustRun(t, "a done, b cached, other cached")
	})
}
