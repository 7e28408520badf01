package executor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
)

// A step that runs or leaves more than it may is stopped and fails; steps that do not need it go
// on.
func TestLimits(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	for name, tt := range map[string]struct {
		limits executor.Limits
		leave  func(ctx context.Context, out string) error
		took   time.Duration
		want   string
	}{
		"time": {executor.Limits{Time: time.Hour},
			func(ctx context.Context, _ string) error { return hang(ctx) },
			time.Hour, "it ran for more than 1h0m0s (--step-timeout); it was stopped"},
		"a hole": {executor.Limits{Bytes: 1 << 30},
			func(ctx context.Context, out string) error {
				file := filepath.Join(out, "image")
				return errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 1<<40), hang(ctx))
			}, time.Second, "its outputs have more than 1 GiB (--step-output)"},
		"bytes at the end": {executor.Limits{Bytes: 10 << 10},
			func(_ context.Context, out string) error {
				return os.WriteFile(filepath.Join(out, "x"), make([]byte, 10<<10+1), 0o644)
			}, 0, "its outputs have more than 10 KiB"},
		"files": {executor.Limits{Files: 100},
			func(ctx context.Context, out string) error {
				for i := range 200 {
					if err := os.Mkdir(filepath.Join(out, fmt.Sprint(i)), 0o755); err != nil {
						return err
					}
				}
				return hang(ctx)
			}, time.Second, "its outputs have more than 100 files"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, 1, "a:", "b: a", "c:")
				s.opts.Limits = tt.limits
				s.fake.Hook = func(ctx context.Context, p plan.Solve, out string) error {
					if buildtest.Name(p) != "a" {
						return nil
					}
					return tt.leave(ctx, out)
				}
				rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
				if got := statuses(rep); got != "a failed, b skipped by package/a, c done" ||
					rep.Duration != tt.took {
					t.Errorf("%s in %v", got, rep.Duration)
				}
				over, ok := errors.AsType[*executor.LimitError](err)
				if !ok || !strings.Contains(over.Error(), tt.want) || errkind.Of(err) != errkind.StepFailed {
					t.Errorf("%v; want %q", err, tt.want)
				}
				s.checkStagingEmpty(t)
			})
		})
	}
}

// A run that is cancelled is not said to have passed a limit.
func TestCancelledIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, "a:")
		s.opts.Limits = executor.Limits{Time: time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		s.fake.Hook = func(ctx context.Context, _ plan.Solve, _ string) error {
			cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		}
		_, err := executor.Run(ctx, s.plan, s.opts)
		if _, ok := errors.AsType[*executor.LimitError](err); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
