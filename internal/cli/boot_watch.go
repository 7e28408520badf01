// boot_watch: boot --watch, which builds and boots a variant again whenever a file of it changes.

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"buildsys/internal/build"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
	"buildsys/internal/settings"
	"buildsys/internal/vm"
	"buildsys/internal/watch"
)

// watchedBoot is a variant that is built and booted again and again.
type watchedBoot struct {
	a       *app
	c       build.Config
	s       *build.Session
	machine vm.Config
	want    build.Request
	watcher *watch.Watcher
	round   *round
	runs    cache.ContentID // of the image that was booted last
	told    bool            // how it is booted
}

// round is what one change led to, and how long that took.
type round struct {
	build.Output
	began time.Time
	since string // what the time is counted from

	mu    sync.Mutex
	parts []string
	sum   time.Duration
}

// Event notes how long steps took.
func (r *round) Event(e progress.Event) {
	if e.Kind == progress.StepDone {
		r.took(progress.Name(e.Step), e.Duration)
	}
	r.Output.Event(e)
}

func (r *round) took(what string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, what+" "+progress.Took(d))
	r.sum += d
}

// String returns how long everything took until now. Steps that ran side by side add up to more.
func (r *round) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, parts := time.Since(r.began), r.parts
	if rest := all - r.sum; rest > 0 {
		parts = append(parts[:len(parts):len(parts)], "the rest "+progress.Took(rest))
	}
	return fmt.Sprintf("ready %s after %s: %s", progress.Took(all), r.since,
		strings.Join(parts, ", "))
}

// watchBoot boots a variant until the user ends it. A variant that cannot be planned ends it, too:
// nothing would be known to wait for.
func (a *app) watchBoot(ctx context.Context, c build.Config, m vm.Config) error {
	if a.progress != settings.JSON {
		a.progress = settings.Plain // the system writes on the same terminal
	}
	w := &watchedBoot{a: a, c: c, machine: m, want: build.Request{Image: true, Dev: true}}
	w.begin(time.Now(), "the start")
	p, err := w.s.Prepare(ctx, w.want)
	if err != nil {
		return err
	}
	w.watcher, err = watch.New(c.Root, watch.Options{Ignore: build.Ignored, Warn: a.warn})
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer w.watcher.Close()
	w.watcher.Watch(p.Places())
	defer w.holdTerminal()()
	a.note("watching the files of %s; Ctrl-C ends it", c.Variant)
	return watch.Loop{Next: w.watcher.Next, Make: w.build, Run: w.boot, Failed: w.failed,
		Same: func() { a.note("the image is the same, and the machine runs on") }, Ended: w.ended}.Do(ctx)
}

// note shows a line about what the command does. A system may have left its own line unfinished.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.sys.Stderr, "watch: "+safetext.Line(fmt.Sprintf(format, args...)))
}

// begin begins a round.
func (w *watchedBoot) begin(at time.Time, since string) {
	w.round = &round{Output: w.a.newConsole(), began: at, since: since}
	w.s = w.a.sessionTo(w.c, w.round)
}

// holdTerminal returns what puts the terminal back: QEMU does, unless it is killed.
func (w *watchedBoot) holdTerminal() func() {
	in, ok := w.machine.Stdin.(*os.File)
	if !ok {
		return func() {}
	}
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return func() {}
	}
	restore := func() { _ = term.Restore(int(in.Fd()), state) }
	w.a.sys.undo.set(restore)
	return restore
}

// build builds what has changed.
func (w *watchedBoot) build(ctx context.Context, c watch.Change) (same bool, err error) {
	if !c.At.IsZero() {
		w.begin(c.At, "the change")
		w.a.note("changed: %s", strings.Join(c.Names, ", "))
	}
	began := time.Now()
	p, err := w.s.Prepare(ctx, w.want)
	if err == nil && w.watcher.Watch(p.Places()) { // what happened there before may be in no plan
		p, err = w.s.Prepare(ctx, w.want)
	}
	if err != nil {
		return false, err
	}
	w.round.took("plan", time.Since(began))
	result, err := p.Build(ctx)
	if err != nil {
		return false, err
	}
	same, w.runs = result.Content == w.runs, result.Content
	w.machine.Image, w.machine.DataImage, err = result.DevImage()
	return same, err
}

// boot runs the machine until it ends or ctx does, and says when the system is ready.
func (w *watchedBoot) boot(ctx context.Context) error {
	m, this, began := w.machine, w.round, time.Now()
	log, err := w.s.CreateBootLog()
	if err != nil {
		return err
	}
	defer log.Close()
	if !w.told {
		w.told = true
		w.a.announce(ctx, &m, w.c.Variant, w.s.BootLog())
		w.machine.Accel = m.Accel
	}
	m.Stderr = vm.Lines(func(line string) {
		if ctx.Err() == nil { // what QEMU says of its end when it is told to end is no news
			fmt.Fprintln(w.a.sys.Stderr, line)
		}
	})
	ready, failed, known := readyLine(w.c.Image.Name), failedLine(w.c.Image.Name), false
	see := func(line string) {
		switch {
		case known:
		case ready.MatchString(line):
			known = true
			this.took("boot", time.Since(began))
			w.a.note("%s", this)
		case failed.MatchString(line):
			known = true
			w.a.note("not ready: %s", line)
		}
	}
	if isTerminal(m.Stdout) {
		m.Stdout = io.MultiWriter(vm.KeepScreen(m.Stdout), vm.Lines(see))
	} else {
		m.Stdout = vm.Lines(func(line string) {
			fmt.Fprintln(w.a.sys.Stdout, line)
			see(line)
		})
	}
	return errors.Join(vmError(vm.RunInterruptible(ctx, m, log)), log.Close())
}

// failed says why there is no new image.
func (w *watchedBoot) failed(err error, running bool) {
	if text := message(err); text != "" {
		fmt.Fprintf(w.a.sys.Stderr, "buildsys: %s\n", text)
	}
	if running {
		w.a.note("not built: the machine runs on with the image from before; waiting for a change")
	} else {
		w.a.note("not built: waiting for a change")
	}
}

// ended says that the machine has ended by itself.
func (w *watchedBoot) ended(err error) {
	if err != nil {
		fmt.Fprintf(w.a.sys.Stderr, "buildsys: %s\n", message(err))
	}
	w.a.note("the machine has ended; waiting for a change, and Ctrl-C ends this")
}
