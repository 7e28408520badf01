// pinned: files of which a list in the tree has the sums, from proxies that need not be trusted: Go
// modules and crates. Each is kept under its sum, for all checkouts.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/atomicfile"
	"buildsys/internal/progress"
)

// pinned is one such file.
type pinned struct {
	title   string // for messages: "golang.org/x/text@v0.3.0"
	name    string // below a proxy: "golang.org/x/text/@v/v0.3.0.zip"
	kept    string // where it is kept; its name is the sum
	root    string // of what is kept
	setting string // the environment variable that names the proxies
	proxies func() string
	at      []proxy // if it is not nil, the places of this file, instead of proxies
	max     int64   // bytes that it may have; 0: those of any file
	// check returns nil if the file at path has the sum.
	check func(ctx context.Context, path string) error
	// load brings the file from a proxy; nil means that it is below the proxy's URL.
	load   func(ctx context.Context, from proxy, p *part) error
	failed func(tried []Attempt, bad bool) error // the error if no proxy has it
	start  func()                                // called if it must be fetched
	job    *job
}

// fetchPinned makes every file present where it is kept, and calls use for each. what is for
// messages.
func (s *Store) fetchPinned(ctx context.Context, step, what string, todo []*pinned,
	use func(*pinned) error) error {
	var (
		begin   = s.now()
		tell    sync.Once
		done    atomic.Int64
		fetched atomic.Int64
		errs    = make([]error, len(todo))
		group   errgroup.Group // no shared context: one missing file must not hide another
	)
	group.SetLimit(orDefault(s.tuned.jobs, defaultJobs))
	for i, p := range todo {
		group.Go(func() error {
			p.job = &job{s: s, step: step, name: p.title, final: p.kept, where: what, max: p.max}
			p.start = func() {
				fetched.Add(1)
				tell.Do(func() { s.emit(progress.Event{Kind: progress.FetchStart, Step: step, Text: what}) })
			}
			if errs[i] = p.provide(ctx); errs[i] == nil {
				errs[i] = use(p)
			}
			if n := done.Add(1); s.now().Sub(begin) > progressEvery && n%16 == 0 {
				s.emit(progress.Event{Kind: progress.FetchProgress, Step: step,
					Text: fmt.Sprintf("%s: %d of %d files", what, n, len(todo))})
			}
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("fetch %s: %w", what, context.Cause(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := fetched.Load(); n > 0 {
		s.emit(progress.Event{Kind: progress.FetchDone, Step: step,
			Text: fmt.Sprintf("%s (%d files)", what, n), Duration: s.now().Sub(begin)})
	}
	return nil
}

// provide makes the kept file, from a proxy if need be.
func (m *pinned) provide(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if m.check(ctx, m.kept) == nil {
			return nil
		}
		p, err := openPart(ctx, m.kept, func() {})
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return err
		}
		err = m.keep(ctx, p)
		p.release(err)
		if err != nil {
			return err
		}
	}
}

// keep makes the kept file, unless the previous holder of the lock p has made it. Only the holder
// may remove a damaged one: it may have been repaired by now.
func (m *pinned) keep(ctx context.Context, p *part) error {
	err := m.check(ctx, m.kept)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		m.job.emit(progress.Warning, fmt.Sprintf("%s was damaged in the cache (%s); it is fetched again",
			m.title, m.kept), nil)
		if err := os.Remove(m.kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return storeError("remove", m.kept, err)
		}
	}
	m.start()
	return m.obtain(ctx, p)
}

// link links the kept file to path, unless the file there has the right sum.
func (m *pinned) link(ctx context.Context, path string) error {
	if m.check(ctx, path) == nil {
		return nil
	}
	if err := mkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	if err := atomicfile.Link(m.kept, path, 0o644); err != nil {
		return storeError("write", path, err)
	}
	return nil
}

// from brings the file from a proxy into p, and checks it.
func (m *pinned) from(ctx context.Context, x proxy, p *part) error {
	load := m.load
	if load == nil {
		load = func(ctx context.Context, x proxy, p *part) error { return x.load(ctx, m, p) }
	}
	if x.base == "off" {
		return errOff
	}
	if err := load(ctx, x, p); err != nil {
		return err
	}
	if err := m.check(ctx, p.path); err != nil {
		return &sumError{err}
	}
	return nil
}

// obtain fills p from the first proxy that has the right bytes, and keeps them.
func (m *pinned) obtain(ctx context.Context, p *part) error {
	var tried []Attempt
	bad := false
	at := m.at
	if at == nil {
		at = proxies(m.proxies())
	}
	for _, proxy := range at {
		err := m.from(ctx, proxy, p)
		switch {
		case err == nil:
			return p.commit(m.kept, m.root)
		case ctx.Err() != nil:
			return fmt.Errorf("fetch %s: %w", m.title, context.Cause(ctx))
		case isStoreError(err):
			return err
		}
		tried = append(tried, Attempt{Place: proxy.label(m.setting), Err: err})
		bad = bad || errors.As(err, new(*sumError))
		if err := p.reset(); err != nil {
			return err
		}
		if !proxy.goOn(err) {
			break
		}
	}
	return m.failed(tried, bad)
}
