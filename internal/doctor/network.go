// Network: servers that a build may use, and this machine's clock compared with theirs.

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"buildsys/internal/network"
)

const (
	serverTimeout = 5 * time.Second
	// wrongClock is how far this clock may differ from a server's. Certificates and tokens are
	// valid to the minute.
	wrongClock = 5 * time.Minute
	// firstYear is before any run of this program: a machine without a clock battery starts in
	// 1970.
	firstYear = 2025
)

// servers asks all of them at once and then checks the clock.
func (r Request) servers(ctx context.Context) []Check {
	checks := make([]Check, len(r.Servers), len(r.Servers)+1)
	dates := make([]time.Time, len(r.Servers))
	var wg sync.WaitGroup
	for i, s := range r.Servers {
		wg.Go(func() { checks[i], dates[i] = r.server(ctx, s) })
	}
	wg.Wait()
	return append(checks, r.clock(dates))
}

func (r Request) server(ctx context.Context, s Server) (Check, time.Time) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = serverTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	var err error
	var date time.Time
	text := "answers"
	if s.URL != "" {
		text, date, err = ask(ctx, s)
	}
	if err == nil && s.Probe != nil {
		err = s.Probe(ctx)
	}
	if err == nil {
		return Check{Name: s.Name, Status: OK, Detail: text}, date
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return Check{Name: s.Name, Status: Warning, Detail: err.Error(), Fix: s.Fix}, date
}

// ask sends one request for the root of a server, which may well answer that there is nothing.
func ask(ctx context.Context, s Server) (text string, date time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, s.URL, nil)
	if err != nil {
		return "", date, err
	}
	client := http.Client{Transport: network.NewTransport(s.Reach, net.Dialer{},
		http.DefaultTransport.(*http.Transport))}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is already in the message
		}
		return "", date, err
	}
	defer resp.Body.Close()
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		date = t
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized:
		return "", date, fmt.Errorf("it refuses access (%d)", code)
	case code == http.StatusForbidden: // to the list of its files, for which no build asks
		return "answers (403, as buckets do that give files but no list of them)", date, nil
	case code == http.StatusTooManyRequests:
		return "", date, fmt.Errorf("it limits requests (429%s)", retryAfter(resp.Header))
	case code >= 500:
		return "", date, fmt.Errorf("it fails (%d %s)", code, http.StatusText(code))
	}
	return "answers", date, nil
}

func retryAfter(h http.Header) string {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		return fmt.Sprintf(", again in %d s", s)
	}
	return ""
}

// clock compares the clock with the year and with the servers' times.
func (r Request) clock(dates []time.Time) Check {
	now := time.Now()
	if r.Now != nil {
		now = r.Now()
	}
	c := Check{Name: "clock", Status: OK, Detail: now.UTC().Format("2006-01-02 15:04 MST")}
	if now.Year() < firstYear {
		c.Status, c.Fix = Failure, "set the clock: no certificate is valid yet"
		return c
	}
	for _, d := range dates {
		if d.IsZero() {
			continue
		}
		if off := now.Sub(d).Round(time.Second); off.Abs() > wrongClock {
			c.Status, c.Fix = Warning, "set the clock: certificates, tokens and cached results depend on it"
			c.Detail += fmt.Sprintf(", but a server says %s", d.UTC().Format("2006-01-02 15:04 MST"))
			return c
		}
		c.Detail += ", as servers say"
		return c
	}
	c.Detail += " (no server to compare with)"
	return c
}

// HubHint is what a user of Docker Hub or ECR should know before a build is refused there.
func HubHint(registry string) string {
	switch {
	case registry == "docker.io" || strings.HasSuffix(registry, ".docker.io"):
		return "Docker Hub limits pulls by address, and CI machines share theirs: log in, or use a " +
			"mirror (in AWS an ECR pull-through cache)"
	case strings.HasSuffix(registry, ".amazonaws.com"):
		return "ECR tokens live 12 hours: use docker-credential-ecr-login, or log in at the start of " +
			"the build"
	}
	return ""
}
