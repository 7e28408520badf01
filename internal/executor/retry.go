// Retries: a step whose engine failed is built again, a few times, and within what the whole run
// may spend on that.

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
	maxAttempts = 3               // of a step, the first included; its error may ask for fewer
	retryBase   = 2 * time.Second // the first wait is at most this, the next at most twice as long
)

// retryBudget is what is left of a run's retries: a tenth of its steps, and at least three, and at
// least one for each step that runs at once, for an engine takes all of them along when it ends.
// One that dies again and again would otherwise have every step built three times.
type retryBudget struct {
	mu   sync.Mutex
	all  int
	used map[string]int // by step ID
	sum  int
}

func newRetryBudget(steps int) *retryBudget {
	return &retryBudget{all: max(3, steps/10), used: map[string]int{}}
}

// cover makes sure that it lasts for the loss of all steps that run at once.
func (b *retryBudget) cover(jobs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = max(b.all, jobs)
}

// take spends one retry on a step, if there is one left.
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

// RetriedError is the last failure of a step that was built more than once, or that would have been
// built again.
type RetriedError struct {
	Attempts int
	Why      string // there is no further attempt
	Err      error
}

// Error tells how often it was tried and why not again.
func (e *RetriedError) Error() string {
	return fmt.Sprintf("%v; given up after attempt %d: %s", e.Err, e.Attempts, e.Why)
}

// Unwrap returns the last failure.
func (e *RetriedError) Unwrap() error { return e.Err }

// GoneError says that the builder was lost during a step and did not become ready again. Nothing
// else can be built then.
type GoneError struct {
	Step string
	Lost error // the failure of the step
	Err  error // why the builder is not ready
}

// Error tells both.
func (e *GoneError) Error() string {
	return fmt.Sprintf("%s was interrupted (%v) and the engine did not come back: %v",
		e.Step, e.Lost, e.Err)
}

// Unwrap returns both errors.
func (e *GoneError) Unwrap() []error { return []error{e.Err, e.Lost} }

// do builds, checks, stores and publishes the step, and leaves nothing of it in staging. The action
// is that of the worker with the content of the outputs. Every attempt has a directory of its own,
// so what a builder that was given up delivers late is never looked at.
func (w worker) do(ctx context.Context) (action, error) {
	for attempt := 1; ; attempt++ {
		act, err := w.attempt(ctx)
		if err == nil || ctx.Err() != nil || !transient(err) {
			return act, err
		}
		if most := attemptsFor(err); attempt >= most {
			why := fmt.Sprintf("%d are made at most after this kind of failure", most)
			return act, &RetriedError{attempt, why, err}
		}
		if !w.budget.take(w.step.ID) {
			why := fmt.Sprintf("the %d retries of this run are used up", w.budget.all)
			return act, &RetriedError{attempt, why, err}
		}
		w.report(progress.Event{Kind: progress.StepRetry, Text: retryText(attempt+1, err), Err: err})
		// Full jitter: clients that lost the same engine do not all come back at the same moment.
		if e := w.o.Sleep(ctx, rand.N(retryBase<<(attempt-1))); e != nil {
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

// transient reports whether an error says of itself that the same build may succeed later. Texts
// are never looked at: a package's own log may hold any words.
func transient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

// attemptsFor is how often a step may be tried in all that fails like this.
func attemptsFor(err error) int {
	var t interface{ Attempts() int }
	if errors.As(err, &t) {
		return min(t.Attempts(), maxAttempts)
	}
	return maxAttempts
}

// retryText says which attempt comes and what sort of failure made it necessary.
func retryText(next int, err error) string {
	text := fmt.Sprintf("attempt %d of %d", next, attemptsFor(err))
	var t interface{ Reason() string }
	if errors.As(err, &t) {
		text += ", " + t.Reason()
	}
	return text
}
