// SDK image: what an engine knows about the image that steps run in, and its name in keys.

package buildkit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"

	"buildsys/internal/plan"
)

// sdkImage is an image that the engine can use.
type sdkImage struct {
	id string // see imageID
	// If the engine does not know the image by its name, context is the value of the named context
	// that replaces it, and store the content that the build may ask for.
	context string
	store   content.Store
	others  map[string]sdkImage // images besides this one that a build starts from, by reference
}

// imageAge is how long an answer about an image is good for further builds. Asking takes a Docker
// engine 2 ms. If an image is removed in the middle of a run, the next build still fails, but less
// clearly.
const imageAge = 2 * time.Second

// imageMemo is the last answer about an image that a Builder's builds start from: nearly always the
// SDK, the only one of most builds.
type imageMemo struct {
	mu  sync.Mutex
	ref string
	img sdkImage
	at  time.Time
}

// lookUp returns the engine's answer about an image that a build starts from. The answer may be
// imageAge old, and only the presence of an image is remembered. Images are looked up before the
// build, because the engine would ask a registry for a missing one.
func (b *Builder) lookUp(ctx context.Context, s plan.Solve, ref string) (sdkImage, error) {
	b.image.mu.Lock()
	defer b.image.mu.Unlock() // others wait for the answer instead of asking too
	if b.image.ref == ref && time.Since(b.image.at) < imageAge {
		return b.image.img, nil
	}
	img, ok, err := b.engine.image(ctx, b, ref)
	switch {
	case err != nil:
		return img, b.afterLoss(failedBefore(ctx, s, err), b.client())
	case !ok:
		missing := &SolveError{Name: s.Name, SDK: s.Args[sdkArg], class: MissingSDK,
			Err: fmt.Errorf("no such image: %s", ref)}
		if ref != missing.SDK {
			missing.class, missing.Image = MissingImage, ref
		}
		return img, missing
	}
	b.image.ref, b.image.img, b.image.at = ref, img, time.Now()
	return img, nil
}

// failedBefore returns the error for a failure before a build began: sorted, if that says more.
func failedBefore(ctx context.Context, s plan.Solve, err error) error {
	f := failure{err: err}
	if ctx.Err() != nil {
		f.ctx = cancelCause(ctx)
	}
	if e := f.solveError(s.Name, s.Args[sdkArg]); e.class == Cancelled || e.class == DiskFull ||
		e.Transient() {
		return e
	}
	return err
}

// stores returns the content that a build from the image may ask for.
func (i sdkImage) stores() map[string]content.Store {
	for _, other := range i.others {
		if other.store != nil {
			i.store = other.store // all are in the same layout
		}
	}
	if i.store == nil {
		return nil
	}
	return map[string]content.Store{layoutStore: i.store}
}
