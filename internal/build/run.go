// run: from a request to outputs in place.

package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
	"buildsys/internal/sdk"
)

// logTail is how many lines of a failed step's log the report at the end shows.
const logTail = 30

// Result is the result of a build.
type Result struct {
	Out         string          // directory of the outputs of the last step
	Content     cache.ContentID // of these, once they are recorded
	Kits        []PackedKit     // the requested kits, as images
	Comparisons []Comparison    // of the two builds of each step to verify
}

// Build takes a request to outputs in place. The comparisons of the Result are valid with an error
// as well.
func (s *Session) Build(ctx context.Context, want Request) (Result, error) {
	p, err := s.Prepare(ctx, want)
	if err != nil {
		return Result{}, err
	}
	return p.Build(ctx)
}

// Prepared is a request that is planned and can be built.
type Prepared struct {
	s    *Session
	want Request
	plan plan.Plan
}

// Prepare plans a request that is to be built.
func (s *Session) Prepare(ctx context.Context, want Request) (Prepared, error) {
	if want.Verify && s.c.RequireCached {
		return Prepared{}, errkind.Usagef("--verify-reproducible and --require-cached are mutually " +
			"exclusive")
	}
	if err := s.checkDevImage(want); err != nil {
		return Prepared{}, err
	}
	if want.Verify { // both builds are to show what compilers make
		s = s.with(s.c.withoutObjects())
	}
	if err := s.checkRelease(ctx, want); err != nil {
		return Prepared{}, err
	}
	p, err := s.Plan(ctx, want)
	if err == nil {
		err = s.checkRecipe(p)
	}
	if err == nil && s.c.Remote.Release {
		err = checkBilled(p)
	}
	if s.apart() {
		for i := range p.Steps {
			p.Steps[i].Solve.Fresh = true
		}
	}
	return Prepared{s, want, p}, err
}

// Build builds what is planned: see Session.Build.
func (prepared Prepared) Build(ctx context.Context) (Result, error) {
	s, want, p := prepared.s, prepared.want, prepared.plan
	waiting := s.waitingFor("working on this checkout")
	unlock, err := builddir.Lock(ctx, s.c.Root, s.dir.Lock(), waiting)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	last := p.Steps[len(p.Steps)-1]
	result := Result{Out: last.Out}
	err = s.withEngine(func(e *engineLink) error {
		keyed, err := s.runSteps(ctx, e, p, stepsOptions{wanted: want.wanted})
		switch {
		case err != nil:
			return err
		case want.Verify:
			result.Comparisons, err = s.verify(ctx, e, p, want, keyed)
		case len(want.Kits) > 0:
			result.Kits, err = s.packKits(ctx, want.Kits)
		case s.proves(want):
			err = s.prove(ctx, p)
		}
		return err
	})
	if state, ok := builddir.ReadStateHead(s.dir.State(), last.ID); ok {
		result.Content = state.Content
	}
	return result, err
}

// withEngine calls do with a link to the engine. It calls do again if keys turn out to have been
// computed with another SDK image than the engine has.
func (s *Session) withEngine(do func(*engineLink) error) error {
	e := &engineLink{s: s}
	defer e.close()
	err := do(e)
	if errors.Is(err, sdk.ErrChanged) {
		err = do(e)
	}
	return err
}

// stepsOptions is how the steps of a plan are run.
type stepsOptions struct {
	wanted func(plan.Step) bool // that of executor.Options
	unit   string               // the ID of the one step, under cargo
	// second builds all steps and records none: they are the second builds of a verification, with
	// the images that the first were keyed with.
	second bool
	keyed  sdk.Digests
}

// runSteps runs the steps of a plan and reports. Afterwards the outputs of the wanted steps are in
// place. It returns the digests of the images that keys were computed with.
func (s *Session) runSteps(ctx context.Context, e *engineLink, p plan.Plan, o stepsOptions) (
	keyed sdk.Digests, err error) {
	logs := builddir.NewLogFiles(s.c.Root, s.dir.Logs(), 0o644, s.out)
	defer logs.Close()
	tail, run := progress.NewTail(logTail), s.record(p, o)
	var traffic *progress.Traffic
	defer func() { s.recorded(ctx, run, traffic, err) }()
	explain := &explainer{s: s, log: logs.Path, tail: tail.Lines, next: progress.Multi{run, s.out},
		causes: map[string]*progress.Cause{}}
	sink := progress.Multi{logs, tail, explain}
	keyed = o.keyed
	var caches *remote.Cache
	var known *executor.Cache
	if !o.second {
		store, err := s.openStore(sink)
		if err != nil {
			return keyed, err
		}
		defer s.trim(store)
		if caches, err = s.openRemote(p, store, sink); err != nil {
			return keyed, err
		}
		if keyed, err = s.know(ctx, e, s.images(p, caches, sink)); err != nil {
			caches.Close(ctx, nil)
			return keyed, err
		}
		known = s.known(ctx, store, caches, keyed, logs.Path)
		defer s.saveMemo(known.Memo)
		known.Maker = e.maker
		known.Objects = s.objects(ctx, keyed, caches, sink)
		defer s.trimObjects(known.Objects)
	}
	use := engineUse{link: e, images: s.images(p, caches, sink), keyed: keyed, unit: o.unit,
		sink: sink, vet: func(ctx context.Context, pending []plan.Step) error {
			return s.vet(ctx, p, pending)
		}}
	report, err := executor.Run(ctx, p, s.executorOptions(p, &use, known, o))
	if err == nil && !o.second {
		s.rememberImages(p)
	}
	summary := report.Summary(tail.Lines, logs.Path)
	explain.add(&summary)
	traffic = closeRemote(ctx, caches, sink)
	summary.Remote = traffic
	if known != nil {
		summary.Objects = objectsLine(known.Objects)
	}
	return keyed, s.show(ctx, summary, err)
}

// know returns the digests of the images that keys are computed with.
func (s *Session) know(ctx context.Context, e *engineLink, images sdk.Images) (sdk.Digests, error) {
	keyed, err := images.Know(ctx, func(ctx context.Context) error {
		return e.confirm(ctx, images, sdk.Digests{})
	})
	if err == nil {
		images.ShareID(keyed)
	}
	return keyed, err
}

func (s *Session) executorOptions(p plan.Plan, run *engineUse, known *executor.Cache,
	o stepsOptions) executor.Options {
	options := executor.Options{
		Builder:  run.link,
		Prepare:  run.prepare,
		Ready:    run.link.ready,
		Fetch:    fetchSources(s.sources(run.sink)),
		Sink:     run.sink,
		Jobs:     s.c.Jobs,
		StepTime: s.c.StepTime,
		Places:   executor.Places{Staging: s.dir.Staging(o.unit), Top: s.c.Root},
		Cache:    known,
		Wanted:   o.wanted,
	}
	if o.unit != "" {
		options.Jobs = 1 // a unit has nothing to run in parallel
	}
	if s.read {
		images, rpms := readBack(options.Staging), newRPMCheck(p)
		options.Complete = writeBill
		options.Check = func(ctx context.Context, step plan.Step, dir string) error {
			return cmp.Or(rpms.outputs(ctx, step, dir), images(ctx, step, dir))
		}
	}
	return options
}

// show reports the end of a run. It leaves an error about the run itself to the caller: a report of
// steps would hide it.
func (s *Session) show(ctx context.Context, summary progress.Summary, err error) error {
	failed := errkind.Is[*executor.FailedError](err)
	if summary.Total == 0 || err != nil && !failed && ctx.Err() == nil {
		return err
	}
	switch e := s.out.Report(summary); {
	case err == nil:
		return e
	case e != nil:
		s.warn(e.Error())
	}
	return ShownError{err}
}

func (s *Session) trim(store *cache.Store) {
	if _, err := store.TrimDaily(time.Now()); err != nil {
		s.warn(fmt.Sprintf("cannot trim the store of results: %v", err))
	}
}

// openStore opens the store of results.
func (s *Session) openStore(sink progress.Sink) (*cache.Store, error) {
	dir := s.c.CacheDir.Store()
	if s.apart() {
		dir = s.c.Apart
	}
	store, err := cache.Open(dir)
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	store.Warn = func(text string) {
		sink.Event(progress.Event{Kind: progress.Warning, Text: text})
	}
	return store, nil
}

// known returns what is known of earlier builds. log may be nil if nothing is built.
func (s *Session) known(ctx context.Context, store *cache.Store, caches *remote.Cache,
	keyed sdk.Digests, log func(step string) string) *executor.Cache {
	memo := cache.NewMemo(ctx)
	memo.Load(s.dir.Memo())
	return &executor.Cache{
		Store:   store,
		Memo:    memo,
		State:   s.dir.State(),
		Nodes:   cache.Nodes{Dir: s.dir.Nodes(), Top: s.c.Root},
		SDK:     keyed.SDK,
		Images:  keyed.Others,
		Log:     log,
		Require: s.c.RequireCached,
		Remote:  caches,
		Guess:   s.guess(),
		Trusts:  s.trusts(),
	}
}

// trusts returns which remote caches this run takes results from, or nil for none.
func (s *Session) trusts() func(origin string) bool {
	if s.c.Remote.Release {
		return nil
	}
	return func(origin string) bool {
		places := append(s.c.Remote.From[:len(s.c.Remote.From):len(s.c.Remote.From)], s.c.Remote.To)
		return slices.ContainsFunc(places, func(l remote.Location) bool {
			return l != (remote.Location{}) && l.String() == origin
		})
	}
}

// saveMemo saves the hashes of files for the next run. Losing them only costs time.
func (s *Session) saveMemo(memo *cache.Memo) { _ = memo.Save(s.c.Root, s.dir.Memo()) }

// openRemote returns the remote caches, or nil if there are none.
func (s *Session) openRemote(p plan.Plan, store *cache.Store, sink progress.Sink) (*remote.Cache,
	error) {
	from := s.c.Remote.From
	if s.c.Remote.Release {
		from = nil
	}
	if len(from) == 0 && s.c.Remote.To == (remote.Location{}) {
		return nil, nil
	}
	o := remote.Options{
		From: from, To: s.c.Remote.To, Have: store.OpenBlob,
		Warn: func(text string) { sink.Event(progress.Event{Kind: progress.Warning, Text: text}) },
	}
	if s.read {
		o.Accept = newRPMCheck(p).entry
	}
	caches, err := remote.Open(o)
	return caches, errkind.BadUsage(err)
}

// closeRemote waits for the uploads and returns the traffic to report.
func closeRemote(ctx context.Context, c *remote.Cache, sink progress.Sink) *progress.Traffic {
	if c == nil {
		return nil
	}
	last := -1
	c.Close(ctx, func(left int) {
		if left != last {
			text := fmt.Sprintf("uploading results: %d left", left)
			sink.Event(progress.Event{Kind: progress.FetchProgress, Text: text})
		}
		last = left
	})
	t := c.Stats()
	return &progress.Traffic{Found: t.Hits, Fetched: t.Fetched, Pushed: t.Pushed, Down: t.Down,
		Up: t.Up}
}
