// transport: the HTTP transport of a registry client; counts bytes, notices silence, and obeys
// Retry-After.

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"buildsys/internal/network"
)

// maxHeader bounds the header of an answer, which is kept in memory. Those of real registries have
// a few KiB, with long tokens in the addresses of redirects.
const maxHeader = 256 << 10

// newTransport returns an HTTP transport with a limit on every wait that has none by default.
func newTransport(reach network.Reach) http.RoundTripper {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.Proxy = network.Proxy
	tr.DisableCompression = true // blobs are counted and hashed as they are stored
	tr.MaxIdleConnsPerHost = 16
	tr.MaxResponseHeaderBytes = maxHeader
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return network.NewTransport(reach, dialer, tr)
}

// hosts is an HTTP transport for a registry and for what it names itself: where its tokens, the
// next page of a list and the place for an upload are, and what it redirects to. None of that is a
// cloud's metadata service, whose answer would be sent on as a token, and neither is a registry
// that only a tree names.
type hosts struct {
	host       string // of the registry
	own, other http.RoundTripper
}

func newHosts(place Location, host string) hosts {
	h := hosts{host: host, other: newTransport(network.NoMetadata)}
	if h.own = h.other; place.Named {
		h.own = newTransport(network.Anywhere)
	}
	return h
}

// RoundTrip implements http.RoundTripper.
func (h hosts) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == h.host {
		return h.own.RoundTrip(req)
	}
	return h.other.RoundTrip(req)
}

// transport wraps an HTTP transport for one target.
type transport struct {
	t    *target
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper. It ends a request if nothing is sent or received for
// Limits.Idle.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	idle := tr.t.limits.Idle
	if req.Method == http.MethodPut {
		idle *= 3 // a registry moves a large blob to its place before it answers
	}
	silence := time.AfterFunc(idle, func() { cancel(idleError{idle}) })
	stop := func() {
		silence.Stop()
		cancel(nil)
	}
	sent := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		sent.Body = &meteredBody{ReadCloser: req.Body, moved: func(n int) {
			tr.t.up.Add(int64(n))
			silence.Reset(idle)
		}}
	}
	resp, err := tr.base.RoundTrip(sent)
	if err != nil {
		err = because(ctx, err)
		stop()
		return nil, err
	}
	silence.Reset(idle)
	meter := tr.t.limits.Floor.Watch(func(slow error) { cancel(slow) })
	closed := func() {
		meter.Stop()
		stop()
	}
	resp.Body = &meteredBody{ReadCloser: resp.Body, ctx: ctx, closed: closed, moved: func(n int) {
		meter.Add(n)
		tr.t.down.Add(int64(n))
		silence.Reset(idle)
	}}
	if resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable {
		wait := retryAfter(resp.Header.Get("Retry-After"), time.Now())
		if wait > tr.t.limits.RetryAfter {
			resp.Body.Close()
			return nil, finalError{fmt.Errorf("the server answered %d %s and asks to wait %v",
				resp.StatusCode, http.StatusText(resp.StatusCode), wait)}
		} else if wait > 0 {
			tr.t.pause(wait)
		}
	}
	return resp, nil
}

// retryAfter parses seconds or a date. It returns 0 for anything else.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// idleError is the cause of a request that ended because of silence.
type idleError struct{ after time.Duration }

func (e idleError) Error() string { return fmt.Sprintf("nothing was received for %v", e.after) }

// because replaces the error of an ended context by its cause.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)) {
		return cause
	}
	return err
}

// meteredBody reports the bytes that move through a body.
type meteredBody struct {
	io.ReadCloser
	ctx    context.Context // of a response; its cause replaces the error of a read that it ended
	moved  func(n int)
	closed func()
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.moved(n)
	}
	if err != nil && err != io.EOF && b.ctx != nil {
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *meteredBody) Close() error {
	err := b.ReadCloser.Close()
	if b.closed != nil {
		b.closed()
	}
	return err
}
