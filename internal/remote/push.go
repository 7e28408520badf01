// push: uploads results in the background, without delaying builds.

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

// pushAtOnce bounds the results that are uploaded at once.
const pushAtOnce = 3

// pusher uploads results to one target.
type pusher struct {
	target *target
	accept func(cache.Entry, func(cache.File) (*os.File, error)) error // may be nil
	pushed atomic.Int64
	room   chan struct{} // holds a value for each upload in progress

	ctx    context.Context // of all uploads; canceled to end them
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	left    int
	seen    map[cache.ActionID]bool
	changed chan struct{} // gets a value, without blocking, whenever left has changed
}

func newPusher(t *target,
	accept func(cache.Entry, func(cache.File) (*os.File, error)) error) *pusher {
	p := &pusher{target: t, accept: accept, room: make(chan struct{}, pushAtOnce),
		seen: map[cache.ActionID]bool{}, changed: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Push uploads the result e in the background; open returns its blobs. A result that the cache has
// already is left as it is, unless it was refused. A result from a remote cache is not uploaded.
func (c *Cache) Push(e cache.Entry, open func(cache.Blob) (*os.File, error)) {
	if !c.Writes() || e.Origin != "" {
		return
	}
	replace := c.isRefused(e.Action)
	c.push.enqueue(e, func(ctx context.Context) error { return c.push.upload(ctx, e, open, replace) },
		func() {}, c.o.Warn)
}

// enqueue has something uploaded in the background, and release called once that is over, or at
// once if it is not done.
func (p *pusher) enqueue(e cache.Entry, upload func(context.Context) error, release func(),
	warn func(string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[e.Action] || p.target.off() != nil || p.ctx.Err() != nil {
		release()
		return
	}
	p.seen[e.Action] = true
	p.left++
	p.group.Go(func() {
		defer p.ended()
		defer release()
		select {
		case p.room <- struct{}{}:
			defer func() { <-p.room }()
		case <-p.ctx.Done():
			return
		}
		if err := upload(p.ctx); errkind.Is[*oci.LocalError](err) || errkind.Is[oci.BadError](err) {
			warn(fmt.Sprintf("the result of %s is not shared: %v", e.Step, err))
		} // the target reports its own failures
	})
}

func (p *pusher) ended() {
	p.mu.Lock()
	p.left--
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// upload uploads what is missing: the blobs first, because a registry refuses a manifest without
// them. So a result is in the cache as a whole or not at all.
func (p *pusher) upload(ctx context.Context, e cache.Entry, open func(cache.Blob) (*os.File, error),
	replace bool) error {
	t := p.target
	var there bool
	err := t.do(ctx, 0, func(ctx context.Context) (err error) {
		there, err = t.back.hasManifest(ctx, e.Action.String())
		return err
	})
	if err != nil || there && !replace {
		return err
	}
	if p.accept != nil {
		err := p.accept(e, func(f cache.File) (*os.File, error) {
			return open(cache.Blob{SHA256: f.SHA256, Size: f.Size})
		})
		if err != nil {
			return oci.Local(err)
		}
	}
	provenance, err := e.Provenance()
	if err != nil {
		return oci.Local(err)
	}
	data, err := encodeManifest(e, oci.BlobOf(provenance))
	if err != nil {
		return oci.Local(err)
	}
	for _, small := range [][]byte{emptyBlob, []byte(e.Transcript), provenance} {
		if err := t.uploadBlob(ctx, oci.BlobOf(small), fromMemory(small), replace); err != nil {
			return err
		}
	}
	blobs := []cache.Blob{}
	for _, f := range e.Files {
		if f.Link == "" {
			blobs = append(blobs, cache.Blob{SHA256: f.SHA256, Size: f.Size})
		}
	}
	if !e.Log.IsZero() {
		blobs = append(blobs, e.Log)
	}
	for _, b := range blobs {
		if err := t.uploadBlob(ctx, b, func() (io.ReadSeekCloser, error) { return open(b) },
			replace); err != nil {
			return err
		}
	}
	err = t.do(ctx, int64(len(data)),
		func(ctx context.Context) error { return t.back.putManifest(ctx, e.Action.String(), data) })
	if err == nil {
		p.pushed.Add(1)
	}
	return err
}

// memory is a blob in memory.
type memory struct{ *strings.Reader }

// Close implements io.Closer.
func (memory) Close() error { return nil }

// uploadBlob uploads a blob unless the cache has it; with replace it always does, because the
// existing one may be damaged.
func (t *target) uploadBlob(ctx context.Context, b cache.Blob,
	open func() (io.ReadSeekCloser, error), replace bool) error {
	return t.do(ctx, b.Size, func(ctx context.Context) error {
		if !replace {
			if there, err := t.back.hasBlob(ctx, b); err != nil || there {
				return err
			}
		}
		data, err := open()
		if err != nil {
			return oci.Local(err)
		}
		if _, err = data.Seek(0, io.SeekStart); err != nil {
			return errors.Join(oci.Local(err), data.Close())
		}
		return errors.Join(t.back.putBlob(ctx, b, data), data.Close())
	})
}

// drain waits for the uploads, at most as long as longest.
func (p *pusher) drain(ctx context.Context, longest time.Duration, waiting func(left int)) {
	limit := time.NewTimer(longest)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		p.mu.Lock()
		left := p.left
		p.mu.Unlock()
		if left == 0 {
			break
		}
		if waiting != nil {
			waiting(left)
		}
		select {
		case <-p.changed:
			continue
		case <-tick.C:
			continue
		case <-limit.C:
			p.target.warn(fmt.Sprintf("%d results were not uploaded to %s within %v; the next run tries "+
				"again", left, p.target.place, longest))
		case <-ctx.Done():
		}
		break
	}
	p.cancel()
	p.group.Wait()
}
