// retry: which failures are worth another attempt, and when.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

const (
	maxAttempts   = 3
	backoffBase   = time.Second
	maxRetryAfter = 5 * time.Minute // a server that wants more counts as down
)

// statusError is a response other than the file.
type statusError struct {
	code  int
	note  string
	again bool   // worth another attempt
	after string // Retry-After as received
}

func newStatusError(resp *http.Response) *statusError {
	e := &statusError{code: resp.StatusCode}
	switch {
	case e.code == http.StatusTooManyRequests, e.code == http.StatusServiceUnavailable:
		e.after = resp.Header.Get("Retry-After")
		e.again = true
	case e.code == http.StatusRequestTimeout, e.code >= 500:
		e.again = true
	}
	return e
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.code, http.StatusText(e.code))
	if e.note != "" {
		text += " " + e.note
	}
	return text
}

// cutError is a body that ended or stalled early.
type cutError struct {
	got, total int64 // bytes; total is -1 if unknown
	err        error
}

func (e *cutError) Error() string {
	if e.total > 0 {
		return fmt.Sprintf("cut off after %d of %d bytes: %v", e.got, e.total, e.err)
	}
	return fmt.Sprintf("cut off after %d bytes: %v", e.got, e.err)
}

func (e *cutError) Unwrap() error { return e.err }

// idleError ends an attempt that received no byte for a while.
type idleError struct{ after time.Duration }

func (e *idleError) Error() string { return fmt.Sprintf("no bytes for %s", e.after) }

// Timeout makes an idleError a timeout in the sense of net.Error.
func (e *idleError) Timeout() bool { return true }

// retryIn reports whether another attempt follows the n-th failed one, and after how long.
func (s *Store) retryIn(err error, n int) (time.Duration, bool) {
	if n >= maxAttempts || !transient(err) {
		return 0, false
	}
	// Full jitter: many machines that failed together must not return together.
	wait := rand.N(backoffBase << n)
	var se *statusError
	if errors.As(err, &se) && se.after != "" {
		wanted, ok := s.parseRetryAfter(se.after)
		if wanted > maxRetryAfter {
			se.note = fmt.Sprintf("and requested a wait of %s", wanted)
			return 0, false
		}
		if ok {
			wait = wanted + rand.N(backoffBase/2)
		}
	}
	return wait, true
}

// parseRetryAfter parses seconds or a date.
func (s *Store) parseRetryAfter(v string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(s.now())), true
	}
	return 0, false
}

// transient reports whether a failure may be gone in a moment.
func transient(err error) bool {
	var se *statusError
	if errors.As(err, &se) {
		return se.again
	}
	var cut *cutError
	if errors.As(err, &cut) { // the server had begun to answer, so the connection is at fault
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNABORTED,
		syscall.EPIPE, syscall.ETIMEDOUT} {
		if errors.Is(err, e) {
			return true
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTimeout || dns.IsTemporary
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	if s.tuned.sleep != nil {
		return s.tuned.sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
