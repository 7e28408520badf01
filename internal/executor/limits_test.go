package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
)

// A step that runs for longer than it may is stopped and fails; steps that do not need it go on.
func TestStepTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:", "b: a", "c:")
		s.opts.StepTime = time.Hour
		s.fake.Hook = func(ctx context.Context, p plan.Solve, _ string) error {
			if buildtest.Name(p) != "a" {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
		if got := statuses(rep); got != "a failed, b skipped by package/a, c done" ||
			rep.Duration != time.Hour {
			t.Errorf("%s in %v", got, rep.Duration)
		}
		over, ok := errors.AsType[*engine.LimitError](err)
		want := "it ran for more than 1h0m0s (--step-timeout); it was stopped"
		if !ok || !strings.Contains(over.Error(), want) || errkind.Of(err) != errkind.StepFailed {
			t.Errorf("%v; want %q", err, want)
		}
		s.checkStagingEmpty(t)
	})
}

// A run that is cancelled is not said to have passed a limit.
func TestCancelledIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:")
		s.opts.StepTime = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		s.fake.Hook = func(ctx context.Context, _ plan.Solve, _ string) error {
			cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		}
		_, err := executor.Run(ctx, s.plan, s.opts)
		if _, ok := errors.AsType[*engine.LimitError](err); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
