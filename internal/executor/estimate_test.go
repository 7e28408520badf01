// What runs say of how long they will take.

package executor_test

import (
	"sync/atomic"
	"testing"
	"time"

	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// TestRunForecast: with each step that starts or ends comes the time that is left, by the critical
// path: b and c wait for a, and d for both.
func TestRunForecast(t *testing.T) {
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	s := newScene(t, 1, "a:", "b: a", "c: a", "d: b c")
	s.opts.SetRecorded(map[string]time.Duration{"package/a": 10 * time.Second,
		"package/b": 20 * time.Second, "package/d": 5 * time.Second}, func() time.Time {
		clock.Add(1) // second, in which a has run when its forecast is made
		return now()
	})
	if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
		t.Fatal(err)
	}
	plan := s.rec.Events(progress.PlanReady)[0].Plan
	if got := plan.Steps[2]; got.Known || got.Expected.Round(time.Second) != 12*time.Second ||
		len(got.After) != 1 || !plan.Steps[1].Known {
		t.Errorf("the plan has %+v", plan.Steps)
	}
	forecasts := s.rec.Events(progress.RunForecast)
	// a begins: a, b, c (the mean of the others), d; the last: d begins.
	if n := len(forecasts); n < 4 {
		t.Fatalf("%d forecasts", n)
	}
	first, last := forecasts[0].Duration, forecasts[len(forecasts)-1].Duration
	if first.Round(time.Second) != 46*time.Second || last.Round(time.Second) != 4*time.Second {
		t.Errorf("first %v, last %v left", first, last)
	}
}

// TestNoRunForecast: nothing is said of steps that nobody has built.
func TestNoRunForecast(t *testing.T) {
	s := newScene(t, 1, "a:", "b: a")
	if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
		t.Fatal(err)
	}
	if got := s.rec.Events(progress.RunForecast); len(got) > 0 {
		t.Errorf("forecasts: %v", got)
	}
}

// TestCostOf: guesses count in proportion to what is known, and the mean is for the rest.
func TestCostOf(t *testing.T) {
	type known = map[string]time.Duration
	tests := []struct {
		name              string
		recorded, guessed known
		want              time.Duration // of c
	}{
		{"nothing", nil, nil, time.Second},
		{"a record", known{"c": 5, "a": 9}, known{"c": 100}, 5},
		{"the mean", known{"a": 10, "b": 20}, known{"c": 0}, 15},
		{"a guess", nil, known{"a": 10, "c": 30}, 30},
		{"a guess in proportion", known{"a": 20, "b": 100}, known{"a": 10, "b": 50, "c": 30}, 60},
		{"guesses have a mean, too", nil, known{"a": 10, "b": 20}, 15},
	}
	for _, test := range tests {
		if got := executor.CostOf(test.recorded, test.guessed)(plan.Step{ID: "c"}); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
