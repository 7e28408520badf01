// Scenes for tests of whole runs: small plans in a temporary directory.

package executor_test

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
)

// scene is a plan in a temporary directory with a fake builder and a recorder.
type scene struct {
	dir  string
	plan plan.Plan
	fake *buildtest.Fake
	rec  *buildtest.Recorder
	opts executor.Options
}

// newScene makes a plan from lines "name: dep dep", in this order.
func newScene(t *testing.T, jobs int, lines ...string) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), fake: &buildtest.Fake{}, rec: &buildtest.Recorder{}}
	s.plan.Arch = "x86_64"
	index := map[string]int{}
	for i, line := range lines {
		name, deps, _ := strings.Cut(line, ":")
		step := plan.Step{
			ID: "package/" + name, Kind: plan.Package, Name: name,
			Solve: plan.Solve{Name: name + " x86_64", Target: "package",
				Contexts: map[string]plan.Context{}},
			Out: filepath.Join(s.dir, "rpms", name),
		}
		for d := range strings.FieldsSeq(deps) {
			step.Waits = append(step.Waits, index[d])
		}
		step.Uses = graph.SetOf(step.Waits...)
		step.Solve.Contexts["rpms"] = plan.Context{RPMs: step.Uses}
		index[name] = i
		s.plan.Steps = append(s.plan.Steps, step)
	}
	s.opts = executor.Options{Builder: s.fake, Sink: s.rec, Jobs: jobs,
		Places: executor.Places{Staging: filepath.Join(s.dir, "staging")}}
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
	s.step(name).Solve.Contexts["package"] = plan.Context{Files: []plan.File{{Name: "FAIL",
		Data: []byte("make: *** no rule\n")}}}
}

// old puts earlier outputs in the place of every step's.
func (s *scene) old(t *testing.T) {
	for _, st := range s.plan.Steps {
		buildtest.Write(t, st.Out, "-- old.rpm --\nold "+st.Name+"\n")
	}
}

func (s *scene) isOld(t *testing.T, name string) bool {
	return maps.Equal(buildtest.Snapshot(t, s.step(name).Out),
		map[string]string{"old.rpm": "old " + name + "\n"})
}

// isNew reports whether the step's outputs are exactly those of a complete build.
func (s *scene) isNew(t *testing.T, name string) bool {
	t.Helper()
	sum, err := buildtest.Hash(s.plan.SolveOf(*s.step(name)))
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

func statuses(rep executor.Report) string {
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
