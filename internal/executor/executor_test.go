// Scheduling, heartbeats and refused requests, in virtual time with a fake builder.

package executor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

func TestDiamond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 4, "a:", "b: a", "c: a", "d: a b c")
		s.fake.Hook = wait(time.Second)
		rep, err := executor.Run(t.Context(), s.plan, s.opts)
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
		if ev := s.rec.Events(progress.PlanReady, progress.PlanDone); len(ev) != 2 || ev[1].Done != 4 ||
			ev[1].Total != 4 {
			t.Errorf("begin and end events: %+v", ev)
		}
		s.checkStagingEmpty(t)
	})
}

// With two jobs, exactly two of eight equal steps run at any time.
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
		rep, err := executor.Run(t.Context(), s.plan, s.opts)
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
		if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
			t.Fatal(err)
		}
		if got, want := s.fake.Calls(), []string{"a", "b", "x", "y", "c"}; !slices.Equal(got, want) {
			t.Errorf("built %v, want %v", got, want)
		}
		s = newScene(t, 1, "x:", "y:", "a:", "b: a", "c: a b")
		s.opts.SetCost(func(st plan.Step) time.Duration {
			return map[string]time.Duration{"y": time.Hour}[st.Name]
		})
		if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
			t.Fatal(err)
		}
		if got := s.fake.Calls(); got[0] != "y" {
			t.Errorf("built %v, want the costly y first", got)
		}
	})
}

// In 300 random graphs with random failures, dependencies come first, the limit holds, every step
// that can run does, and the others are skipped.
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
	want := make([]scheduler.Status, n) // Done, Failed or Skipped
	took := map[string]time.Duration{}
	for i, st := range s.plan.Steps {
		took[st.Name] = time.Duration(rnd.IntN(5)) * time.Second
		want[i] = scheduler.Done
		for _, d := range st.Waits {
			if want[d] != scheduler.Done {
				want[i] = scheduler.Skipped
			}
		}
		if want[i] == scheduler.Done && rnd.IntN(8) == 0 {
			want[i] = scheduler.Failed
			s.fail(st.Name)
		}
	}
	s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
		for _, d := range p.Contexts["rpms"].Dirs {
			if !s.isNew(t, d.Name) {
				t.Errorf("%s was started before the outputs of %s were in place", p.Name, d.Name)
			}
		}
		return wait(took[buildtest.Name(p)])(ctx, p, out)
	}
	rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
	for i, r := range rep.Steps {
		if r.Status != want[i] {
			t.Errorf("%v: %s is %s, want %s", lines, r.ID, r.Status, want[i])
		}
	}
	if failed := slices.Contains(want, scheduler.Failed); failed != (err != nil) {
		t.Errorf("error is %v, but a failure was planned: %v", err, failed)
	}
	if m := s.fake.MaxRunning(); m > jobs {
		t.Errorf("%d builds at once, limit %d", m, jobs)
	}
	s.checkStagingEmpty(t)
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
		if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
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
		"forward edge":      func(s *scene) { s.plan.Steps[0].Waits = []int{1} },
		"forward use":       func(s *scene) { s.plan.Steps[0].Uses = graph.SetOf(1) },
		"own edge":          func(s *scene) { s.plan.Steps[0].Waits = []int{0} },
		"no output":         func(s *scene) { s.plan.Steps[0].Out = "" },
		"output in staging": func(s *scene) { s.opts.Staging = s.dir },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 1, "a:", "b: a")
			s.old(t)
			change(s)
			if _, err := executor.Run(t.Context(), s.plan, s.opts); err == nil {
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
