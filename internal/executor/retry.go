// Retries: a step that lost its engine is built again, a few times per step and within a budget for
// the whole run.

package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"buildsys/internal/progress"
)

const (
	maxAttempts = 3               // per step, including the first; an error may allow fewer
	retryBase   = 2 * time.Second // the first wait is at most this, the next at most twice as long
)

// retryBudget is the retries that a run may still make: a tenth of its steps, but at least three,
// and at least one for each step that runs at once, because an engine that ends interrupts them
// all. Without a budget, an engine that dies again and again would have every step built three
// times.
type retryBudget struct {
	mu   sync.Mutex
	all  int
	used map[string]int // by step ID
	sum  int
}

func newRetryBudget(steps int) *retryBudget {
	return &retryBudget{all: max(3, steps/10), used: map[string]int{}}
}

// cover makes the budget large enough for one loss of all steps that run at once.
func (b *retryBudget) cover(jobs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = max(b.all, jobs)
}

// take spends one retry on a step, if one is left.
func (b *retryBudget) take(step string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sum == b.all {
		return false
	}
	b.sum++
	b.used[step]++
	return true
}

func (b *retryBudget) usedBy(step string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used[step]
}

// RetriedError is the last failure of a step that was built more than once, or would have been.
type RetriedError struct {
	Attempts int
	Why      string // why there is no further attempt
	Err      error
}

// Error returns how often the step was tried and why it is not tried again.
func (e *RetriedError) Error() string {
	return fmt.Sprintf("%v; given up after attempt %d: %s", e.Err, e.Attempts, e.Why)
}

// Unwrap returns the last failure.
func (e *RetriedError) Unwrap() error { return e.Err }

// GoneError reports that the builder was lost during a step and did not become ready again. Nothing
// else can be built then.
type GoneError struct {
	Step string
	Lost error // the failure of the step
	Err  error // why the builder is not ready
}

// Error gives both causes.
func (e *GoneError) Error() string {
	return fmt.Sprintf("%s was interrupted (%v) and the engine did not come back: %v",
		e.Step, e.Lost, e.Err)
}

// Unwrap returns both errors.
func (e *GoneError) Unwrap() []error { return []error{e.Err, e.Lost} }

// do builds, checks, stores and publishes the step, and leaves nothing of it in staging. It returns
// the worker's action with the content of the outputs. Every attempt has its own directory, so
// anything that an abandoned build delivers late is ignored.
func (w worker) do(ctx context.Context) (action, error) {
	for attempt := 1; ; attempt++ {
		act, err := w.attempt(ctx)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return act, err
		}
		if most := attemptsFor(err); attempt >= most {
			why := fmt.Sprintf("this kind of failure allows at most %d attempts", most)
			return act, &RetriedError{attempt, why, err}
		}
		if !w.budget.take(w.step.ID) {
			why := fmt.Sprintf("all %d retries of this run are used up", w.budget.all)
			return act, &RetriedError{attempt, why, err}
		}
		w.report(progress.Event{Kind: progress.StepRetry, Text: retryText(attempt+1, err), Err: err})
		// Full jitter: clients that lost the same engine do not all come back at the same moment.
		if e := w.o.sleep(ctx, rand.N(retryBase<<(attempt-1))); e != nil {
			return act, err
		}
		if w.o.Ready == nil {
			continue
		}
		if e := w.o.Ready(ctx); e != nil && ctx.Err() == nil {
			return act, &GoneError{w.step.ID, err, e}
		}
	}
}

// transient reports whether an error declares that the same build may succeed later. It never looks
// at the text: a package's own log may contain any words.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// attemptsFor returns how many attempts in total a step may make after such an error.
func attemptsFor(err error) int {
	var t interface{ Attempts() int }
	if errors.As(err, &t) {
		return min(t.Attempts(), maxAttempts)
	}
	return maxAttempts
}

// retryText returns which attempt is next and what kind of failure made it necessary.
func retryText(next int, err error) string {
	text := fmt.Sprintf("attempt %d of %d", next, attemptsFor(err))
	var t interface{ Reason() string }
	if errors.As(err, &t) {
		text += ", " + t.Reason()
	}
	return text
}
