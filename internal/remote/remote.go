// Package remote shares the results of steps between machines: in a repository of an OCI registry,
// or in a directory.
//
// A result is an image manifest whose tag is the action ID. It lists what was built as blobs by
// their sha256, beside the transcript, the log and the provenance. The manifest is pushed last, so
// that a result is there whole or not at all, and it alone says what a step's outputs are: they are
// downloaded only when somebody needs the bytes.
//
// Nothing that arrives is believed, and nothing that fails matters: a remote cache that is missing,
// slow, full or lying costs a bounded wait and a warning, never a build. Retries with Retry-After
// are made here, since neither BuildKit nor oras-go does all of it.
package remote

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/cache"
)

// Limits bound what a remote cache may cost. The zero value of a field means its default.
type Limits struct {
	Attempts int // of one request that fails in a way that may pass; 3
	// the first wait between attempts is at most this, the next at most twice as long; 500 ms
	Backoff time.Duration
	// RetryAfter is the longest wait that a server may ask for; one that wants more has failed. 30 s.
	RetryAfter time.Duration
	Idle       time.Duration // longest silence of a connection; 20 s
	// for one request with all its attempts, apart from the bytes of a blob; 60 s
	Budget time.Duration
	// bytes per second that a transfer of a blob has to reach on average, beside Budget; 256 KiB
	Rate int64
	// requests that fail one after the other before a cache is not used any more; 3
	Failures int
	Drain    time.Duration // longest wait for uploads at the end of a run; 5 min
}

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if l.Attempts <= 0 {
		l.Attempts = 3
	}
	if l.Rate <= 0 {
		l.Rate = 256 << 10
	}
	if l.Failures <= 0 {
		l.Failures = 3
	}
	def(&l.Backoff, 500*time.Millisecond)
	def(&l.RetryAfter, 30*time.Second)
	def(&l.Idle, 20*time.Second)
	def(&l.Budget, time.Minute)
	def(&l.Drain, 5*time.Minute)
	return l
}

// Options says which remote caches there are.
type Options struct {
	From   []Location // read, in this order
	To     Location   // written; the zero value for none
	Limits Limits
	// told what went wrong, at most once for each cause; may be called concurrently
	Warn func(string)
	// Have returns bytes that need not be downloaded, for they are here; nil for none. What it returns
	// is checked.
	Have func(cache.Blob) (*os.File, error)
	// Accept says what is wrong with the outputs of e, which open reads, beyond what this package
	// knows; nil accepts all. What it refuses is not uploaded either, for every reader would refuse
	// it.
	Accept func(e cache.Entry, open func(cache.File) (*os.File, error)) error
}

// Cache is the remote caches of a run. Its methods may be called from any number of goroutines. A
// nil *Cache has nothing.
type Cache struct {
	o    Options
	from []*target
	push *pusher // nil when nothing is written

	mu      sync.Mutex
	refused map[cache.ActionID]bool // their results are not what they should be

	hits, fetched atomic.Int64
}

// Stats is what a Cache did so far.
type Stats struct {
	Hits    int64 // results that a remote cache knew
	Fetched int64 // results whose outputs were downloaded
	Pushed  int64 // results that were uploaded
	Down    int64 // bytes received, without headers
	Up      int64 // bytes sent, without headers
}

// Open prepares the remote caches. It connects to nothing yet; the error is about a location that
// cannot be one.
func Open(o Options) (*Cache, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	c := &Cache{o: o, refused: map[cache.ActionID]bool{}}
	for _, place := range o.From {
		t, err := newTarget(place, o, "read")
		if err != nil {
			return nil, err
		}
		c.from = append(c.from, t)
	}
	if o.To != (Location{}) {
		// Another target than the one that is read, also in the same place: a registry that is full can
		// still be read.
		t, err := newTarget(o.To, o, "written")
		if err != nil {
			return nil, err
		}
		c.push = newPusher(t, o.Accept)
	}
	return c, nil
}

// Stats returns the figures so far.
func (c *Cache) Stats() Stats {
	if c == nil {
		return Stats{}
	}
	s := Stats{Hits: c.hits.Load(), Fetched: c.fetched.Load()}
	all := c.from
	if c.push != nil {
		all = append(all[:len(all):len(all)], c.push.target)
		s.Pushed = c.push.pushed.Load()
	}
	for _, t := range all {
		s.Down += t.down.Load()
		s.Up += t.up.Load()
	}
	return s
}

// Close waits for the uploads, at most Limits.Drain and not after ctx has ended, and says what did
// not work. waiting, if not nil, is called with the number of uploads left whenever one has ended
// and every ten seconds.
func (c *Cache) Close(ctx context.Context, waiting func(left int)) {
	if c == nil {
		return
	}
	if c.push != nil {
		c.push.drain(ctx, c.o.Limits.Drain, waiting)
		c.push.target.close()
	}
	for _, t := range c.from {
		t.close()
	}
}

// Reads reports whether there is a cache to ask, and Writes whether there is one to upload to.
func (c *Cache) Reads() bool { return c != nil && len(c.from) > 0 }

// Writes reports whether results are uploaded.
func (c *Cache) Writes() bool { return c != nil && c.push != nil }
