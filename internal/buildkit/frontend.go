// Frontend: the Dockerfile becomes a definition in this process. What it needs to know about the
// engine is asked once.

package buildkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/containerd/platforms"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"

	"buildsys/internal/errkind"
)

// A frontend that runs as part of a build has the engine list its workers and test them for
// emulators, look up the image, and pass the definition through a second connection. On Docker
// 20.10 that cost a third of the processor time of a small build. The answers are the same for
// every build from one image, so the first build asks and all use the answers; then a build is one
// request.

// answers are what the frontend knows about an engine and one SDK image.
type answers struct {
	opts   gateway.BuildOpts
	images map[string]imageAnswer // by reference and platform
}

type imageAnswer struct {
	ref    string
	digest digest.Digest
	config []byte
}

// errUnknown reports that an image was not asked about yet.
var errUnknown = errors.New("the configuration of the image is not known yet")

// imageConfig answers a lookup; if it has an engine, it asks and remembers.
func (a *answers) imageConfig(ctx context.Context, engine gateway.Client, ref string,
	opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	key := ref
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		key += " " + platforms.FormatAll(*opt.ImageOpt.Platform)
	}
	if known, ok := a.images[key]; ok {
		return known.ref, known.digest, known.config, nil
	}
	if engine == nil {
		return "", "", nil, errUnknown
	}
	name, dgst, config, err := engine.ResolveImageConfig(ctx, ref, opt)
	if err == nil {
		a.images[key] = imageAnswer{name, dgst, config}
	}
	return name, dgst, config, err
}

// frontend remembers the answers of a Builder's engine by image.
type frontend struct {
	mu    sync.Mutex
	known map[string]*answers
}

// define turns the Dockerfile of a build into a definition.
func (b *Builder) define(ctx context.Context, client *bkclient.Client, g *guard,
	img sdkImage) (*llb.Definition, error) {
	b.frontend.mu.Lock()
	// While the first build asks, the others wait for its answers; the rest takes a millisecond.
	defer b.frontend.mu.Unlock()
	key := img.id + " " + img.context + " " + g.sdk
	for _, ref := range g.others {
		key += " " + img.others[ref].id + " " + img.others[ref].context + " " + ref
	}
	g.known = b.frontend.known[key]
	err := errUnknown
	if g.known != nil {
		err = g.build(ctx)
	}
	if errors.Is(err, errUnknown) {
		if g.known, err = b.ask(ctx, client, g, img); err == nil {
			err = g.build(ctx)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case g.definition == nil:
		return nil, errors.New("the Dockerfile frontend made no definition")
	}
	if b.frontend.known == nil {
		b.frontend.known = map[string]*answers{}
	}
	b.frontend.known[key] = g.known
	def := &llb.Definition{}
	def.FromPB(g.definition)
	return def, nil
}

// build runs the frontend, which leaves the definition in g.
func (g *guard) build(ctx context.Context) error {
	_, err := builder.Build(ctx, g)
	if errors.Is(err, errApart) {
		if err = g.inputs.separate(); err == nil {
			_, err = builder.Build(ctx, g)
		}
	}
	return err
}

// ask runs the frontend with the engine, and returns its answers.
func (b *Builder) ask(ctx context.Context, client *bkclient.Client, g *guard,
	img sdkImage) (*answers, error) {
	probe, failed := *g, error(nil)
	probe.known = &answers{images: map[string]imageAnswer{}}
	run := func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		probe.engine, probe.known.opts = c, c.BuildOpts()
		probe.session = probe.known.opts.SessionID
		failed = probe.build(ctx)
		return gateway.NewResult(), nil
	}
	_, err := question(ctx, b.engine, "what can it do?", b.patience.long,
		func(ctx context.Context, _ func()) (*bkclient.SolveResponse, error) {
			opt := bkclient.SolveOpt{OCIStores: img.stores(), Internal: true}
			resp, err := client.Build(ctx, opt, "", run, nil)
			return resp, cmp.Or(failed, err)
		})
	if failed != nil && !errkind.Is[*HungError](err) {
		return nil, failed
	}
	if err != nil {
		return nil, fmt.Errorf("asking the engine what it can do: %w", err)
	}
	return probe.known, nil
}
