// build: what build-package, build-variant and repack-variant share: load the tree, plan, connect, run, report.

package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"

	"buildsys"
	"buildsys/internal/builddir"
	"buildsys/internal/executor"
	"buildsys/internal/fetch"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

// logTail is how many lines of a failed step's log the end report shows.
const logTail = 30

// request is what a build command wants: packages, or the image of a variant.
type request struct {
	packages []string
	kits     []string
	variant  string             // variant whose image is built; empty for packages only
	verify   bool               // build what is named twice and compare
	repack   *plan.RepackSource // make the image of variant from this earlier one; nil: from packages
	unsigned bool               // only plan: without the keys that an image is signed with
}

// addVerifyFlag is for the commands whose requests can be verified.
func (want *request) addVerifyFlag(flags *pflag.FlagSet) {
	flags.BoolVar(&want.verify, "verify-reproducible", false, "build it twice, the second time in other surroundings, and compare")
}

// build runs the whole way from manifests to outputs in place.
func build(ctx context.Context, sys *System, c config, want request) error {
	if want.verify && c.requireCached {
		return usageError{errors.New("--verify-reproducible builds, and --require-cached forbids it: say one of them")}
	}
	p, err := makePlan(c, want)
	if err != nil {
		return err
	}
	if err := checkForeign(sys, p); err != nil {
		return err
	}
	unlock, err := lockCheckout(ctx, sys, c)
	if err != nil {
		return err
	}
	defer unlock()
	conn := &connection{sys: sys, c: c}
	defer conn.Close()
	run := func() error {
		if err := runPlan(ctx, sys, c, conn, p, want.wanted); err != nil {
			return err
		}
		if want.verify {
			return verify(ctx, sys, c, conn, p, want)
		}
		if len(want.kits) > 0 {
			return packKits(ctx, sys, c, want.kits)
		}
		fmt.Fprintln(sys.Stdout, p.Steps[len(p.Steps)-1].Out)
		return nil
	}
	err = run()
	if errors.Is(err, errSDKChanged) { // every key was computed with the wrong image: once more with the right one
		err = run()
	}
	return err
}

// load reads the tree for a plan, and says in a line that something in it is probably not what was meant.
func (c config) load() (*workspace.Workspace, error) {
	ws, err := workspace.Load(c.root, c.strictness)
	if err != nil {
		return nil, err
	}
	if n := len(ws.Warnings); n > 0 {
		fmt.Fprintf(c.warn, "%v\n", ws.Warnings[0])
		if n > 1 {
			fmt.Fprintf(c.warn, "%d more warnings of this kind: buildsys lint shows all\n", n-1)
		}
	}
	return ws, nil
}

// makePlan loads the tree and plans the request. It needs no engine, so a bad manifest is reported before anything runs.
func makePlan(c config, want request) (plan.Plan, error) {
	ws, err := c.load()
	if err != nil {
		return plan.Plan{}, err
	}
	return planTree(c, ws, want)
}

// planTree plans the request for a tree that is loaded.
func planTree(c config, ws *workspace.Workspace, want request) (plan.Plan, error) {
	recipe, err := ws.Recipe(buildsys.Recipe)
	if err != nil {
		return plan.Plan{}, err
	}
	version := c.versionImage
	if version == "" {
		version = ws.Release.Version
	}
	if version == "" && want.variant != "" {
		return plan.Plan{}, usageError{errors.New("the tree says no version for its images: write it into Release.toml, or set BUILDSYS_VERSION_IMAGE")}
	}
	buildID := c.versionBuild
	if buildID == "" && want.variant != "" { // nothing but an image has one
		buildID = gitCommit(c.root)
	}
	var overrides []plan.File
	if want.variant != "" {
		if overrides, err = c.overrides(); err != nil {
			return plan.Plan{}, err
		}
	}
	var external []plan.ExternalKit
	if want.repack == nil {
		if external, err = c.externalKits(ws); err != nil {
			return plan.Plan{}, err
		}
	}
	store, signing := c.store(nil), c.signing
	if want.unsigned {
		signing = func() (plan.SigningKeys, error) { return plan.SigningKeys{}, nil }
	}
	p, err := plan.Make(ws, recipe, plan.Request{
		Arch:       c.arch,
		Packages:   want.packages,
		Kits:       want.kits,
		Image:      want.variant != "" && want.repack == nil,
		Repack:     want.repack,
		Overrides:  overrides,
		Variant:    c.variant,
		SDK:        c.sdkImage,
		Version:    version,
		BuildID:    buildID,
		Name:       c.name,
		PrettyName: c.prettyName,
		BuildDir:   c.buildDir(),
		SourcePath: store.Path,
		Signing:    signing,

		ModulesPath:  store.ModulesPath,
		ExternalKits: external,
		Toolchain:    c.toolchain,
		Repo:         c.publishRepo,
		RootJSON:     c.rootJSON,
	})
	if _, ok := errors.AsType[*plan.RequestError](err); ok {
		err = usageError{err}
	}
	return p, err
}

func (c config) buildDir() string { return filepath.Join(c.root, "build") }

// stagingDir is emptied by every run, hence one for each that may run at once: for each architecture, and below it for each
// unit under cargo. What killed units have left there the next run of the other kind removes.
func (c config) stagingDir() string { return filepath.Join(c.buildDir(), "staging", c.arch, c.unit) }

func (c config) store(report progress.Sink) *fetch.Store {
	return &fetch.Store{
		Dir:       filepath.Join(c.cacheDir, "sources"),
		Modules:   filepath.Join(c.cacheDir, "go-modules"),
		GoProxy:   c.moduleProxy,
		Lookaside: c.lookaside,
		Upstream:  c.upstreamFallback,
		Report:    report,
	}
}

// fetchSources is the engine's Fetch: a step's files, and for one that bundles Go modules also those.
func fetchSources(store *fetch.Store) func(context.Context, string, []manifest.ExternalFile) error {
	return func(ctx context.Context, step string, files []manifest.ExternalFile) error {
		err := store.Fetch(ctx, step, files)
		if err != nil || !strings.HasPrefix(step, string(plan.Modules)+"/") {
			return err
		}
		errs := make([]error, len(files))
		for i, f := range files {
			errs[i] = store.FetchModules(ctx, step, f)
		}
		return errors.Join(errs...)
	}
}

// moduleProxy is GOPROXY, or what the go command has instead, where there is one. It is asked only when modules are fetched.
func (c config) moduleProxy() string {
	if c.goProxy != "" {
		return c.goProxy
	}
	out, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		return "" // no Go here: the message about the module that is missing says what to set
	}
	return strings.TrimSpace(string(out))
}

// lockCheckout keeps two runs for one architecture apart. Those of different architectures share nothing below build/.
func lockCheckout(ctx context.Context, sys *System, c config) (func(), error) {
	return builddir.Lock(ctx, c.lockFile(), func(holder string) {
		fmt.Fprintf(sys.Stderr, "waiting: another run is working on this checkout (%s)\n", holder)
	})
}

func (c config) lockFile() string { return filepath.Join(c.buildDir(), ".lock-"+c.arch) }

// runPlan runs the steps of a plan and reports. The outputs of the wanted steps are in place afterwards. Without wanted
// all steps are built, and none is remembered.
func runPlan(ctx context.Context, sys *System, c config, conn *connection, p plan.Plan, wanted func(plan.Step) bool) error {
	log := logrus.New()
	log.SetOutput(sys.Stderr)
	text := progress.NewText(log, c.verbose)
	files := progress.NewLogFiles(filepath.Join(c.buildDir(), "logs", c.arch), text)
	tail := progress.NewTail(logTail)
	sink := progress.Multi{files, tail, text}
	defer files.Close()

	known, err := c.openCache(sink)
	if err != nil {
		return err
	}
	known.Log = files.Path
	defer c.saveMemo(known.Memo)
	store := known.Store
	defer func() {
		if _, err := store.TrimDaily(time.Now()); err != nil {
			log.Warnf("the store of results cannot be trimmed: %v", err)
		}
	}()
	if wanted == nil {
		known = nil
	} else {
		if known.Remote, err = c.openRemote(sys, known.Store, sink); err != nil {
			return usageError{err}
		}
		conn.remote, conn.sink, conn.images = known.Remote, sink, p.Images()
		if err := conn.knowSDK(ctx); err != nil {
			return err
		}
		known.SDK, known.Images = c.recordedSDK(), c.recordedImages(conn.images)
		conn.keyed, conn.keyedImages = known.SDK, known.Images
		known.Remote.ShareSDK(c.sdkImage, known.SDK)
	}
	staging := c.stagingDir()
	var check func(context.Context, plan.Step, string) error
	if sys.ReadBack {
		check = readBack(staging)
	}
	report, err := executor.Run(ctx, p, executor.Options{
		Builder: conn,
		Prepare: func(ctx context.Context) (jobs int, err error) {
			if jobs, err = conn.connect(ctx); err == nil && !conn.checked {
				conn.checked = true
				err = conn.precheck(sink)
			}
			if err == nil && c.unit != "" {
				jobs, err = conn.takeSlot(ctx, jobs)
			}
			return jobs, err
		},
		Ready:   conn.ready,
		Fetch:   fetchSources(c.store(sink)),
		Check:   check,
		Sink:    sink,
		Jobs:    c.jobsHere(),
		Staging: staging,
		Cache:   known,
		Wanted:  wanted,
	})
	summary := report.Summary(tail.Lines, files.Path)
	if known != nil {
		summary.Remote = closeRemote(ctx, known.Remote, sink)
	}
	if len(report.Steps) == 0 || err != nil && !is[*executor.FailedError](err) && ctx.Err() == nil {
		return err // the run itself could not go on: no step is to blame, and a report of steps would hide why
	}
	if e := progress.WriteReport(sys.Stderr, summary); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return reported{err}
	}
	return nil
}
