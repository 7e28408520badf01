// Builds of a fleet: which engine gets a build, and how the engine gets the SDK image.

package buildkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// Build runs one build on the least loaded engine for its size; see Builder.Build.
func (f *Fleet) Build(ctx context.Context, s plan.Solve, out string,
	report func(progress.Event)) error {
	return f.on(ctx, s, report,
		func(b *Builder) error { return b.Build(ctx, s, out, report) })
}

// Open opens a container on the least loaded engine for its size; see Builder.Open.
func (f *Fleet) Open(ctx context.Context, s plan.Solve, p engine.Process,
	report func(progress.Event)) (status int, err error) {
	err = f.on(ctx, s, report, func(b *Builder) error {
		status, err = b.Open(ctx, s, p, report)
		return err
	})
	return status, err
}

// on does a build on the least loaded engine for its size, and reports which that is.
func (f *Fleet) on(ctx context.Context, s plan.Solve, report func(progress.Event),
	do func(*Builder) error) error {
	sdk := s.Args[sdkArg]
	for {
		n := f.take(s)
		if n == nil {
			return &SolveError{Name: s.Name, SDK: sdk, class: EngineLost,
				Err: fmt.Errorf("%w: none of %d engines can be used", errNobody, len(f.nodes))}
		}
		if report != nil {
			report(progress.Event{Time: time.Now(), Kind: progress.StepEngine, Engine: n.host})
		}
		err := f.provide(ctx, n, s, sdk)
		for i := 0; i < len(s.Images) && err == nil; i++ {
			err = f.provide(ctx, n, s, s.Images[i])
		}
		var other *otherSDKError
		if errors.As(err, &other) {
			f.bar(n, other)
			continue
		}
		if err == nil {
			err = do(n.b)
		}
		f.mu.Lock()
		n.running--
		f.mu.Unlock()
		var source *sourceError
		if errors.As(err, &source) {
			n = source.from
		}
		var failed *SolveError
		if errors.As(err, &failed) && slices.Contains([]Class{EngineLost, EngineSilent, EngineHung},
			failed.class) {
			f.down(n, failed.Err)
		}
		return err
	}
}

// take chooses an engine for a build and counts the build. Among equally loaded engines a package
// always gets the same one, whose cache knows it from before. If no engine can be used, take
// returns nil.
func (f *Fleet) take(s plan.Solve) *node {
	f.mu.Lock()
	defer f.mu.Unlock()
	var best *node
	for _, n := range f.nodes {
		if !n.up || n.barred {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(n.running*best.cpus, best.running*n.cpus),
			cmp.Compare(n.affinity(s), best.affinity(s))) < 0 {
			best = n
		}
	}
	if best != nil {
		best.running++
	}
	return best
}

// affinity orders engines differently for each build (rendezvous hashing), so that the loss of an
// engine moves only its own builds.
func (n *node) affinity(s plan.Solve) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\n%s", s.Name, n.host)
	return h.Sum64()
}

// otherSDKError reports that an engine has a different image under the SDK's name.
type otherSDKError struct{ ref, host string }

func (e *otherSDKError) Error() string {
	return fmt.Sprintf("the engine at %s has a different image named %s and is not used: import the "+
		"same image there (buildsys sdk import), or remove it", e.host, e.ref)
}

// bar takes an engine out of use for the rest of the run.
func (f *Fleet) bar(n *node, why error) {
	f.mu.Lock()
	n.running--
	first := !n.barred
	n.barred = true
	f.mu.Unlock()
	if first {
		f.warn(why.Error())
	}
}

// provide makes sure that an engine has the image that the run's keys were made with, and copies it
// there from another Docker engine if it is missing. A buildkitd is offered it with every build.
func (f *Fleet) provide(ctx context.Context, n *node, s plan.Solve, ref string) error {
	n.loading.Lock()
	defer n.loading.Unlock()
	f.mu.Lock()
	want, known := f.ids[ref], n.has[ref]
	f.mu.Unlock()
	if known || want == "" {
		return nil
	}
	id, ok, err := n.b.HasImage(ctx, ref)
	if err == nil && !ok {
		if err = f.copyImage(ctx, n, ref, want); err == nil {
			id, ok, err = n.b.HasImage(ctx, ref)
		}
	}
	switch {
	case err != nil:
		return failedBefore(ctx, s, err)
	case ok && id != want:
		return &otherSDKError{ref, n.host}
	case ok:
		f.mu.Lock()
		n.has[ref] = true
		f.mu.Unlock()
	}
	return nil // if the image is missing, the build reports it
}

// copyImage copies an image to a Docker engine from another one of the fleet.
func (f *Fleet) copyImage(ctx context.Context, to *node, ref, want string) error {
	into, isDocker := to.b.engine.(*dockerd)
	if !isDocker {
		return nil
	}
	for _, from := range f.usable() {
		if from == to {
			continue
		}
		if id, ok, err := from.b.HasImage(ctx, ref); err != nil || !ok || id != want {
			continue
		}
		what := fmt.Sprintf("copying the image %s from %s to %s", ref, from.host, to.host)
		f.warn(what)
		if err := into.loadFrom(ctx, from, ref); err != nil {
			return errkind.Environmentf("%s: %w", what, err)
		}
		return nil
	}
	return nil
}

// HasImage reports whether an engine has the image ref, and returns its ID, which must be the same
// on the others.
func (f *Fleet) HasImage(ctx context.Context, ref string) (id string, ok bool, err error) {
	for _, n := range f.usable() {
		id, ok, err = n.b.HasImage(ctx, ref)
		if ok && err == nil {
			f.mu.Lock()
			f.ids[ref] = id
			n.has[ref] = true
			f.mu.Unlock()
			return id, true, nil
		}
	}
	return "", false, err
}

// ImportImage makes the image ref on one engine, from where the others get it; see
// Builder.ImportImage.
func (f *Fleet) ImportImage(ctx context.Context, ref string, tar io.Reader) error {
	nodes := f.usable()
	if len(nodes) == 0 {
		return f.Await(ctx, 0)
	}
	return nodes[0].b.ImportImage(ctx, ref, tar)
}

// LoadImage makes images on one engine, from where the others get them.
func (f *Fleet) LoadImage(ctx context.Context, archive io.Reader) error {
	nodes := f.usable()
	if len(nodes) == 0 {
		return f.Await(ctx, 0)
	}
	return nodes[0].b.LoadImage(ctx, archive)
}

// MakeRootfs makes a root file system on one engine; see Builder.MakeRootfs.
func (f *Fleet) MakeRootfs(ctx context.Context, r engine.Rootfs, to io.Writer,
	report func(progress.Event)) error {
	nodes := f.usable()
	if len(nodes) == 0 {
		return f.Await(ctx, 0)
	}
	return nodes[0].b.MakeRootfs(ctx, r, to, report)
}
