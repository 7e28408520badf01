// build: what build-package and build-variant share: load the tree, plan, connect, run, report.

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"

	"buildsys"
	"buildsys/internal/engine"
	"buildsys/internal/fetch"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

// logTail is how many lines of a failed step's log the end report shows.
const logTail = 30

// request is what a build command wants: packages, or the image of a variant.
type request struct {
	packages []string
	variant  string // variant whose image is built; empty for packages only
}

// build runs the whole way from manifests to outputs in place.
func build(ctx context.Context, sys *System, c config, want request) error {
	p, err := makePlan(c, want)
	if err != nil {
		return err
	}
	eng, err := sys.Dial(ctx, c.root)
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := requireSDK(ctx, eng, c.sdkImage); err != nil {
		return err
	}
	unlock, err := lockCheckout(ctx, sys, c)
	if err != nil {
		return err
	}
	defer unlock()
	return runPlan(ctx, sys, c, eng, p)
}

// makePlan loads the tree and plans the request. It needs no engine, so a bad manifest is reported before anything runs.
func makePlan(c config, want request) (plan.Plan, error) {
	ws, err := workspace.Load(c.root)
	if err != nil {
		return plan.Plan{}, err
	}
	recipe, err := ws.Recipe(buildsys.Recipe)
	if err != nil {
		return plan.Plan{}, err
	}
	version := c.versionImage
	if version == "" {
		version = ws.Release.Version
	}
	store := c.store(nil)
	p, err := plan.Make(ws, recipe, plan.Request{
		Arch:       c.arch,
		Packages:   want.packages,
		Image:      want.variant != "",
		Variant:    c.variant,
		SDK:        c.sdkImage,
		Version:    version,
		BuildID:    c.versionBuild,
		Name:       c.name,
		PrettyName: c.prettyName,
		BuildDir:   c.buildDir(),
		SourcePath: store.Path,
	})
	if _, ok := errors.AsType[*plan.RequestError](err); ok {
		err = usageError{err}
	}
	return p, err
}

func (c config) buildDir() string { return filepath.Join(c.root, "build") }

func (c config) store(report progress.Sink) *fetch.Store {
	return &fetch.Store{
		Dir:       filepath.Join(c.cacheDir, "sources"),
		Lookaside: c.lookaside,
		Upstream:  c.upstreamFallback,
		Report:    report,
	}
}

// requireSDK fails early when the steps' image is one that only this machine can make and it is not there. An image
// of a registry is left to the engine, which can pull it.
func requireSDK(ctx context.Context, eng Engine, image string) error {
	if !strings.HasPrefix(image, plan.ContextPrefix) {
		return nil
	}
	_, there, err := eng.HasImage(ctx, image)
	if err != nil || there {
		return err
	}
	return environmentError{fmt.Errorf("the SDK image %s is not on the engine: run script/setup, which makes it from sdk/, "+
		"or name another image with --sdk-image", image)}
}

func lockCheckout(ctx context.Context, sys *System, c config) (func(), error) {
	return engine.Lock(ctx, filepath.Join(c.buildDir(), ".lock"), func(holder string) {
		fmt.Fprintf(sys.Stderr, "waiting: another run is working on this checkout (%s)\n", holder)
	})
}

func runPlan(ctx context.Context, sys *System, c config, eng Engine, p plan.Plan) error {
	logDir := filepath.Join(c.buildDir(), "logs", c.arch)
	log := logrus.New()
	log.SetOutput(sys.Stderr)
	text := progress.NewText(log, c.verbose)
	files := progress.NewLogFiles(logDir, text)
	tail := progress.NewTail(logTail)
	sink := progress.Multi{files, tail, text}
	defer files.Close()

	jobs := c.jobs
	if jobs == 0 {
		info, err := eng.Info(ctx)
		if err != nil {
			return err
		}
		jobs = info.CPUs
	}
	report, err := engine.Run(ctx, p, engine.Options{
		Builder: eng,
		Fetch:   c.store(sink).Fetch,
		Sink:    sink,
		Jobs:    jobs,
		Staging: filepath.Join(c.buildDir(), "staging"),
	})
	if len(report.Steps) == 0 {
		return err
	}
	if e := progress.WriteReport(sys.Stderr, report.Summary(tail.Lines, files.Path)); e != nil && err == nil {
		err = e
	}
	if err != nil {
		return reported{err}
	}
	fmt.Fprintln(sys.Stdout, p.Steps[len(p.Steps)-1].Out)
	return nil
}
