// target: one remote cache in use, with its retries and limits, switched off when it fails. Neither
// BuildKit nor oras-go retries as needed here, with Retry-After.

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
	"buildsys/internal/network"
	"buildsys/internal/oci"
)

// backend is the storage of a target: a registry or a directory.
type backend interface {
	// manifest returns the manifest with a tag, or ErrNotFound.
	manifest(ctx context.Context, tag string) ([]byte, error)
	hasManifest(ctx context.Context, tag string) (bool, error)
	putManifest(ctx context.Context, tag string, data []byte) error
	// blob returns the bytes of a blob, unchecked, or ErrNotFound.
	blob(ctx context.Context, b cache.Blob) (io.ReadCloser, error)
	hasBlob(ctx context.Context, b cache.Blob) (bool, error)
	putBlob(ctx context.Context, b cache.Blob, data io.ReadSeeker) error
}

// ErrNotFound means that a remote cache or a repository does not have what was asked for.
var ErrNotFound = errors.New("it does not exist")

// finalError is a failure that would happen again with another attempt or request.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// slowError is the cause of a context that ended because the budget was used up.
type slowError struct{ after time.Duration }

func (e slowError) Error() string {
	return fmt.Sprintf("no result within %v", e.after.Round(time.Second))
}

// target is a remote cache in use.
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
	row      int // consecutive failures
	failures int
	last     error
	notUntil time.Time // no request before this time, as the server asked
	slowOnes slowCount
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

// off returns why the target is switched off, or nil while it is used.
func (t *target) off() error { return context.Cause(t.on) }

// A cache that answers everything, but each time just before a limit, would make a run of many
// steps wait for hours: after maxSlow requests, one after the other, that took slowRequest longer
// than the transfer of their bytes may take, it is not used any more.
const (
	slowRequest = 10 * time.Second
	maxSlow     = 20
)

// slowCount counts slow requests, up to a time.
type slowCount struct {
	n     int
	until time.Time
}

// do runs one request with retries and a budget for the given number of bytes. The error is
// ErrNotFound, an oci.BadError, an *oci.LocalError, or that of ctx; any other means that the target
// failed.
func (t *target) do(ctx context.Context, bytes int64,
	request func(ctx context.Context) error) error {
	begin := time.Now()
	err := t.tries(ctx, bytes, request)
	if t.off() == nil && time.Since(begin) > slowRequest+t.limits.budget(bytes)-t.limits.Budget {
		t.slow(begin)
	}
	return err
}

// slow counts a slow request. Those that waited at the same time count once.
func (t *target) slow(begin time.Time) {
	t.mu.Lock()
	if !begin.Before(t.slowOnes.until) {
		t.slowOnes = slowCount{t.slowOnes.n + 1, time.Now()}
	}
	err := fmt.Errorf("%d requests took longer than %v each", maxSlow, slowRequest)
	off := t.slowOnes.n == maxSlow && t.off() == nil
	if off {
		t.stop(err)
	}
	t.mu.Unlock()
	if off {
		t.tellOff(err)
	}
}

// tries is do without counting slow requests.
func (t *target) tries(ctx context.Context, bytes int64,
	request func(ctx context.Context) error) error {
	budget := t.limits.budget(bytes)
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
		case err == nil || errors.Is(err, ErrNotFound):
			t.worked()
			return err
		case errkind.Is[oci.BadError](err) || errkind.Is[*oci.LocalError](err):
			return err
		case t.off() != nil:
			return t.off()
		case limited.Err() != nil:
			err = context.Cause(limited)
		}
		if attempt == t.limits.Attempts || limited.Err() != nil || errkind.Is[finalError](err) ||
			errkind.Is[*network.SlowError](err) { // an attempt already took a whole window
			return t.failed(err)
		}
		// If the sleep ends early, the next round returns the reason.
		_ = sleep(limited, rand.N(t.limits.Backoff<<(attempt-1)))
	}
}

// wait waits until the server accepts requests again.
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

// pause delays all requests: a server that asks one request to wait means all.
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

// failed counts a failure, and switches the target off if further requests are hopeless.
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
		t.tellOff(err)
	}
	return err
}

// tellOff warns that the target is switched off.
func (t *target) tellOff(why error) {
	t.warn(fmt.Sprintf("the remote cache %s is no longer %s in this run: %v", t.place, t.use, why))
}

// oneError marks a finalError that concerns only one request.
type oneError struct{ error }

func (e oneError) Unwrap() error { return e.error }

// close ends the use of the target, and warns of failures that were not reported before.
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
