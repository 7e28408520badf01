// Limits of one step: how long it may run, and what it may leave.

package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
)

// Limits bound what one step may take of the machine. A package that runs for ever or fills the
// disk would keep a CI machine busy, whoever sent it. Zero means no limit.
type Limits struct {
	Time  time.Duration // of one attempt
	Bytes int64         // of its outputs, holes counted
	Files int           // of its outputs, directories counted
}

// LimitError reports that a step was stopped because it took more than it may.
type LimitError struct {
	Step string
	What string // "it ran for more than 12h0m0s (--step-timeout)"
}

// Error names the limit.
func (e *LimitError) Error() string { return e.What + "; it was stopped, and nothing of it kept" }

// ErrorKind returns errkind.StepFailed.
func (*LimitError) ErrorKind() errkind.Kind { return errkind.StepFailed }

// measureEvery is how often arriving outputs are measured. An engine sends a few gigabytes in that
// time at most.
const measureEvery = time.Second

// build calls the builder, and stops it when the step takes more than it may. Engines need to be
// told: they neither know the limits nor look at the disk of this machine.
func (w worker) build(ctx context.Context, dir string) error {
	limited, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		w.watch(limited, stop, dir)
	}()
	err := w.o.Builder.Build(limited, w.solve(), dir, w.report)
	over, is := errors.AsType[*LimitError](context.Cause(limited))
	stop(nil)
	<-watched // nothing may look into dir any more
	if is && ctx.Err() == nil {
		return over
	}
	if err == nil { // what arrived last
		if over := w.measure(dir); over != nil {
			return over
		}
	}
	return err
}

// watch calls stop with a *LimitError once the step has taken more than it may. It returns when ctx
// ends.
func (w worker) watch(ctx context.Context, stop context.CancelCauseFunc, dir string) {
	var late <-chan time.Time
	if limit := w.o.Limits.Time; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-late:
			stop(w.over("it ran for more than %v (--step-timeout)", w.o.Limits.Time))
		case <-tick.C:
			if over := w.measure(dir); over != nil {
				stop(over)
			}
		}
	}
}

func (w worker) over(format string, args ...any) *LimitError {
	return &LimitError{w.step.ID, fmt.Sprintf(format, args...)}
}

// measure returns an error if there is more in dir than the step may leave. It ignores what it
// cannot read: files come and go while they arrive, and the check of the outputs reads them all.
func (w worker) measure(dir string) error {
	l := w.o.Limits
	var size int64
	files := 0
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		files++
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			size += info.Size()
		}
		if l.Files > 0 && files > l.Files || l.Bytes > 0 && size > l.Bytes {
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case l.Bytes > 0 && size > l.Bytes:
		return w.over("its outputs have more than %s (--step-output)", bytesize.Format(l.Bytes))
	case l.Files > 0 && files > l.Files:
		return w.over("its outputs have more than %d files", l.Files)
	}
	return nil
}
