// link: connects to the engine when the first step has to be built.

package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/doctor"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sdk"
)

const (
	// unknownCPUs is how many steps run at once on an engine that does not report its CPUs, which is a
	// buildkitd on another machine.
	unknownCPUs = 4
	// comeback is how long an engine may be gone in the middle of a run. A daemon restarts within
	// seconds.
	comeback = time.Minute
)

// engineLink is a connection to the engine that is made when it is first needed, as a run in which
// nothing has to be built does without one. It serves the runs of one session, one after the other.
type engineLink struct {
	s       *Session
	eng     engine.Engine // nil until dial
	info    engine.Info   // of eng, once a run has built on it
	checked bool          // the quick checks were made
	release func()        // frees the build slot; nil if none was taken
}

// dial connects to the engine, once.
func (e *engineLink) dial(ctx context.Context) (err error) {
	if e.eng != nil {
		return nil
	}
	o := e.s.c.Engine
	o.Waiting = func(host string, wait time.Duration) {
		e.s.out.Notice(fmt.Sprintf("waiting up to %v for the engine at %s", wait, host))
	}
	o.Warn = e.s.warn
	e.eng, err = e.s.dial(ctx, o)
	return err
}

// confirm dials the engine and checks that it has the images that keys were computed with.
func (e *engineLink) confirm(ctx context.Context, images sdk.Images, keyed sdk.Digests) error {
	if err := e.dial(ctx); err != nil {
		return err
	}
	return images.Confirm(ctx, e.eng, keyed)
}

// Build implements executor.Builder. dial must have succeeded before.
func (e *engineLink) Build(ctx context.Context, s plan.Solve, out string,
	report func(progress.Event)) error {
	return e.eng.Build(ctx, s, out, report)
}

// ready waits until the engine answers again.
func (e *engineLink) ready(ctx context.Context) error { return e.eng.Await(ctx, comeback) }

func (e *engineLink) close() {
	if e.release != nil {
		e.release()
	}
	if e.eng != nil {
		_ = e.eng.Close() // all results have been received
	}
}

// engineUse is the use that one run of steps makes of the link.
type engineUse struct {
	link   *engineLink
	images sdk.Images
	keyed  sdk.Digests // digests that the run's keys were computed with
	unit   string      // the ID of the one step, under cargo
	sink   progress.Sink
	// vet refuses steps that cannot be built.
	vet func(ctx context.Context, pending []plan.Step) error
}

// prepare makes the engine ready for the first build, and returns how many builds it can do well at
// once. It fails before that if a step that may be built cannot be.
func (u *engineUse) prepare(ctx context.Context, pending []plan.Step) (jobs int, err error) {
	if err := u.vet(ctx, pending); err != nil {
		return 0, err
	}
	if err := u.link.confirm(ctx, u.images, u.keyed); err != nil {
		return 0, err
	}
	info, err := u.link.eng.Info(ctx)
	if err != nil {
		return 0, err
	}
	u.link.info = info
	if !u.link.checked {
		u.link.checked = true
		if err := u.precheck(info); err != nil {
			return 0, err
		}
	}
	jobs = cmp.Or(info.CPUs, unknownCPUs)
	if u.unit != "" {
		if err := u.takeSlot(ctx, info, jobs); err != nil {
			return 0, err
		}
		jobs = 1
	} else {
		jobs = cmp.Or(u.link.s.c.Jobs, jobs)
	}
	u.sink.Event(progress.Event{Time: time.Now(), Kind: progress.EngineReady, Text: describe(info),
		Jobs: jobs})
	return jobs, nil
}

// describe names an engine for people, or each of several.
func describe(info engine.Info) string {
	if len(info.Nodes) > 0 {
		var all []string
		for _, n := range info.Nodes {
			if n.Err == nil {
				all = append(all, describe(n.Info))
			}
		}
		return strings.Join(all, ", ")
	}
	return strings.Join(strings.Fields(info.Kind+" "+info.Version+" "+info.Host), " ")
}

// maker returns what builds here, for provenance: without addresses, which are nobody's business.
func (e *engineLink) maker() cache.Maker {
	var all []string
	for _, n := range e.info.Nodes {
		if n.Err == nil {
			all = append(all, n.Kind+" "+n.Version)
		}
	}
	if len(e.info.Nodes) == 0 {
		all = append(all, e.info.Kind+" "+e.info.Version)
	}
	slices.Sort(all)
	return cache.Maker{Program: e.s.program, Engine: strings.Join(slices.Compact(all), ", ")}
}

// precheck makes the doctor's quick checks before something is built. It fails if a build cannot
// succeed, and warns about the rest.
func (u *engineUse) precheck(info engine.Info) error {
	s := u.link.s
	var refused []error
	for _, c := range doctor.Fast(s.examined(info)).Checks {
		text := fmt.Sprintf("%s: %s; %s", c.Name, c.Detail, c.Fix)
		switch c.Status {
		case doctor.Failure:
			refused = append(refused, errkind.BadEnvironment(errors.New(text)))
		case doctor.Warning, doctor.Note:
			u.sink.Event(progress.Event{Kind: progress.Warning, Text: text})
		}
	}
	return errors.Join(refused...)
}

// takeSlot waits until fewer units than may build at once are being built on the engine by any
// process: cargo's jobs are processes that do not know each other, and several cargo may run. The
// slot is held until the link is closed.
func (u *engineUse) takeSlot(ctx context.Context, info engine.Info, cpus int) (err error) {
	if u.link.release != nil {
		return nil
	}
	c := u.link.s.c
	slots := cmp.Or(c.Jobs, cpus)
	where := sha256.Sum256([]byte(info.Kind + " " + info.Host))
	dir := c.CacheDir.Slots(fmt.Sprintf("%x", where[:8]))
	waiting := func(holders []string) {
		u.link.s.out.Notice(fmt.Sprintf("waiting for one of %d build slots (BUILDSYS_JOBS): %s",
			slots, strings.Join(holders, "; ")))
	}
	u.link.release, err = builddir.Slot(ctx, dir, slots, u.unit+" in "+c.Root, waiting)
	return err
}
