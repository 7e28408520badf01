// SDK image: what an engine knows about the image that steps run in, and its name in keys.

package buildkit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
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

// imageMemo is the last answer about the image that a Builder's builds start from.
type imageMemo struct {
	mu  sync.Mutex
	ref string
	img sdkImage
	at  time.Time
}

// sdkImage returns the engine's answer about an image, which may be imageAge old. Only the presence
// of an image is remembered.
func (b *Builder) sdkImage(ctx context.Context, ref string) (sdkImage, bool, error) {
	b.sdk.mu.Lock()
	defer b.sdk.mu.Unlock() // others wait for the answer instead of asking too
	if b.sdk.ref == ref && time.Since(b.sdk.at) < imageAge {
		return b.sdk.img, true, nil
	}
	img, ok, err := b.engine.image(ctx, b, ref)
	if err == nil && ok {
		b.sdk.ref, b.sdk.img, b.sdk.at = ref, img, time.Now()
	}
	return img, ok, err
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

// imageConfig is the part of an image's configuration that reaches a step.
type imageConfig struct {
	layers  []string // digests of the layers' uncompressed tars
	env     []string
	user    string
	workDir string
	shell   []string
	onBuild []string
}

// imageID names an image by everything that a step can see of it, and by nothing else: not by when
// and where it was imported, nor by how an engine or a registry stores it. So equal SDKs have equal
// names on every engine, and results can be shared.
func imageID(c imageConfig) string {
	h := sha256.New()
	part := func(what string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(h, "%s %q\n", what, v)
			}
		}
	}
	part("layer", c.layers...)
	env := slices.Clone(c.env)
	slices.Sort(env)
	part("env", env...)
	part("user", c.user)
	part("workdir", c.workDir)
	part("shell", c.shell...)
	part("onbuild", c.onBuild...)
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}
