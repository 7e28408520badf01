// Package buildkit implements package engine on a Docker engine, through its BuildKit and over
// Docker's own socket, or on a buildkitd; only it uses docker and moby. It pulls nothing and needs
// no docker command, temporary image or container. The Dockerfile frontend runs in this process, so
// old engines understand new Dockerfiles. A build sees its contexts and the SDK image and has no
// network, and its outputs are checked before the caller may use them.
package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/session"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// sdkArg is the build argument that names the image a build starts from.
const sdkArg = "SDK"

// freshHostname is the host name in a build with Solve.Fresh; others have BuildKit's
// "buildkitsandbox".
const freshHostname = "elsewhere.buildsys.invalid"

// Build runs one build and leaves its outputs in out, an existing empty directory. If it returns an
// error, out may hold anything, and the caller removes it. report gets a StepLog event for each
// line of output, in order and from one goroutine; the caller sets Step.
//
// The error is a *SolveError if the build failed, and an *OutputError if it wrote what must not be
// published.
func (b *Builder) Build(ctx context.Context, s plan.Solve, out string,
	report func(progress.Event)) error {
	img, err := b.lookUpAll(ctx, s)
	if err != nil {
		return err
	}
	return b.buildLayered(ctx, s, img, out, report)
}

// lookUpAll returns the SDK image of a build, with the others that it starts from.
func (b *Builder) lookUpAll(ctx context.Context, s plan.Solve) (sdkImage, error) {
	img, err := b.lookUp(ctx, s, s.Args[sdkArg])
	if err != nil {
		return img, err
	}
	img.others = map[string]sdkImage{}
	for _, ref := range s.Images {
		if img.others[ref], err = b.lookUp(ctx, s, ref); err != nil {
			return img, err
		}
	}
	return img, nil
}

// trees reports whether the outputs of a build may be more than files side by side.
func trees(s plan.Solve) bool {
	return slices.Contains([]string{string(plan.Variant), string(plan.Repack), string(plan.Kit),
		string(plan.Modules)}, s.Target)
}

func (b *Builder) solve(ctx context.Context, s plan.Solve, img sdkImage, out string,
	report func(progress.Event), layers *layerUse) error {
	sdk := s.Args[sdkArg]
	// The build stops at once if a context cannot be sent as listed, or if the engine falls silent.
	solveCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sess, err := session.NewSession(ctx, b.sharedKey(s))
	if err != nil {
		return fmt.Errorf("building %s: %w", s.Name, err)
	}
	in, err := newInputs(s.Contexts, sess.ID(), &b.digests, stop)
	if err != nil {
		return failure{own: err, err: err}.solveError(s.Name, sdk)
	}
	secrets, err := readSecrets(s.Secrets)
	if err != nil {
		return failure{own: err, err: err}.solveError(s.Name, sdk)
	}
	outputs, err := newReceiver(s, out, b.limits.Limits, stop)
	if err != nil {
		return err
	}
	outputs.keys = keyParts(secrets)
	g := b.guardOf(s, img, sess.ID(), in)
	log := newStatusLog(reporter(report))
	log.layers = layers
	defer layers.begin(stop)()
	var last lastLines
	client := b.client()
	release := b.watchdog.watch(stop)
	jobs := b.running.Add(1)
	def, err := b.define(solveCtx, client, g, img)
	if err == nil {
		b.limits.tell(g.known, report)
		opt := bkclient.SolveOpt{SharedSession: sess, LocalMounts: in.locals, OCIStores: img.stores(),
			Session: append(serveSecrets(secrets), last.sockets(s.Sockets)),
			Exports: outputs.exports()}
		// Recording the build in the engine's history takes a tenth of a small build's time.
		opt.Internal = true
		layers.addTo(&opt)
		err = b.run(solveCtx, client, def, opt, log)
	}
	err = outputs.finish(solveCtx, err)
	b.running.Add(-1)
	release()
	if err == nil { // a context may have changed under a build that succeeded all the same
		err = context.Cause(solveCtx)
	}
	if err == nil || ctx.Err() == nil && refused(err) && !full(err) {
		return err
	}
	last.addTo(log)
	f := log.failure(g)
	f.err, f.own, f.jobs, f.fileLimit = err, g.refused(), int(jobs), b.limits.enforced(s, g.known)
	if full(err) {
		f.full = out
	}
	f.ended(ctx, solveCtx)
	return b.afterLoss(f.solveError(s.Name, sdk), client)
}

// guardOf returns the guard of a build whose files come through a session.
func (b *Builder) guardOf(s plan.Solve, img sdkImage, session string, in inputs) *guard {
	recipe := collected(s)
	return &guard{sdk: s.Args[sdkArg], others: s.Images, dockerfile: recipe.Dockerfile,
		attrs: frontendAttrs(recipe, img, b.limits.Limits), session: session, inputs: in,
		own: isOwn(s), notes: &notes{}}
}

// run has the engine solve a definition.
func (b *Builder) run(ctx context.Context, client *bkclient.Client, def *llb.Definition,
	opt bkclient.SolveOpt, log *statusLog) error {
	return b.follow(log, func(statuses chan *bkclient.SolveStatus) error {
		_, err := client.Solve(ctx, def, opt, statuses)
		return err
	})
}

// follow calls solve and returns once log has all of the engine's output.
func (b *Builder) follow(log *statusLog, solve func(chan *bkclient.SolveStatus) error) error {
	statuses := make(chan *bkclient.SolveStatus)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for st := range statuses { // closed by the client
			b.watchdog.sign()
			log.add(st)
		}
		log.flush()
	}()
	err := solve(statuses)
	<-drained
	return err
}

// afterLoss makes the next build use a new connection: gRPC waits a while before it retries an
// address that has failed, and until then every request fails at once.
func (b *Builder) afterLoss(err error, client *bkclient.Client) error {
	if e, ok := errors.AsType[*SolveError](err); ok && e.class == EngineLost {
		b.renew(client)
	}
	return err
}

// reporter turns lines into events. What an engine leaves out of a step's output may be the very
// lines that say why the step failed, so that is worth a warning, once.
func reporter(report func(progress.Event)) func(line string) {
	warned := false
	return func(line string) {
		if report == nil {
			return
		}
		report(progress.Event{Time: time.Now(), Kind: progress.StepLog, Text: line})
		if text := lossWarning(line); text != "" && !warned {
			warned = true
			report(progress.Event{Time: time.Now(), Kind: progress.Warning, Text: text})
		}
	}
}

// lossWarning returns the warning for a line in the place of lost output. BuildKit drops output of
// a step that writes too much or too fast (in Docker 20.10 more than 1 MiB, or 200 KiB/s).
func lossWarning(line string) string {
	switch {
	case strings.HasPrefix(line, "[output clipped, log limit "):
		return "the engine dropped part of this step's output; to keep it all, start dockerd with " +
			"BUILDKIT_STEP_LOG_MAX_SIZE=1073741824 and BUILDKIT_STEP_LOG_MAX_SPEED=1073741824 " +
			"in its environment"
	case line == lostLine:
		return "the engine lost part of this step's output, as Docker 20.10 does when a step prints " +
			"more than 1 MiB at once: newer engines do not"
	}
	return ""
}

// cancelCause returns the cause of an ended context as an error that is also context.Canceled or
// context.DeadlineExceeded.
func cancelCause(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == nil || errors.Is(cause, ctx.Err()) {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ctx.Err(), cause)
}

// frontendAttrs returns the settings of the Dockerfile frontend.
func frontendAttrs(s plan.Solve, img sdkImage, limits engine.Limits) map[string]string {
	attrs := map[string]string{
		"filename":           dockerui.DefaultDockerfileName,
		"target":             s.Target,
		"force-network-mode": "none",
		"image-resolve-mode": "local",
		// With it, a "# syntax=" line or a BUILDKIT_SYNTAX argument never selects another frontend.
		"cmdline": "builtin",
	}
	for k, v := range limitAttrs(s, limits) {
		attrs[k] = v
	}
	for k, v := range s.Args {
		attrs["build-arg:"+k] = v
	}
	if s.Fresh {
		attrs["no-cache"] = "" // no stage named means all
		attrs["hostname"] = freshHostname
	}
	if img.context != "" {
		attrs["context:"+familiarName(s.Args[sdkArg])] = img.context
	}
	for ref, other := range img.others {
		if other.context != "" {
			attrs["context:"+familiarName(ref)] = other.context
		}
	}
	for key := range s.Contexts {
		if key != plan.TreeContext {
			attrs["context:"+plan.ContextPrefix+key] = "input:" + key
		}
	}
	return attrs
}

// familiarName returns an image's name in the form that the frontend looks up among named contexts.
func familiarName(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref // the frontend reports what is wrong with it
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest")
}

// sharedKey names the engine's copies of this build's contexts. It is the same from run to run, so
// that only differences are sent, and differs between steps, so that parallel builds do not take
// one another's copy.
func (b *Builder) sharedKey(s plan.Solve) string {
	h := sha256.New()
	for _, part := range []string{b.checkout, s.Target, s.Name} {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
