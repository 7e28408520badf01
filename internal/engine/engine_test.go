// Scheduling, failure, cancellation, fetching, retries and heartbeats, in virtual time with a fake builder.

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// scene is a plan in a temporary directory with a fake builder and a recorder.
type scene struct {
	dir  string
	plan plan.Plan
	fake *buildtest.Fake
	rec  *buildtest.Recorder
	opts engine.Options
}

// newScene makes a plan from lines "name: dep dep", in order.
func newScene(t *testing.T, jobs int, lines ...string) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), fake: &buildtest.Fake{}, rec: &buildtest.Recorder{}}
	s.plan.Arch = "x86_64"
	index := map[string]int{}
	for i, line := range lines {
		name, deps, _ := strings.Cut(line, ":")
		step := plan.Step{
			ID: "package/" + name, Kind: plan.Package, Name: name,
			Solve: plan.Solve{Name: name + " x86_64", Target: "package", Contexts: map[string]plan.Context{}},
			Out:   filepath.Join(s.dir, "rpms", name),
		}
		rpms := plan.Context{Dirs: map[string]string{}}
		for d := range strings.FieldsSeq(deps) {
			step.Deps = append(step.Deps, index[d])
			rpms.Dirs[d] = s.plan.Steps[index[d]].Out
		}
		step.Solve.Contexts["rpms"] = rpms
		index[name] = i
		s.plan.Steps = append(s.plan.Steps, step)
	}
	s.opts = engine.Options{Builder: s.fake, Sink: s.rec, Jobs: jobs, Staging: filepath.Join(s.dir, "staging")}
	return s
}

func (s *scene) step(name string) *plan.Step {
	for i := range s.plan.Steps {
		if s.plan.Steps[i].Name == name {
			return &s.plan.Steps[i]
		}
	}
	panic("no step " + name)
}

// fail makes the named step's build fail.
func (s *scene) fail(name string) {
	s.step(name).Solve.Contexts["package"] = plan.Context{Files: []plan.File{{Name: "FAIL", Data: []byte("make: *** no rule\n")}}}
}

// old puts an earlier output in the place of every step.
func (s *scene) old(t *testing.T) {
	for _, st := range s.plan.Steps {
		buildtest.Write(t, st.Out, "-- old.rpm --\nold "+st.Name+"\n")
	}
}

func (s *scene) isOld(t *testing.T, name string) bool {
	return maps.Equal(buildtest.Snapshot(t, s.step(name).Out), map[string]string{"old.rpm": "old " + name + "\n"})
}

// isNew reports whether the step's outputs are those of a complete build and nothing else.
func (s *scene) isNew(t *testing.T, name string) bool {
	t.Helper()
	sum, err := buildtest.Hash(s.step(name).Solve)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{name + ".rpm": buildtest.RPMMagic + sum + "\n"}
	return maps.Equal(buildtest.Snapshot(t, s.step(name).Out), want)
}

func (s *scene) checkStagingEmpty(t *testing.T) {
	t.Helper()
	if left := buildtest.Snapshot(t, s.opts.Staging); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}

func statuses(rep engine.Report) string {
	var parts []string
	for _, r := range rep.Steps {
		p := strings.TrimPrefix(r.ID, "package/") + " " + r.Status.String()
		if r.Root != "" {
			p += " by " + r.Root
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, ", ")
}

func wait(d time.Duration) func(context.Context, plan.Solve, string) error {
	return func(ctx context.Context, _ plan.Solve, _ string) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestDiamond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 4, "a:", "b: a", "c: a", "d: a b c")
		s.fake.Hook = wait(time.Second)
		rep, err := engine.Run(t.Context(), s.plan, s.opts)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Duration != 3*time.Second {
			t.Errorf("took %v of virtual time, want 3s: b and c must run together", rep.Duration)
		}
		calls := s.fake.Calls()
		if calls[0] != "a" || calls[3] != "d" || len(calls) != 4 {
			t.Errorf("built in order %v", calls)
		}
		for _, n := range calls {
			if !s.isNew(t, n) {
				t.Errorf("%s: outputs are %v", n, buildtest.Snapshot(t, s.step(n).Out))
			}
		}
		if ev := s.rec.Events(progress.PlanReady, progress.PlanDone); len(ev) != 2 || ev[1].Done != 4 || ev[1].Total != 4 {
			t.Errorf("begin and end events: %+v", ev)
		}
		s.checkStagingEmpty(t)
	})
}

// Must show 5 of the first milestone: with two jobs, exactly two of eight equal steps run at any time.
func TestExactlyTwoAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, "a:", "b:", "c:", "d:", "e:", "f:", "g:", "h:")
		s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
			time.Sleep(time.Second) // virtual: ends when all that can start has started
			if n := s.fake.Running(); n != 2 {
				t.Errorf("%s: %d builds at once, want 2", p.Name, n)
			}
			time.Sleep(time.Second)
			return nil
		}
		rep, err := engine.Run(t.Context(), s.plan, s.opts)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Duration != 8*time.Second || s.fake.MaxRunning() != 2 {
			t.Errorf("%d at once, %v in all; want 2 and 8s", s.fake.MaxRunning(), rep.Duration)
		}
	})
}

func TestLongestPathFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "x:", "y:", "a:", "b: a", "c: a b")
		if _, err := engine.Run(t.Context(), s.plan, s.opts); err != nil {
			t.Fatal(err)
		}
		if got, want := s.fake.Calls(), []string{"a", "b", "x", "y", "c"}; !slices.Equal(got, want) {
			t.Errorf("built %v, want %v", got, want)
		}
		s = newScene(t, 1, "x:", "y:", "a:", "b: a", "c: a b")
		s.opts.Cost = func(st plan.Step) time.Duration {
			return map[string]time.Duration{"y": time.Hour}[st.Name]
		}
		if _, err := engine.Run(t.Context(), s.plan, s.opts); err != nil {
			t.Fatal(err)
		}
		if got := s.fake.Calls(); got[0] != "y" {
			t.Errorf("built %v, want the costly y first", got)
		}
	})
}

// In 300 random graphs with random failures: dependencies come first, the limit holds, what can run does, what cannot is skipped.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		synctest.Test(t, func(t *testing.T) { randomGraph(t, rnd) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomGraph(t *testing.T, rnd *rand.Rand) {
	n, jobs := 1+rnd.IntN(8), 1+rnd.IntN(4)
	var lines []string
	for i := range n {
		line := fmt.Sprintf("p%d:", i)
		for d := range i {
			if rnd.IntN(3) == 0 {
				line += fmt.Sprintf(" p%d", d)
			}
		}
		lines = append(lines, line)
	}
	s := newScene(t, jobs, lines...)
	want := make([]engine.Status, n) // Done, Failed or Skipped
	took := map[string]time.Duration{}
	for i, st := range s.plan.Steps {
		took[st.Name] = time.Duration(rnd.IntN(5)) * time.Second
		want[i] = engine.Done
		for _, d := range st.Deps {
			if want[d] != engine.Done {
				want[i] = engine.Skipped
			}
		}
		if want[i] == engine.Done && rnd.IntN(8) == 0 {
			want[i] = engine.Failed
			s.fail(st.Name)
		}
	}
	s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
		for d := range p.Contexts["rpms"].Dirs {
			if !s.isNew(t, d) {
				t.Errorf("%s was started before %s was there", p.Name, d)
			}
		}
		return wait(took[buildtest.Name(p)])(ctx, p, out)
	}
	rep, err := engine.Run(t.Context(), s.plan, s.opts.NoSync())
	for i, r := range rep.Steps {
		if r.Status != want[i] {
			t.Errorf("%v: %s is %s, want %s", lines, r.ID, r.Status, want[i])
		}
	}
	if failed := slices.Contains(want, engine.Failed); failed != (err != nil) {
		t.Errorf("error is %v, but a failure was planned: %v", err, failed)
	}
	if m := s.fake.MaxRunning(); m > jobs {
		t.Errorf("%d builds at once, limit %d", m, jobs)
	}
	s.checkStagingEmpty(t)
}

func TestFailureStopsOnlyDependants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, "a:", "bad: a", "c: a bad", "d: a bad c", "e: a", "f:")
		s.old(t)
		s.fail("bad")
		rep, err := engine.Run(t.Context(), s.plan, s.opts)
		want := "a done, bad failed, c skipped by package/bad, d skipped by package/bad, e done, f done"
		if got := statuses(rep); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		failed, ok := errors.AsType[*engine.FailedError](err)
		if !ok || len(failed.Roots) != 1 || failed.Skipped != 2 || !errors.Is(err, buildtest.ErrFail) {
			t.Errorf("error is %#v", err)
		}
		if got, want := fmt.Sprint(err), "1 of 6 steps failed and 2 more need them: package/bad"; got != want {
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
			case "stubborn": // needs a while to stop, and leaves something
				buildtest.Write(t, out, "-- half/a.rpm --\n")
				<-ctx.Done()
				time.Sleep(3 * time.Second)
				return errors.New("killed")
			}
			<-ctx.Done()
			return ctx.Err()
		}
		time.AfterFunc(5*time.Second, func() { cancel(stop) })
		rep, err := engine.Run(ctx, s.plan, s.opts)
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

// A build that does not listen cannot keep a cancelled run, nor publish anything later.
func TestCancelWithFrozenEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:", "b: a")
		s.old(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		s.opts.Builder = deafBuilder{ended}
		time.AfterFunc(time.Second, cancel)
		rep, err := engine.Run(ctx, s.plan, s.opts)
		if !errors.Is(err, context.Canceled) || statuses(rep) != "a cancelled, b cancelled" || rep.Duration != 11*time.Second {
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

// deafBuilder takes an hour, whatever its context says, and then succeeds.
type deafBuilder struct{ ended chan struct{} }

func (b deafBuilder) Build(_ context.Context, _ plan.Solve, out string, _ func(progress.Event)) error {
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
	rep, err := engine.Run(ctx, s.plan, s.opts)
	if !errors.Is(err, context.Canceled) || statuses(rep) != "a cancelled" || len(s.fake.Calls()) != 0 {
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
		s.opts.Fetch = func(ctx context.Context, step string, files []manifest.ExternalFile) error {
			switch step {
			case "package/nosrc":
				time.Sleep(time.Second)
				return missing
			case "package/slow":
				time.Sleep(20 * time.Second)
			case "package/e": // not needed any more once nosrc failed
				<-ctx.Done()
				cancelled = true
				return ctx.Err()
			}
			return nil
		}
		s.fake.Hook = wait(15 * time.Second)
		rep, err := engine.Run(t.Context(), s.plan, s.opts)
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
		{"typed but not transient", []error{faultError{false}, nil}, 1, false},
		{"only the words", []error{errors.New("connection reset by peer, try again: unavailable"), nil}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, 1, "a:")
			s.fake.Hook = func(_ context.Context, _ plan.Solve, out string) error {
				if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
					t.Errorf("attempt begins with %v, %v in its directory", left, err)
				}
				if dirs, err := os.ReadDir(filepath.Dir(out)); err != nil || len(dirs) != 1 {
					t.Errorf("attempt begins with %v, %v in staging: failed attempts must not use up the disk", dirs, err)
				}
				buildtest.Write(t, out, "-- debris.rpm --\n")
				err := tt.errs[len(s.fake.Calls())-1]
				if err == nil {
					err = os.Remove(filepath.Join(out, "debris.rpm"))
				}
				return err
			}
			var waits []time.Duration
			s.opts.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
			_, err := engine.Run(t.Context(), s.plan, s.opts)
			if (err == nil) != tt.ok || len(s.fake.Calls()) != tt.calls || len(waits) != tt.calls-1 {
				t.Errorf("%d builds, %d waits, error %v; want %d builds, success %v", len(s.fake.Calls()), len(waits), err, tt.calls, tt.ok)
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

// Log lines do not count as signs of life: the default view does not show them.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 2, "a:", "b:")
		s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
			if buildtest.Name(p) == "b" {
				return wait(13*time.Second)(ctx, p, out)
			}
			return wait(35*time.Second)(ctx, p, out)
		}
		begin := time.Now()
		if _, err := engine.Run(t.Context(), s.plan, s.opts); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range s.rec.Events(progress.Heartbeat) {
			got = append(got, fmt.Sprint(e.Time.Sub(begin), " ", e.Running))
		}
		want := []string{"10s [package/a package/b]", "23s [package/a]", "33s [package/a]"}
		if !slices.Equal(got, want) {
			t.Errorf("heartbeats %v, want %v", got, want)
		}
	})
}

func TestBadRequests(t *testing.T) {
	for name, change := range map[string]func(s *scene){
		"no builder":        func(s *scene) { s.opts.Builder = nil },
		"no fetcher":        func(s *scene) { s.plan.Steps[0].Fetch = make([]manifest.ExternalFile, 1) },
		"forward edge":      func(s *scene) { s.plan.Steps[0].Deps = []int{1} },
		"own edge":          func(s *scene) { s.plan.Steps[0].Deps = []int{0} },
		"no output":         func(s *scene) { s.plan.Steps[0].Out = "" },
		"output in staging": func(s *scene) { s.opts.Staging = s.dir },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 1, "a:", "b: a")
			s.old(t)
			change(s)
			if _, err := engine.Run(t.Context(), s.plan, s.opts); err == nil {
				t.Error("no error")
			}
			if len(s.fake.Calls()) > 0 {
				t.Error("something was built")
			}
			if _, err := os.Stat(filepath.Join(s.dir, "rpms", "a", "old.rpm")); err != nil {
				t.Error("outputs were deleted")
			}
		})
	}
}
