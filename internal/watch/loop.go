// loop: makes something of the files of a tree and runs it, again and again.

package watch

import "context"

// Loop is something that is made of files and runs until files change.
type Loop struct {
	// Next waits for a change: Watcher.Next.
	Next func(context.Context) (Change, error)
	// Make makes it of the files as they are after a change; the zero Change is for the first time.
	// same reports that what came out is what runs.
	Make func(context.Context, Change) (same bool, err error)
	// Run runs what was made last until that ends or ctx does, and leaves nothing that runs.
	Run func(context.Context) error
	// Failed is told that Make has failed; what ran before still runs if running is set. Same is told
	// that it goes on because nothing of it has changed, Ended that it has ended by itself.
	Failed func(err error, running bool)
	Same   func()
	Ended  func(error)
}

// Do loops until ctx ends, and returns why. Nothing runs then any more.
func (l Loop) Do(ctx context.Context) error {
	var r running
	defer func() { r.stop() }()
	for c := (Change{}); ; {
		same, err := l.Make(ctx, c)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			l.Failed(err, r.alive())
		case same && r.alive():
			l.Same()
		default:
			r.stop()
			r = start(ctx, l.Run)
		}
		if c, err = l.wait(ctx, &r); err != nil {
			return err
		}
	}
}

// wait waits for the next change, whatever becomes of what runs.
func (l Loop) wait(ctx context.Context, r *running) (c Change, err error) {
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		c, err = l.Next(ctx)
	}()
	for {
		select {
		case <-changed:
			return c, err
		case ended := <-r.ended:
			r.ended = nil
			if ctx.Err() == nil {
				l.Ended(ended)
			}
		}
	}
}

// running is what runs. The zero value is nothing.
type running struct {
	cancel context.CancelFunc
	ended  chan error // nil once it has ended, and that was noticed
}

func start(ctx context.Context, run func(context.Context) error) running {
	ctx, cancel := context.WithCancel(ctx)
	r := running{cancel, make(chan error, 1)}
	go func() { r.ended <- run(ctx) }()
	return r
}

func (r *running) alive() bool {
	return r.ended != nil && len(r.ended) == 0
}

// stop ends what runs, and waits until it has ended.
func (r *running) stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	if r.ended != nil {
		<-r.ended
	}
	*r = running{}
}
