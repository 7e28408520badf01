// Failures in a run: builds and fetches that fail, transient faults, cancellation, frozen engines.

package executor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func TestFailureStopsOnlyDependants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, "a:", "bad: a", "c: a bad", "d: a bad c", "e: a", "f:")
		s.old(t)
		s.fail("bad")
		rep, err := executor.Run(t.Context(), s.plan, s.opts)
		want := "a done, bad failed, c skipped by package/bad, d skipped by package/bad, e done, f done"
		if got := statuses(rep); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		failed, ok := errors.AsType[*executor.FailedError](err)
		if !ok || len(failed.Roots) != 1 || failed.Skipped != 2 || !errors.Is(err, buildtest.ErrFail) {
			t.Errorf("error is %#v", err)
		}
		want = "1 of 6 steps failed and 2 more need them: package/bad"
		if got := fmt.Sprint(err); got != want {
			t.Errorf("message %q, want %q", got, want)
		}
		for _, n := range []string{"bad", "c", "d"} {
			if !s.isOld(t, n) {
				t.Errorf("%s: the earlier outputs are gone: %v", n, buildtest.Snapshot(t, s.step(n).Out))
			}
		}
		for _, n := range []string{"a", "e", "f"} {
			if !s.isNew(t, n) {
				t.Errorf("%s: not replaced: %v", n, buildtest.Snapshot(t, s.step(n).Out))
			}
		}
		skips := s.rec.Events(progress.StepSkipped)
		if len(skips) != 2 || skips[0].Step != "package/c" || skips[0].Text != "package/bad" {
			t.Errorf("skip events: %+v", skips)
		}
		s.checkStagingEmpty(t)
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, "quick:", "slow: quick", "stubborn: quick", "never: quick slow")
		s.old(t)
		stop := errors.New("interrupted by the test")
		ctx, cancel := context.WithCancelCause(t.Context())
		s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
			switch buildtest.Name(p) {
			case "quick":
				return nil
			case "stubborn": // takes a while to stop, and leaves a file
				buildtest.Write(t, out, "-- half/a.rpm --\n")
				<-ctx.Done()
				time.Sleep(3 * time.Second)
				return errors.New("killed")
			}
			<-ctx.Done()
			return ctx.Err()
		}
		time.AfterFunc(5*time.Second, func() { cancel(stop) })
		rep, err := executor.Run(ctx, s.plan, s.opts)
		if !errors.Is(err, stop) {
			t.Errorf("error %v does not wrap the cause", err)
		}
		if rep.Duration != 8*time.Second {
			t.Errorf("returned after %v, want 8s: running builds must be waited for", rep.Duration)
		}
		want := "quick done, slow cancelled, stubborn cancelled, never cancelled"
		if got := statuses(rep); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, n := range []string{"slow", "stubborn", "never"} {
			if !s.isOld(t, n) {
				t.Errorf("%s: the earlier outputs are gone: %v", n, buildtest.Snapshot(t, s.step(n).Out))
			}
		}
		if got := s.rec.Steps(progress.StepCancelled); len(got) != 2 {
			t.Errorf("cancelled events for %v, want the two that were running", got)
		}
		s.checkStagingEmpty(t)
	})
}

// A build that ignores cancellation neither holds up a cancelled run nor publishes anything later.
func TestCancelWithFrozenEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:", "b: a")
		s.old(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		s.opts.Builder = deafBuilder{ended}
		time.AfterFunc(time.Second, cancel)
		rep, err := executor.Run(ctx, s.plan, s.opts)
		if !errors.Is(err, context.Canceled) || statuses(rep) != "a cancelled, b cancelled" ||
			rep.Duration != 11*time.Second {
			t.Errorf("%v, %s after %v; want all cancelled after 11s", err, statuses(rep), rep.Duration)
		}
		s.checkStagingEmpty(t)
		<-ended
		synctest.Wait()
		if !s.isOld(t, "a") {
			t.Errorf("published after the end: %v", buildtest.Snapshot(t, s.step("a").Out))
		}
	})
}

// deafBuilder ignores its context, takes an hour and then succeeds.
type deafBuilder struct{ ended chan struct{} }

func (b deafBuilder) Build(_ context.Context, _ plan.Solve, out string,
	_ func(progress.Event)) error {
	time.Sleep(time.Hour)
	close(b.ended)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "late.rpm"), []byte(buildtest.RPMMagic), 0o644)
}

func TestCancelledBeforeTheStart(t *testing.T) {
	s := newScene(t, 2, "a:")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rep, err := executor.Run(ctx, s.plan, s.opts)
	if !errors.Is(err, context.Canceled) || statuses(rep) != "a cancelled" ||
		len(s.fake.Calls()) != 0 {
		t.Errorf("%v, %s, built %v", err, statuses(rep), s.fake.Calls())
	}
}

func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:", "nosrc:", "c: nosrc", "slow:", "e: a nosrc")
		for _, n := range []string{"a", "nosrc", "slow", "e"} {
			s.step(n).Fetch = []manifest.ExternalFile{{URL: "https://example.org/" + n + ".tar.gz"}}
		}
		missing := errors.New("not in the lookaside cache")
		var cancelled bool
		s.opts.Fetch = func(ctx context.Context, step plan.Step) error {
			switch step.ID {
			case "package/nosrc":
				time.Sleep(time.Second)
				return missing
			case "package/slow":
				time.Sleep(20 * time.Second)
			case "package/e": // not needed any more once nosrc has failed
				<-ctx.Done()
				cancelled = true
				return ctx.Err()
			}
			return nil
		}
		s.fake.Hook = wait(15 * time.Second)
		rep, err := executor.Run(t.Context(), s.plan, s.opts)
		want := "a done, nosrc failed, c skipped by package/nosrc, slow done, e skipped by package/nosrc"
		if got := statuses(rep); got != want || !errors.Is(err, missing) {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
		if !cancelled {
			t.Error("the fetch of a skipped step was not cancelled")
		}
		if rep.Duration != 35*time.Second {
			t.Errorf("took %v, want 35s: slow's fetch must not keep a from being built", rep.Duration)
		}
	})
}

type faultError struct{ transient bool }

// lossError is a fault after which only one more attempt is made.
type lossError struct{ faultError }

func (lossError) Attempts() int  { return 2 }
func (lossError) Reason() string { return "engine lost" }

func (e faultError) Error() string   { return "rpc error: connection reset by peer" }
func (e faultError) Transient() bool { return e.transient }

func TestRetryOnlyTransient(t *testing.T) {
	for _, tt := range []struct {
		name  string
		errs  []error // of successive attempts; nil succeeds
		calls int
		ok    bool
	}{
		{"once", []error{faultError{true}, nil}, 2, true},
		{"wrapped", []error{fmt.Errorf("solve: %w", faultError{true}), nil}, 2, true},
		{"gives up", []error{faultError{true}, faultError{true}, faultError{true}, nil}, 3, false},
		{"gives up earlier", []error{lossError{faultError{true}}, lossError{faultError{true}}, nil}, 2,
			false},
		{"typed but not transient", []error{faultError{false}, nil}, 1, false},
		{"only the words", []error{errors.New("connection reset by peer, try again: unavailable"), nil},
			1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, 1, "a:")
			s.fake.Hook = attempts(t, s, tt.errs)
			var waits []time.Duration
			s.opts.SetSleep(func(_ context.Context, d time.Duration) error {
				waits = append(waits, d)
				return nil
			})
			asked := 0
			s.opts.Ready = func(context.Context) error { asked++; return nil }
			rep, err := executor.Run(t.Context(), s.plan, s.opts)
			if asked != tt.calls-1 || rep.Steps[0].Retries != tt.calls-1 {
				t.Errorf("Ready was called %d times, %d retries are in the report", asked,
					rep.Steps[0].Retries)
			}
			if (err == nil) != tt.ok || len(s.fake.Calls()) != tt.calls || len(waits) != tt.calls-1 {
				t.Errorf("%d builds, %d waits, error %v; want %d builds, success %v", len(s.fake.Calls()),
					len(waits), err, tt.calls, tt.ok)
			}
			if got := len(s.rec.Events(progress.StepRetry)); got != tt.calls-1 {
				t.Errorf("%d retry events, want %d", got, tt.calls-1)
			}
			for i, w := range waits {
				if w < 0 || w >= 2*time.Second<<i {
					t.Errorf("wait %d is %v", i, w)
				}
			}
			s.checkStagingEmpty(t)
		})
	}
}

// attempts returns a Hook that fails with one error after the other. Each attempt leaves a file,
// and the next must not find it.
func attempts(
	t *testing.T, s *scene, errs []error,
) func(context.Context, plan.Solve, string) error {
	return func(_ context.Context, _ plan.Solve, out string) error {
		if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
			t.Errorf("attempt begins with %v, %v in its directory", left, err)
		}
		if dirs, err := os.ReadDir(filepath.Dir(out)); err != nil || len(dirs) != 1 {
			t.Errorf("attempt begins with %v, %v in staging: failed attempts must not use up the disk",
				dirs, err)
		}
		buildtest.Write(t, out, "-- debris.rpm --\n")
		err := errs[len(s.fake.Calls())-1]
		if err == nil {
			err = os.Remove(filepath.Join(out, "debris.rpm"))
		}
		return err
	}
}

// TestRetryBudget checks that the retries of a run are bounded, so that an engine that dies in
// every step does not multiply its work.
func TestRetryBudget(t *testing.T) {
	s := newScene(t, 1, "a:", "b:", "c:", "d:", "e:")
	s.fake.Hook = func(context.Context, plan.Solve, string) error {
		return lossError{faultError{true}}
	}
	s.opts.SetSleep(func(context.Context, time.Duration) error { return nil })
	rep, err := executor.Run(t.Context(), s.plan, s.opts)
	sum := 0
	for _, step := range rep.Steps {
		sum += step.Retries
	}
	if err == nil || len(s.fake.Calls()) != 5+3 || sum != 3 {
		t.Errorf("%d builds of 5 steps, %d retries in the report, error %v; want 3 retries",
			len(s.fake.Calls()), sum, err)
	}
	retried, ok := errors.AsType[*executor.RetriedError](rep.Steps[4].Err)
	if !ok || retried.Attempts != 1 || !strings.Contains(retried.Error(), "used up") {
		t.Errorf("the last step says %v", rep.Steps[4].Err)
	}
	if e := s.rec.Events(progress.StepRetry)[0]; e.Text != "attempt 2 of 2, engine lost" {
		t.Errorf("retry event %+v", e)
	}
}

// TestAllLostAtOnce checks that one loss of the engine, which interrupts all steps that run on it,
// fails none of them.
func TestAllLostAtOnce(t *testing.T) {
	s := newScene(t, 5, "a:", "b:", "c:", "d:", "e:")
	var mu sync.Mutex
	lost := map[string]bool{}
	s.fake.Hook = func(_ context.Context, p plan.Solve, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if again := lost[p.Name]; again {
			return nil
		}
		lost[p.Name] = true
		return lossError{faultError{true}}
	}
	s.opts.SetSleep(func(context.Context, time.Duration) error { return nil })
	if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil || len(s.fake.Calls()) != 10 {
		t.Errorf("%d builds, %v; want each of 5 twice", len(s.fake.Calls()), err)
	}
}

// TestBuilderGone checks that a builder that does not become ready again ends the run, because no
// other step can be built.
func TestBuilderGone(t *testing.T) {
	s := newScene(t, 1, "a:", "b:", "c:")
	s.fake.Hook = func(context.Context, plan.Solve, string) error { return faultError{true} }
	s.opts.SetSleep(func(context.Context, time.Duration) error { return nil })
	gone := errors.New("nothing answers")
	s.opts.Ready = func(context.Context) error { return gone }
	_, err := executor.Run(t.Context(), s.plan, s.opts)
	if !errors.Is(err, gone) || len(s.fake.Calls()) != 1 {
		t.Errorf("%d builds, error %v; want one build and what Ready said", len(s.fake.Calls()), err)
	}
	s.checkStagingEmpty(t)
}
