// Watchdog: notices an engine that neither answers nor breaks the connection, and gives up its
// builds.
//
// If packets vanish on the way, a BuildKit client waits forever: its connection seems fine, and
// gRPC's own keepalive cannot be used, because the daemon considers frequent pings abuse. The
// daemon drops the client's session after some 40 s and kills the step. A partition of 20 s heals
// by itself, so the watchdog waits for longer than that.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// silence is how long an engine may give no sign of life.
	silence = 45 * time.Second
	// probes is how many pings in a row must fail within it. Counting them, not only the time,
	// keeps a process that was stopped for a minute from blaming the engine when it continues.
	probes = 5
)

// SilentError reports that the engine gave no sign of life for too long.
type SilentError struct {
	Host    string
	Silence time.Duration
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("nothing was heard from the engine at %s for %v, and it did not answer to "+
		"pings either", e.Host, e.Silence)
}

// watchdog pings an engine while builds run on it.
type watchdog struct {
	ping    func(ctx context.Context) error // on a connection that no build uses
	host    string
	silence time.Duration
	renew   func() // called after builds were given up

	mu     sync.Mutex
	builds map[*watched]bool
	heard  bool // from a build since the last ping was due
	stop   context.CancelFunc
}

// watched is one build.
type watched struct{ giveUp func(error) }

// watch calls giveUp if the engine falls silent before the returned function is called.
func (w *watchdog) watch(giveUp func(error)) (release func()) {
	b := &watched{giveUp}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.builds) == 0 {
		ctx, cancel := context.WithCancel(context.Background())
		w.builds, w.stop = map[*watched]bool{}, cancel
		go w.run(ctx)
	}
	w.builds[b] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.builds, b)
		if len(w.builds) == 0 {
			w.stop()
		}
	}
}

// sign records that a build has heard from the engine, so that a busy engine is not pinged.
func (w *watchdog) sign() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = true
}

func (w *watchdog) heardSince() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	w.heard = false
	return heard
}

// run pings until no build is left.
func (w *watchdog) run(ctx context.Context) {
	every := w.silence / probes
	failed := 0
	for ctx.Err() == nil {
		round, cancel := context.WithTimeout(ctx, every)
		switch {
		case w.heardSince():
			failed = 0
		case w.dead(round):
			failed++
		default:
			failed = 0
		}
		<-round.Done() // a ping that fails at once still counts for the whole interval
		cancel()
		if failed >= probes && ctx.Err() == nil && !w.heardSince() {
			failed = 0
			w.giveUp()
		}
	}
}

// dead reports whether a ping failed. Any answer is a sign of life, even a refusal.
func (w *watchdog) dead(ctx context.Context) bool {
	err := w.ping(ctx)
	return err != nil && (ctx.Err() != nil || errors.Is(err, errNobody))
}

func (w *watchdog) giveUp() {
	w.mu.Lock()
	var all []*watched
	for b := range w.builds {
		all = append(all, b)
	}
	w.mu.Unlock()
	for _, b := range all {
		b.giveUp(&SilentError{w.host, w.silence})
	}
	w.renew()
}
