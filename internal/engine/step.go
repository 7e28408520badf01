// One step: build into staging, try again after a transient fault, check the outputs, publish them.

package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

const (
	maxRetries = 2               // after the first attempt
	retryBase  = 2 * time.Second // the first wait is at most this, the next at most twice as long
)

// worker builds one step. It lives in its own goroutine and shares nothing with the scheduler but the options.
type worker struct {
	o    Options
	step plan.Step
}

// do builds, checks and publishes the step, and leaves nothing of it in staging.
func (w worker) do(ctx context.Context) error {
	for retry := 0; ; retry++ {
		err := w.attempt(ctx)
		if err == nil || retry == maxRetries || ctx.Err() != nil || !transient(err) {
			return err
		}
		w.report(progress.Event{Kind: progress.StepRetry, Err: err})
		// Full jitter: clients that lost the same engine do not all come back at the same moment.
		if e := w.o.Sleep(ctx, rand.N(retryBase<<retry)); e != nil {
			return err
		}
	}
}

func (w worker) attempt(ctx context.Context) error {
	dir, err := w.stagingDir()
	if err != nil {
		return &HostError{Step: w.step.ID, Doing: "make a staging directory", Err: err}
	}
	// After publishing this removes the outputs that were replaced. Should it fail, the end of the run tries once more.
	defer func() { _ = removeTree(dir) }()
	if err := w.o.Builder.Build(ctx, w.step.Solve, dir, w.report); err != nil {
		return err
	}
	if ctx.Err() != nil { // nothing changes in the outputs after a run was cancelled
		return context.Cause(ctx)
	}
	w.o.stage("built")
	if err := checkOutputs(w.step, dir); err != nil {
		return err
	}
	w.o.stage("checked")
	return w.publish(dir)
}

// stagingDir makes an empty directory with the mode that outputs have; os.MkdirTemp would make it private.
func (w worker) stagingDir() (string, error) {
	for {
		name := strings.ReplaceAll(w.step.ID, "/", "-") + "-" + randomName()
		dir := filepath.Join(w.o.Staging, name)
		err := os.Mkdir(dir, 0o755)
		if !errors.Is(err, os.ErrExist) {
			return dir, err
		}
	}
}

// report hands a builder's event to the sink.
func (w worker) report(e progress.Event) {
	if e.Time.IsZero() {
		e.Time = w.o.Now()
	}
	if e.Step == "" {
		e.Step = w.step.ID
	}
	w.o.Sink.Event(e)
}

// transient reports whether an error says of itself that the same build may succeed later. Texts are never looked at:
// a package's own log may hold any words.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

func randomName() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, 10)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}
