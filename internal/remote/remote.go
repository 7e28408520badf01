// Package remote shares the results of steps between machines, in a repository of an OCI registry
// or in a directory. A result is an image manifest whose tag is the action ID; outputs are blobs,
// downloaded only when needed. It trusts nothing that arrives, and no failure breaks a build: a
// cache that is missing, slow, full or wrong costs a bounded wait and a warning. Package cache
// defines entries; executor uses them.
package remote

import (
	"cmp"
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/network"
)

// Limits bound the cost of a remote cache. The zero value of a field means its default.
type Limits struct {
	Attempts int // of a request that fails in a way that may pass; 3
	// Backoff bounds the first wait between attempts; the bound doubles with each. 500 ms.
	Backoff time.Duration
	// RetryAfter is the longest wait that a server may ask for; a longer one is a failure. 30 s.
	RetryAfter time.Duration
	Idle       time.Duration // longest silence of a connection; 20 s
	// Budget is for one request with all attempts, without the transfer of a blob. 60 s.
	Budget time.Duration
	// Rate is the least average speed of the transfer of a blob, in bytes per second; the time it
	// takes at that speed is added to Budget. 256 KiB.
	Rate int64
	// Floor is the least speed at any time. network.DefaultFloor.
	Floor network.Floor
	// Longest bounds the time for one request, and for the outputs of one result, whatever sizes a
	// manifest announces: in an hour, Rate brings 900 MiB and a fast line any image. 1 h.
	Longest time.Duration
	// Failures is the number of consecutive failed requests after which a cache is not used. 3.
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
	def(&l.Longest, time.Hour)
	l.Floor = cmp.Or(l.Floor, network.DefaultFloor)
	return l
}

// budget returns the time for a transfer of that many bytes, with all attempts.
func (l Limits) budget(bytes int64) time.Duration {
	most := max(0, float64(l.Longest-l.Budget))
	return l.Budget + time.Duration(min(most, float64(bytes)/float64(l.Rate)*float64(time.Second)))
}

// Options are the remote caches of a run.
type Options struct {
	From   []Location // read, in this order
	To     Location   // written; the zero value for none
	Limits Limits
	// Warn is called with each failure, at most once for each cause, perhaps concurrently.
	Warn func(string)
	// Have returns a local file with a blob, which is then checked and not downloaded; nil if there
	// are no such files.
	Have func(cache.Blob) (*os.File, error)
	// Accept returns what is wrong with the outputs of e, which open reads, beyond what this
	// package checks. nil accepts all. Outputs that it refuses are not uploaded either, because
	// every reader would refuse them.
	Accept func(e cache.Entry, open func(cache.File) (*os.File, error)) error
}

// Cache is the remote caches of a run. It is safe for concurrent use. A nil *Cache is empty.
type Cache struct {
	o    Options
	from []*target
	push *pusher // nil if no cache is written

	mu      sync.Mutex
	refused map[cache.ActionID]bool // actions whose results are not what they should be

	hits, fetched atomic.Int64
}

// Stats counts what a Cache has done.
type Stats struct {
	Hits    int64 // results found in a remote cache
	Fetched int64 // results whose outputs were downloaded
	Pushed  int64 // results that were uploaded
	Down    int64 // bytes received, without headers
	Up      int64 // bytes sent, without headers
}

// Open prepares the remote caches, without connecting. The error is about an invalid location.
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
		// A separate target, even for the same location: a full registry can still be read.
		t, err := newTarget(o.To, o, "written")
		if err != nil {
			return nil, err
		}
		c.push = newPusher(t, o.Accept)
	}
	return c, nil
}

// Stats returns the counts so far.
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

// Close waits for the uploads, at most Limits.Drain and not after ctx is done, and warns of
// failures. It calls waiting, unless nil, with the number of uploads left, when one has ended and
// every ten seconds.
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

// Reads reports whether there is a cache to read from.
func (c *Cache) Reads() bool { return c != nil && len(c.from) > 0 }

// Writes reports whether results are uploaded.
func (c *Cache) Writes() bool { return c != nil && c.push != nil }
