// Guard: whatever the Dockerfile says, only the SDK image and the build's own contexts may reach
// the engine.

package buildkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// guard stands in for the engine to the Dockerfile frontend, which runs in this process. Every
// image lookup and every definition passes through it before the engine sees it, so a name that is
// missing among the contexts fails without a request to a registry.
type guard struct {
	sdk        string
	others     []string // images besides the SDK
	own        bool     // the Dockerfile is a tree's own
	dockerfile []byte
	attrs      map[string]string
	session    string // session whose files the definition will use
	inputs     inputs
	known      *answers
	engine     gateway.Client // for questions without a known answer; may be nil

	definition *pb.Definition // of the whole build, once the frontend has made it
	*notes
}

// notes are what is to be said of a build that fails. Copies of a guard share them.
type notes struct {
	mu sync.Mutex
	// err is the first refusal; gRPC keeps only the text of a frontend's error.
	err error
	// lines maps vertices to "Dockerfile:7"; Docker 20.10 does not send that with errors.
	lines map[digest.Digest]string
}

func (g *guard) refuse(format string, args ...any) error {
	err := &UndeclaredError{What: fmt.Sprintf(format, args...), SDK: g.sdk}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
	return err
}

func (g *guard) refused() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// ResolveImageConfig implements gateway.Client.
func (g *guard) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string,
	digest.Digest, []byte, error) {
	if !g.knows(ref) {
		return "", "", nil, g.refuse("image %s", ref)
	}
	return g.known.imageConfig(ctx, g.engine, ref, opt)
}

// BuildOpts implements gateway.Client.
func (g *guard) BuildOpts() gateway.BuildOpts {
	o := g.known.opts
	o.Opts, o.SessionID = g.attrs, g.session
	return o
}

// Inputs implements gateway.Client.
func (g *guard) Inputs(context.Context) (map[string]llb.State, error) {
	return g.inputs.states,
		nil
}

// Warn implements gateway.Client. The frontend's advice on style is not shown.
func (g *guard) Warn(context.Context, digest.Digest, string, gateway.WarnOpts) error { return nil }

// ResolveSourceMetadata implements gateway.Client.
func (g *guard) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp,
	_ sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	return nil, g.refuse("to know more of %s", op.GetIdentifier())
}

// NewContainer implements gateway.Client.
func (g *guard) NewContainer(context.Context, gateway.NewContainerRequest) (gateway.Container,
	error) {
	return nil, g.refuse("a container outside the build")
}

// Solve implements gateway.Client: it keeps the definition. The frontend solves only one, apart
// from reading the Dockerfile.
func (g *guard) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if req.Frontend != "" {
		return nil, g.refuse("another frontend (%s)", req.Frontend)
	}
	for _, raw := range req.Definition.GetDef() {
		var op pb.Op
		if err := op.UnmarshalVT(raw); err != nil {
			return nil, fmt.Errorf("cannot read the build definition: %w", err)
		}
		if src := op.GetSource(); src != nil {
			if err := g.checkSource(src.Identifier); err != nil {
				return nil, err
			}
		}
		if exec := op.GetExec(); exec != nil && exec.Network != pb.NetMode_NONE {
			return nil, g.refuse("a RUN with network (%s)", strings.ToLower(exec.Network.String()))
		}
	}
	if res, ok := g.answer(req.Definition); ok {
		return res, nil
	}
	def := req.Definition
	if !g.own { // a RUN of an own Dockerfile may do anything with /output
		def = withoutCopy(def)
	}
	var err error
	if g.definition, err = g.inputs.merge(ctx, def); err != nil {
		return nil, err
	}
	g.remember(g.definition.GetSource())
	return gateway.NewResult(), nil
}

// remember notes where in the Dockerfile each vertex comes from.
func (g *guard) remember(src *pb.Source) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lines == nil {
		g.lines = map[digest.Digest]string{}
	}
	for vertex, locations := range src.GetLocations() {
		for _, l := range locations.GetLocations() {
			if i := int(l.SourceIndex); i < len(src.Infos) && len(l.Ranges) > 0 {
				g.lines[digest.Digest(vertex)] = fmt.Sprintf("%s:%d", src.Infos[i].Filename,
					l.Ranges[0].GetStart().GetLine())
			}
		}
	}
}

// line returns the place of a vertex in the Dockerfile, or "".
func (g *guard) line(vertex digest.Digest) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lines[vertex]
}

// knows reports whether a build may start from an image.
func (g *guard) knows(ref string) bool {
	return sameImage(ref, g.sdk) || slices.ContainsFunc(g.others,
		func(other string) bool { return sameImage(ref, other) })
}

// checkSource allows only what the client sends itself, and the SDK.
func (g *guard) checkSource(id string) error {
	if strings.HasPrefix(id, "local://") {
		return nil
	}
	for _, scheme := range []string{"docker-image://", "oci-layout://"} {
		if ref, ok := strings.CutPrefix(id, scheme); ok {
			if g.knows(ref) {
				return nil
			}
			return g.refuse("image %s", ref)
		}
	}
	return g.refuse("%s", id)
}

// sameImage reports whether got names the image want; got may have a digest that want omits.
func sameImage(got, want string) bool {
	g, err := reference.ParseNormalizedNamed(got)
	if err != nil {
		return false
	}
	w, err := reference.ParseNormalizedNamed(want)
	if err != nil {
		return false
	}
	if g.Name() != w.Name() {
		return false
	}
	if wd, ok := w.(reference.Digested); ok {
		gd, ok := g.(reference.Digested)
		return ok && gd.Digest() == wd.Digest()
	}
	return tag(g) == tag(w)
}

func tag(r reference.Named) string {
	if t, ok := r.(reference.Tagged); ok {
		return t.Tag()
	}
	return "latest"
}
