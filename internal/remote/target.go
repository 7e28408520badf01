// Targets: one place of a remote cache, with its attempts, its budget, and the switch that ends its
// use.

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
)

// backend is what a target needs of a place: a registry and a directory have it.
type backend interface {
	// manifest returns the manifest with a tag, or errNotFound.
	manifest(ctx context.Context, tag string) ([]byte, error)
	hasManifest(ctx context.Context, tag string) (bool, error)
	putManifest(ctx context.Context, tag string, data []byte) error
	// blob returns the bytes of a blob, which may be any, or errNotFound.
	blob(ctx context.Context, b cache.Blob) (io.ReadCloser, error)
	hasBlob(ctx context.Context, b cache.Blob) (bool, error)
	putBlob(ctx context.Context, b cache.Blob, data io.ReadSeeker) error
}

// errNotFound is a miss.
var errNotFound = errors.New("it is not there")

// localError is a failure of this machine, for which the remote cache is not to blame.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// badError says that what arrived is not what it should be.
type badError struct{ reason string }

func (e badError) Error() string { return e.reason }

// finalError is a failure that another attempt or another request would meet as well.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// slowError is the cause of a context that ended because the budget was used up.
type slowError struct{ after time.Duration }

func (e slowError) Error() string {
	return fmt.Sprintf("no result within %v", e.after.Round(time.Second))
}

// target is a place in use.
type target struct {
	place    Location
	use      string // "read" or "written"
	back     backend
	limits   Limits
	warn     func(string)
	down, up atomic.Int64 // bytes

	on   context.Context // ended when the target is switched off, with the reason as its cause
	stop context.CancelCauseFunc

	mu       sync.Mutex
	row      int // failures since the last success
	failures int
	last     error
	notUntil time.Time // the server asked for silence
}

func newTarget(place Location, o Options, use string) (*target, error) {
	t := &target{place: place, use: use, limits: o.Limits, warn: o.Warn}
	t.on, t.stop = context.WithCancelCause(context.Background())
	if place.Dir != "" {
		t.back = &directory{dir: place.Dir, t: t}
		return t, nil
	}
	var err error
	t.back, err = newRegistry(t)
	return t, err
}

// off returns why the target is not used any more; nil while it is.
func (t *target) off() error { return context.Cause(t.on) }

// do runs one request with attempts and a budget for the given number of bytes. Its error is
// errNotFound, a badError, a localError, or that of ctx; anything else means that the target did
// not work.
func (t *target) do(ctx context.Context, bytes int64,
	request func(ctx context.Context) error) error {
	budget := t.limits.Budget +
		time.Duration(float64(bytes)/float64(t.limits.Rate)*float64(time.Second))
	limited, cancel := context.WithTimeoutCause(ctx, budget, slowError{budget})
	defer cancel()
	defer context.AfterFunc(t.on, cancel)()
	for attempt := 1; ; attempt++ {
		if err := t.off(); err != nil {
			return err
		}
		err := t.wait(limited)
		if err == nil {
			err = request(limited)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil || errors.Is(err, errNotFound):
			t.worked()
			return err
		case errkind.Is[badError](err) || errkind.Is[localError](err):
			return err
		case t.off() != nil:
			return t.off()
		case limited.Err() != nil:
			err = context.Cause(limited)
		}
		if attempt == t.limits.Attempts || errkind.Is[finalError](err) || limited.Err() != nil {
			return t.failed(err)
		}
		// the next round sees why it ended early
		_ = sleep(limited, rand.N(t.limits.Backoff<<(attempt-1)))
	}
}

// wait waits until requests are welcome again.
func (t *target) wait(ctx context.Context) error {
	t.mu.Lock()
	d := time.Until(t.notUntil)
	t.mu.Unlock()
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause keeps all requests back for a while: who asks one request to wait means every one.
func (t *target) pause(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(d); until.After(t.notUntil) {
		t.notUntil = until
	}
}

func (t *target) worked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.row = 0
}

// failed counts a failure, and ends the use of the target when there is no hope.
func (t *target) failed(err error) error {
	t.mu.Lock()
	t.row++
	t.failures++
	t.last = err
	hopeless := t.row >= t.limits.Failures || errkind.Is[finalError](err) && !errkind.Is[oneError](err)
	off := hopeless && t.off() == nil
	if off {
		t.stop(err)
	}
	t.mu.Unlock()
	if off {
		t.warn(fmt.Sprintf("the remote cache %s is not %s any more in this run: %v", t.place, t.use, err))
	}
	return err
}

// oneError marks a finalError that concerns one request only.
type oneError struct{ error }

func (e oneError) Unwrap() error { return e.error }

// close ends the use, and tells of failures that nothing was said about.
func (t *target) close() {
	t.mu.Lock()
	failures, last, wasOn := t.failures, t.last, t.off() == nil
	t.stop(errors.New("the run is over"))
	t.mu.Unlock()
	if wasOn && failures > 0 {
		requests := "1 request"
		if failures > 1 {
			requests = fmt.Sprintf("%d requests", failures)
		}
		t.warn(fmt.Sprintf("%s to the remote cache %s failed: %v", requests, t.place, last))
	}
}
