// pastlog: what a step printed when it was last built: by a run of this checkout or another, or on
// another machine.

package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// StepLog is what a step printed when it was built.
type StepLog struct {
	io.ReadCloser
	Step   string
	Run    *history.Run  // that built it; nil if it is not kept
	Ours   bool          // Run is one of this checkout
	End    progress.Kind // StepDone, StepFailed, StepCancelled, or 0 if it has not ended
	Built  time.Time     // when it ended, or began if it has not; zero if unknown
	Took   time.Duration // 0 if unknown
	Origin string        // remote cache that its result came from; empty if it was built here
}

// NoLogError means that nothing is known of a build of a step.
type NoLogError struct{ Step, Run string }

// Error returns what is wrong and what to do.
func (e *NoLogError) Error() string {
	if e.Run != "" {
		return fmt.Sprintf("run %s has no log of %s", e.Run, progress.Name(e.Step))
	}
	return fmt.Sprintf("there is no log of %s: no run that is kept has built it, and its result is "+
		"in no cache of this machine", progress.Name(e.Step))
}

// ErrorKind returns errkind.Usage.
func (*NoLogError) ErrorKind() errkind.Kind { return errkind.Usage }

// RunsHere returns the runs of this checkout, or of all, the newest first.
func (s *Session) RunsHere(all bool) ([]history.Run, error) {
	unread := 0
	runs, err := s.Runs().List(func(id int, err error) {
		if unread++; unread == 1 {
			s.warn(fmt.Sprintf("run %d is left out, as its record cannot be read: %v", id, err))
		}
	})
	if unread > 1 {
		s.warn(fmt.Sprintf("left out for such reasons as well: %d more", unread-1))
	}
	var ours []history.Run
	for _, r := range runs {
		if all || r.Root == s.c.Root {
			ours = append(ours, r)
		}
	}
	return ours, err
}

// Log opens the log of the last build of a step: that of a run, or with 0 the last of all that this
// checkout knows of. The caller closes it.
func (s *Session) Log(ctx context.Context, step string, run int) (StepLog, error) {
	var runs []history.Run
	var err error
	if run == 0 {
		runs, err = s.RunsHere(false)
	} else {
		runs = make([]history.Run, 1)
		runs[0], err = s.Runs().Open(run)
	}
	if err != nil {
		return StepLog{}, err
	}
	for _, r := range runs {
		if r.Again || r.Arch != s.c.Arch && run == 0 {
			continue
		}
		if log, ok, err := s.logOf(ctx, r, step); ok || err != nil {
			return log, err
		}
	}
	if run != 0 {
		return StepLog{}, &NoLogError{step, fmt.Sprint(run)}
	}
	// The outputs in place may be older than every run that is kept.
	if state, ok := builddir.ReadStateHead(s.dir.State(), step); ok {
		if log, ok, err := s.storedLog(ctx, step, s.c.Arch, state.Action); ok || err != nil {
			return log, err
		}
	}
	return StepLog{}, &NoLogError{Step: step}
}

// logOf opens the log of a step that a run has built, or whose result it has found somewhere.
func (s *Session) logOf(ctx context.Context, r history.Run, step string) (StepLog, bool, error) {
	log, key, err := ending(r, step)
	if err != nil {
		return log, false, errkind.Environmentf("the events of run %d cannot be read: %w", r.ID, err)
	}
	if key == "" || log.End == progress.StepDone {
		if log.ReadCloser, err = r.Log(step); err == nil {
			log.Run, log.Ours = &r, r.Root == s.c.Root
			return log, true, nil
		}
	}
	id, err := cache.ParseActionID(key)
	if err != nil {
		return log, false, nil
	}
	return s.storedLog(ctx, step, r.Arch, id)
}

// ending returns how a step ended in a run, and its key if it has ended well.
func ending(r history.Run, step string) (log StepLog, key string, err error) {
	log.Step = step
	err = r.Events(func(e progress.Event) {
		if e.Step != step {
			return
		}
		switch e.Kind {
		case progress.StepStart:
			log.End, log.Built, key = 0, e.Time, ""
		case progress.StepFailed, progress.StepCancelled:
			log.End, log.Built, log.Took = e.Kind, e.Time, e.Duration
		case progress.StepDone, progress.StepCached:
			log.End, log.Built, log.Took, key = e.Kind, e.Time, e.Duration, e.Text
		}
	})
	return log, key, err
}

// storedLog opens the log of the result of an action: that of the run that built it, in whichever
// checkout, the store's, or that of the remote cache which has the result.
func (s *Session) storedLog(ctx context.Context, step, arch string, id cache.ActionID) (StepLog,
	bool, error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return StepLog{}, false, err
	}
	e, ok := store.Peek(id)
	if !ok {
		e, ok = store.Remote(id)
	}
	if !ok || e.Step != step+" "+arch {
		return StepLog{}, false, nil
	}
	log := StepLog{Step: step, End: progress.StepDone, Built: e.Built, Took: e.Took}
	if !e.Here() {
		log.Origin = e.Origin
	} else {
		log.Run = s.builder(step, id)
		log.Ours = log.Run != nil && log.Run.Root == s.c.Root
	}
	if log.ReadCloser, err = store.OpenLog(e); err == nil {
		return log, true, nil
	}
	if !e.Here() && !e.Log.IsZero() {
		log.ReadCloser, err = s.remoteLog(ctx, store, e)
		return log, err == nil, err
	}
	return StepLog{}, false, nil
}

// builder returns the run that built an action, or nil if it is not kept.
func (s *Session) builder(step string, id cache.ActionID) *history.Run {
	runs, _ := s.Runs().List(func(int, error) {}) // without them, less is said
	for _, r := range runs {
		found := false
		_ = r.Events(func(e progress.Event) {
			found = found || e.Kind == progress.StepDone && e.Step == step && e.Text == id.String()
		})
		if found {
			return &r
		}
	}
	return nil
}

// remoteLog downloads a log from the remote cache that has it.
func (s *Session) remoteLog(ctx context.Context, store *cache.Store, e cache.Entry) (io.ReadCloser,
	error) {
	caches, err := s.openRemote(plan.Plan{}, store, s.out)
	if err != nil {
		return nil, err
	}
	defer caches.Close(ctx, nil)
	f, err := os.CreateTemp("", "buildsys-log-")
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	_ = os.Remove(f.Name()) // it lasts as long as it is open
	if err = caches.FetchLog(ctx, e, f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, remote.ErrNotFound) {
			err = fs.ErrNotExist
		}
		return nil, errkind.Environmentf("the log is in %s, where the result was built: %w", e.Origin,
			err)
	}
	return f, nil
}

// FollowLog writes what a step of a running run prints until it ends. The run is the one with the
// number, or with 0 the newest in this checkout that goes on. ok is false if there is none.
func (s *Session) FollowLog(ctx context.Context, step string, run int, out io.Writer,
	tell func(r history.Run, begun bool)) (ok bool, err error) {
	runs, err := s.RunsHere(run != 0)
	if err != nil {
		return false, err
	}
	for _, r := range runs {
		if !r.Running || run != 0 && r.ID != run || run == 0 && r.Arch != s.c.Arch ||
			!planned(r, step) {
			continue
		}
		log, key, err := ending(r, step)
		if err != nil || key != "" || log.End != 0 { // it has ended
			return false, err
		}
		if !log.Built.IsZero() {
			tell(r, true)
		}
		err = r.Follow(ctx, step, out, func() { tell(r, false) })
		return !errors.Is(err, fs.ErrNotExist), err
	}
	return false, nil
}

// planned reports whether a step is one of a run.
func planned(r history.Run, step string) (found bool) {
	_ = r.Events(func(e progress.Event) {
		if e.Plan != nil {
			for _, s := range e.Plan.Steps {
				found = found || s.ID == step
			}
		}
	})
	return found
}

// FailedIn returns the steps that failed in a run.
func FailedIn(r history.Run) (steps []string, err error) {
	err = r.Events(func(e progress.Event) {
		if e.Kind == progress.StepFailed {
			steps = append(steps, e.Step)
		}
	})
	return steps, err
}

// Results returns a function that tells what the store knows of the result of a step with a key.
func (s *Session) Results() (func(step, key string) (cache.Entry, bool), error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return nil, err
	}
	return func(step, key string) (cache.Entry, bool) {
		id, err := cache.ParseActionID(key)
		if err != nil {
			return cache.Entry{}, false
		}
		e, ok := store.Peek(id)
		if !ok {
			e, ok = store.Remote(id)
		}
		return e, ok && e.Step == step+" "+s.c.Arch
	}, nil
}
