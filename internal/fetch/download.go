// download: one file over HTTP, resumed if the server allows it, limited in size, never waiting for
// ever.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"buildsys/internal/network"
	"buildsys/internal/progress"
)

const (
	maxRedirects  = 10
	progressEvery = 5 * time.Second
	bytesEvery    = time.Second
	// maxHeader bounds the header of an answer, which is kept in memory. Those of real servers have
	// a few KiB; proxies refuse more than some dozen.
	maxHeader = 256 << 10
	// maxTime is how long one place may take for one file, with all attempts and pauses: 4 GiB, the
	// largest file, at 0.6 MiB a second. What came of a slower one is kept, where its server can
	// resume, and the next run goes on.
	maxTime = 2 * time.Hour
)

// timeError is the cause of a download that took longer than maxTime.
type timeError struct{ after time.Duration }

func (e *timeError) Error() string {
	return fmt.Sprintf("not complete after %v; what came is kept if the server can resume: try "+
		"again, or use a lookaside cache that is nearer", e.after)
}

// download brings the file of pl into p, and returns its sha512. It takes maxTime at most.
func (j *job) download(ctx context.Context, pl place, p *part) (string, error) {
	limit := orDefault(j.s.tuned.maxTime, maxTime)
	limited, cancel := context.WithTimeoutCause(ctx, limit, &timeError{limit})
	defer cancel()
	sum, err := j.attempts(limited, pl, p)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = &cutError{got: p.size, total: p.from.Total, err: context.Cause(limited)}
	}
	return sum, err
}

// attempts is download without the limit of time. It makes at most maxAttempts attempts.
func (j *job) attempts(ctx context.Context, pl place, p *part) (string, error) {
	u, err := url.Parse(pl.url)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("not an http or https URL")
	}
	for n := 1; ; n++ {
		resumed, err := j.attempt(ctx, pl, p)
		if err == nil && resumed && j.file.SHA512 != "" && p.hex() != j.file.SHA512 && n < maxAttempts {
			// The kept prefix may be wrong (a crash, a server with a wrong ETag): start over, once.
			if err := p.reset(); err != nil {
				return "", err
			}
			j.emit(progress.FetchRetry,
				fmt.Sprintf("%s: the resumed download had a wrong sha512; starting over", j.name), nil)
			continue
		}
		if err == nil {
			return p.hex(), nil
		}
		wait, again := j.s.retryIn(err, n)
		if !again || ctx.Err() != nil || isStoreError(err) {
			return "", err
		}
		j.emit(progress.FetchRetry, fmt.Sprintf("%s from %s: attempt %d of %d failed, next in %s",
			j.name, u.Host, n, maxAttempts, wait.Round(100*time.Millisecond)), err)
		if err := j.s.sleep(ctx, wait); err != nil {
			return "", err
		}
	}
}

// attempt makes one request and reads its body to the end. resumed reports whether p kept bytes of
// an earlier attempt.
func (j *job) attempt(ctx context.Context, pl place, p *part) (resumed bool, err error) {
	if err := p.resume(ctx, pl.url); err != nil {
		return false, err
	}
	if p.size > 0 && p.size == p.from.Total {
		return true, nil // all bytes came, but the process ended before the last step
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := orDefault(j.s.tuned.idle, defaultIdle)
	watch := j.s.tuned.watch
	if watch == nil {
		watch = timerWatchdog(idle)
	}
	alive, stop := watch(func() { cancel(&idleError{idle}) })
	defer stop()

	resp, err := j.s.request(ctx, pl, p)
	if err != nil {
		return false, orCause(ctx, err)
	}
	p.hidden = pl.reach == network.PublicOnly && unknown(resp)
	p.plain = p.plain || unencrypted(resp)
	defer resp.Body.Close()
	if err := p.accept(resp, pl.url, j.maxBytes()); err != nil {
		return false, err
	}
	resumed = p.size > 0
	meter := j.s.floor().Watch(func(slow error) { cancel(slow) })
	defer meter.Stop()
	body := &bodyReader{r: resp.Body, alive: alive, meter: meter, tick: j.ticker(p)}
	// One byte more than allowed is enough to know.
	_, err = io.Copy(p, io.LimitReader(body, j.maxBytes()-p.size+1))
	switch {
	case isStoreError(err):
		return resumed, err
	case err != nil:
		return resumed, &cutError{got: p.size, total: p.from.Total, err: orCause(ctx, err)}
	case p.size > j.maxBytes():
		return resumed, p.refuse(tooLarge(p.size, j.maxBytes()))
	}
	return resumed, nil
}

// watchdog watches an attempt until stop is called. It calls stalled if alive was not called for
// too long.
type watchdog func(stalled func()) (alive, stop func())

func timerWatchdog(idle time.Duration) watchdog {
	return func(stalled func()) (alive, stop func()) {
		t := time.AfterFunc(idle, stalled)
		return func() { t.Reset(idle) }, func() { t.Stop() }
	}
}

// request requests the bytes that p does not have yet.
func (s *Store) request(ctx context.Context, pl place, p *part) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, pl.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	// An explicit value also keeps net/http from decoding a Content-Encoding: the hash is of the bytes
	// as stored.
	req.Header.Set("Accept-Encoding", "identity")
	if p.size > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
		req.Header.Set("If-Range", p.from.Range)
	}
	c := http.Client{Transport: s.transport(pl.reach), CheckRedirect: checkRedirect}
	return c.Do(req)
}

// transport returns a transport with connect timeouts, which is made once for each reach.
func (s *Store) transport(reach network.Reach) http.RoundTripper {
	s.onceHTTP.Do(func() {
		dialer := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
		base := &http.Transport{
			Proxy:                  network.Proxy,
			TLSHandshakeTimeout:    15 * time.Second,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxIdleConns:           16,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		}
		s.http = map[network.Reach]http.RoundTripper{}
		for _, r := range []network.Reach{network.Anywhere, network.PublicOnly} {
			s.http[r] = network.NewTransport(r, dialer, base)
		}
	})
	return s.http[reach]
}

// checkRedirect allows redirects only to other web servers, not to files. Where those may be, the
// transport knows.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return fmt.Errorf("refused a redirect to a %s URL", req.URL.Scheme)
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// unknown reports whether nobody here knows the address that answered, because a proxy asked it.
func unknown(resp *http.Response) bool {
	proxy, err := network.Proxy(resp.Request)
	return err != nil || proxy != nil
}

// accept checks the head of a response and prepares p for its body, to be continued or from the
// start.
func (p *part) accept(resp *http.Response, raw string, max int64) error {
	total := resp.ContentLength // -1 if unknown
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var start, end, all int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &start, &end,
			&all); err != nil ||
			p.size == 0 || start != p.size {
			return p.refuse(&statusError{code: resp.StatusCode,
				note: "with a Content-Range that was not requested", again: true})
		}
		if all > max {
			return p.refuse(tooLarge(all, max))
		}
		return nil // what was recorded for the first bytes still holds
	case http.StatusRequestedRangeNotSatisfiable:
		return p.refuse(&statusError{code: resp.StatusCode, note: "to a resumed download",
			again: p.size > 0})
	case http.StatusOK:
	default:
		return newStatusError(resp)
	}
	if total > max {
		return tooLarge(total, max)
	}
	if err := p.reset(); err != nil {
		return err
	}
	return p.remember(validator{URL: raw, Range: strongValidator(resp.Header), Total: total})
}

// refuse drops the bytes of p, which cannot be resumed, and returns err.
func (p *part) refuse(err error) error {
	if e := p.reset(); e != nil {
		return e
	}
	return err
}

// strongValidator returns the value for If-Range after a response with header h, or "" if nothing
// in it identifies exact bytes. A date does if it is at least a minute older than the response (RFC
// 9110, 8.8.2.2).
func strongValidator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) && len(tag) > 2 {
		return tag
	}
	mod, err1 := http.ParseTime(h.Get("Last-Modified"))
	date, err2 := http.ParseTime(h.Get("Date"))
	if err1 == nil && err2 == nil && date.Sub(mod) >= time.Minute {
		return h.Get("Last-Modified")
	}
	return ""
}

// ticker returns a function to call as bytes come. It reports how many, once a second.
func (j *job) ticker(p *part) func() {
	last := j.s.now()
	return func() {
		now := j.s.now()
		if now.Sub(last) < bytesEvery {
			return
		}
		last = now
		j.s.emit(progress.Event{Kind: progress.FetchProgress, Step: j.step, Text: j.name,
			Bytes: p.size, Size: max(p.from.Total, 0)})
	}
}

// bodyReader counts the bytes of a body, and calls alive and tick, as they are read.
type bodyReader struct {
	r     io.Reader
	meter *network.Meter
	alive func()
	tick  func()
}

func (b *bodyReader) Read(buf []byte) (int, error) {
	n, err := b.r.Read(buf)
	if n > 0 {
		b.alive()
		b.meter.Add(n)
		b.tick()
	}
	return n, err
}

// orCause returns the cause of the end of ctx, or if ctx has not ended err without a URL.
func orCause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	if refused, ok := errors.AsType[*network.AddressError](err); ok {
		if refused.Reach != network.PublicOnly {
			return refused
		}
		return fmt.Errorf("%w, and the tree names it: put the file into a lookaside cache, or trust "+
			"the tree with --trust-tree", refused)
	}
	var ue *url.Error
	if errors.As(err, &ue) { // messages have the URL in front already, and it may contain credentials
		return ue.Err
	}
	return err
}
