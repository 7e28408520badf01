// Package network bounds what servers may do to this machine: how slowly they may send, and where
// on the network they may be. It asks nobody by itself; fetch, remote and doctor do.
package network

import (
	"fmt"
	"sync"
	"time"

	"buildsys/internal/bytesize"
)

// Floor is the least that a transfer has to bring. It is counted anew in each window, so that
// neither a fast beginning nor a large announced size buys time.
type Floor struct {
	Bytes  int64
	Window time.Duration
}

// DefaultFloor is some 17 KiB a second: slower than any line that could bring an image or a
// compiler's source in a working day, and slow enough for thirty transfers that share a poor one. A
// server that pauses for a moment makes up for it within the window.
var DefaultFloor = Floor{Bytes: 512 << 10, Window: 30 * time.Second}

// SlowError reports a transfer that was slower than its floor.
type SlowError struct {
	Got int64 // bytes in the last window
	Floor
}

// Error returns what came, and what should have.
func (e *SlowError) Error() string {
	return fmt.Sprintf("too slow: %s in %v, where at least %s are expected",
		bytesize.Format(e.Got), e.Window, bytesize.Format(e.Bytes))
}

// Timeout makes a SlowError a timeout in the sense of net.Error.
func (*SlowError) Timeout() bool { return true }

// Meter watches one transfer.
type Meter struct {
	floor Floor
	slow  func(error)

	mu    sync.Mutex
	got   int64
	ended bool
	timer *time.Timer
}

// Watch begins a transfer. It calls slow, once, with a *SlowError if a window brings less than the
// floor before Stop is called.
func (f Floor) Watch(slow func(error)) *Meter {
	m := &Meter{floor: f, slow: slow}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timer = time.AfterFunc(f.Window, m.check)
	return m
}

// Add counts bytes that came.
func (m *Meter) Add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got += int64(n)
}

// Stop ends the watching.
func (m *Meter) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.timer.Stop()
}

// check looks at a window that is over, and begins the next.
func (m *Meter) check() {
	m.mu.Lock()
	got, ended := m.got, m.ended
	m.got = 0
	if m.ended = ended || got < m.floor.Bytes; !m.ended {
		m.timer.Reset(m.floor.Window)
	}
	m.mu.Unlock()
	if !ended && got < m.floor.Bytes {
		m.slow(&SlowError{Got: got, Floor: m.floor})
	}
}
