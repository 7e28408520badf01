// The scheduler against the lower bound, on small plans and on the graph of a real tree.

package scheduler

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"buildsys/internal/graph"
)

func TestSimulate(t *testing.T) {
	// a(3) → b(1), c(4), d(2): one job takes 10. With two, the chain and c start; d and b follow.
	steps := []Step{{Cost: 3}, {Cost: 1, After: []int{0}}, {Cost: 4}, {Cost: 2}}
	tests := []struct {
		jobs            int
		makespan, bound time.Duration
	}{{1, 10, 10}, {2, 5, 5}, {3, 4, 4}, {72, 4, 4}}
	for _, test := range tests {
		s := Simulate(steps, test.jobs)
		if s.Makespan != test.makespan || s.LowerBound() != test.bound || s.Work != 10 ||
			s.CriticalPath != 4 {
			t.Errorf("%d jobs: %+v, bound %d; want makespan %d, bound %d",
				test.jobs, s, s.LowerBound(), test.makespan, test.bound)
		}
	}
}

// TestSimulateRealTree holds the order to 1.05 times the lower bound on a graph of 94 packages with
// skewed durations.
func TestSimulateRealTree(t *testing.T) {
	data, err := os.ReadFile("testdata/durations.json")
	if err != nil {
		t.Fatal(err)
	}
	var seconds map[string]float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		t.Fatal(err)
	}
	steps := realTree(t, func(name string) time.Duration {
		sec, ok := seconds[name]
		if !ok {
			sec = 20
		}
		return time.Duration(sec * float64(time.Second))
	})
	for _, jobs := range []int{2, 8, 32, 72} {
		s := Simulate(steps, jobs)
		ratio := float64(s.Makespan) / float64(s.LowerBound())
		t.Logf("%d jobs: makespan %v, lower bound %v, ratio %.3f", jobs, s.Makespan, s.LowerBound(),
			ratio)
		if ratio > 1.05 {
			t.Errorf("%d jobs: makespan is %.3f of the lower bound, want at most 1.05", jobs, ratio)
		}
	}
}

func realTree(t *testing.T, cost func(name string) time.Duration) []Step {
	t.Helper()
	data, err := os.ReadFile("../../testdata/graph.json")
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Packages map[string]struct {
			Build   []string `json:"build_dependencies"`
			Runtime []string `json:"dependencies"`
		}
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	g := graph.New()
	for name, p := range tree.Packages {
		g.AddNode(name)
		for _, to := range p.Build {
			g.AddBuild(name, to)
		}
		for _, to := range p.Runtime {
			g.AddRuntime(name, to)
		}
	}
	var steps []Step
	index := map[string]int{}
	for i, name := range g.Order(g.Nodes()) {
		index[name] = i
		s := Step{Cost: cost(name)}
		for _, dep := range g.BuildClosure(name) {
			s.After = append(s.After, index[dep])
		}
		steps = append(steps, s)
	}
	return steps
}
