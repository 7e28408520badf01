// One step: build into staging, check the outputs, publish them.

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// worker works on one step. It lives in its own goroutine and shares nothing with the scheduler but the options.
type worker struct {
	o      Options
	plan   plan.Plan
	step   plan.Step
	action action  // once it was looked up
	made   *ledger // of the plan; the steps that this one depends on are in it
	budget *retryBudget
}

func (w worker) attempt(ctx context.Context) (action, error) {
	act := w.action
	dir, err := w.stagingDir()
	if err != nil {
		return act, &HostError{Step: w.step.ID, Doing: "make a staging directory", Err: err}
	}
	// After publishing this removes the outputs that were replaced. Should it fail, the end of the run tries once more.
	defer func() { _ = removeTree(dir) }()
	begin := w.o.Now()
	if err := w.o.Builder.Build(ctx, w.solve(), dir, w.report); err != nil {
		return act, err
	}
	took := w.o.Now().Sub(begin)
	if ctx.Err() != nil { // nothing changes in the outputs after a run was cancelled
		return act, context.Cause(ctx)
	}
	w.o.stage("built")
	if err := checkOutputs(w.step, dir); err != nil {
		return act, err
	}
	if w.o.Check != nil {
		if err := w.o.Check(ctx, w.step, dir); err != nil {
			return act, err
		}
	}
	w.o.stage("checked")
	if w.o.Cache == nil {
		return act, w.publish(dir)
	}
	return w.keep(dir, took)
}

// solve is the step's build, with the action ID where it wants that.
func (w worker) solve() plan.Solve {
	s := w.plan.SolveOf(w.step)
	if s.KeyArg != "" {
		s.Args = maps.Clone(s.Args)
		s.Args[s.KeyArg] = w.action.id.String()
	}
	return s
}

// keep stores the outputs in dir, puts them in place and records what they were made from, in this order: whatever a
// kill leaves undone, the next run finds the outputs in the store or builds them again.
func (w worker) keep(dir string, took time.Duration) (action, error) {
	act := w.action
	if err := w.checkUnchanged(); err != nil {
		return act, err
	}
	files, content, err := cache.ScanDir(dir)
	if err != nil {
		return act, &HostError{Step: w.step.ID, Doing: "hash the outputs", Err: err}
	}
	act.outputs = newOutputs(w.step.Name, content, files)
	synced := make(chan error, 1)
	go func() { synced <- w.syncTree(dir) }() // while the store writes its copy: the disk takes hardly longer for both
	entry := cache.Entry{Action: act.id, Step: storedName(w.step.ID, w.plan.Arch), Transcript: act.transcript, Took: took}
	if entry, err = w.o.Cache.Store.Put(entry, dir, w.o.Cache.Log(w.step.ID)); err == nil {
		w.share(entry)
	} else { // the outputs are good; only the next checkout has to build them again
		w.warn(fmt.Sprintf("the result is not kept in the store: %v", err))
	}
	w.o.stage("stored")
	if err := w.publishSynced(dir, <-synced); err != nil {
		return act, err
	}
	err = w.remember(act)
	w.o.stage("recorded")
	return act, err
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

func randomName() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, 10)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}
