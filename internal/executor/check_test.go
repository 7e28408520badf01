// The caller's check of outputs: outputs that it refuses are neither stored nor published.

package executor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
)

func TestCheckRefusesOutputs(t *testing.T) {
	s := newCachedScene(t, 2, "good:", "bad:", "above: bad")
	s.old(t)
	refused := errors.New("the image is torn")
	refuse := true
	s.opts.Check = func(_ context.Context, step plan.Step, dir string) error {
		if _, err := os.Stat(filepath.Join(dir, step.Name+".rpm")); err != nil {
			t.Errorf("%s: the outputs are not in %s: %v", step.ID, dir, err)
		}
		if refuse && step.Name == "bad" {
			return refused
		}
		return nil
	}
	rep, err := executor.Run(t.Context(), s.plan, s.opts)
	if !errors.Is(err, refused) {
		t.Errorf("error %v does not wrap the check's", err)
	}
	if got, want := statuses(rep), "good done, bad failed, above skipped by package/bad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !s.isNew(t, "good") || !s.isOld(t, "bad") || !s.isOld(t, "above") {
		t.Errorf("outputs: good %v, bad %v", buildtest.Snapshot(t, s.step("good").Out),
			buildtest.Snapshot(t, s.step("bad").Out))
	}
	s.checkStagingEmpty(t)

	refuse = false // had the outputs been stored, the step would not be built again
	s.forget()
	rep, err = executor.Run(t.Context(), s.plan, s.opts)
	if got, want := statuses(rep), "good cached, bad done, above done"; err != nil || got != want {
		t.Errorf("second run: %s, %v; want %s", got, err, want)
	}
}
