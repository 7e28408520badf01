// Open: programs in containers made of what a build has left, through the engine's gateway.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	bkclient "github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// releaseTime is how long an engine may take to remove a container.
const releaseTime = 10 * time.Second

// Open implements engine.Opener. Docker 20.10 tells nothing of a step that failed, so s must be a
// build that ends well wherever its program is to stand.
func (b *Builder) Open(ctx context.Context, s plan.Solve, p engine.Process,
	report func(progress.Event)) (status int, err error) {
	img, err := b.lookUpAll(ctx, s)
	if err != nil {
		return 0, err
	}
	sdk := s.Args[sdkArg]
	solveCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sess, err := session.NewSession(ctx, b.sharedKey(s))
	if err != nil {
		return 0, fmt.Errorf("opening %s: %w", s.Name, err)
	}
	in, err := newInputs(s.Contexts, sess.ID(), &b.digests, stop)
	if err != nil {
		return 0, failure{own: err, err: err}.solveError(s.Name, sdk)
	}
	g, client := b.guardOf(s, img, sess.ID(), in), b.client()
	log := newStatusLog(reporter(report))
	defer b.watchdog.watch(stop)()
	jobs := b.running.Add(1)
	defer b.running.Add(-1)
	open := opening{process: p}
	def, err := b.define(solveCtx, client, g, img)
	if err == nil {
		opt := bkclient.SolveOpt{SharedSession: sess, LocalMounts: in.locals, OCIStores: img.stores(),
			Internal: true}
		open.def = def.ToPB()
		err = b.follow(log, func(statuses chan *bkclient.SolveStatus) error {
			_, err := client.Build(solveCtx, opt, "", open.run, statuses)
			return err
		})
	}
	if open.ended && ctx.Err() == nil {
		return open.status, nil
	}
	f := log.failure(g)
	f.err, f.own, f.jobs = err, g.refused(), int(jobs)
	f.ended(ctx, solveCtx)
	return 0, b.afterLoss(f.solveError(s.Name, sdk), client)
}

// opening is the opening of one container.
type opening struct {
	def     *pb.Definition
	process engine.Process
	ended   bool // the process has
	status  int
}

// run does the build, and runs the process in a container on its result.
func (o *opening) run(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	exec, mounts, err := o.mounts(ctx, c)
	if err != nil {
		return nil, err
	}
	ctr, err := c.NewContainer(ctx, gateway.NewContainerRequest{Mounts: mounts,
		NetMode: pb.NetMode_NONE, Hostname: exec.GetMeta().GetHostname()})
	if err != nil {
		return nil, fmt.Errorf("making a container: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		_ = ctr.Release(ctx) // the end of the build releases it as well
	}()
	if o.process.Started != nil {
		o.process.Started()
	}
	p, meta := o.process, exec.GetMeta()
	proc, err := ctr.Start(ctx, gateway.StartRequest{Args: p.Args,
		Env: slices.Concat(meta.GetEnv(), p.Env), User: meta.GetUser(), Cwd: meta.GetCwd(),
		Tty: p.Terminal, Stdin: reader{p.Stdin}, Stdout: writer{p.Stdout}, Stderr: writer{p.Stderr}})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Args[0], err)
	}
	done := make(chan struct{})
	defer close(done)
	go o.resize(ctx, proc, done)
	err = proc.Wait()
	var exit *gatewaypb.ExitError
	switch {
	case err == nil:
		o.ended = true
	case errors.As(err, &exit) && exit.ExitCode < 256: // BuildKit has a larger one for "unknown"
		o.ended, o.status = true, int(exit.ExitCode)
	default:
		return nil, err
	}
	return gateway.NewResult(), nil
}

// resize passes on the sizes of the terminal. The last one counts; an error is the process's end.
func (o *opening) resize(ctx context.Context, proc gateway.ContainerProcess, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case size, ok := <-o.process.Sizes:
			if !ok {
				return
			}
			_ = proc.Resize(ctx, gateway.WinSize{Rows: uint32(size.Rows), Cols: uint32(size.Columns)})
		}
	}
}

// mounts does the build and returns its last RUN with the mounts of a container that stands where
// that has ended.
func (o *opening) mounts(ctx context.Context, c gateway.Client) (*pb.ExecOp, []gateway.Mount,
	error) {
	op, index, err := lastRun(o.def)
	if err != nil {
		return nil, nil, err
	}
	root, err := solved(ctx, c, o.def)
	if err != nil {
		return nil, nil, err
	}
	mounts := []gateway.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: root}}
	for _, m := range op.GetExec().GetMounts() {
		if path.Clean(m.GetDest()) == "/" {
			if m.GetOutput() != index {
				return nil, nil, errors.New("the build ends with a mount of its last RUN, not with its root")
			}
			continue
		}
		if m.GetMountType() == pb.MountType_SSH && m.GetSSHOpt().GetOptional() {
			continue // nothing is served to what is opened
		}
		if m.GetMountType() != pb.MountType_BIND || m.GetInput() < 0 {
			return nil, nil, fmt.Errorf("the mount at %s is neither a context nor a stage", m.GetDest())
		}
		part, err := below(o.def, op.GetInputs()[m.GetInput()])
		if err != nil {
			return nil, nil, err
		}
		ref, err := solved(ctx, c, part)
		if err != nil {
			return nil, nil, err
		}
		mounts = append(mounts, gateway.Mount{Dest: m.GetDest(), Selector: m.GetSelector(), Ref: ref,
			Readonly: true, MountType: pb.MountType_BIND})
	}
	return op.GetExec(), mounts, nil
}

// solved returns the result of a definition.
func solved(ctx context.Context, c gateway.Client, def *pb.Definition) (gateway.Reference, error) {
	res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def, Evaluate: true})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// lastRun returns the RUN that a definition ends with, and which of its outputs is the result.
func lastRun(def *pb.Definition) (op *pb.Op, output int64, err error) {
	ops := def.GetDef()
	end := &pb.Op{}
	if len(ops) == 0 || end.UnmarshalVT(ops[len(ops)-1]) != nil || len(end.GetInputs()) != 1 {
		return nil, 0, errors.New("the build has no result")
	}
	for _, raw := range ops {
		if digest.FromBytes(raw).String() != end.GetInputs()[0].GetDigest() {
			continue
		}
		op = &pb.Op{}
		if err := op.UnmarshalVT(raw); err != nil {
			return nil, 0, err
		}
		if op.GetExec() != nil {
			return op, end.GetInputs()[0].GetIndex(), nil
		}
	}
	return nil, 0, errors.New("the build does not end with a RUN")
}

// below returns the part of a definition that makes an input of one of its operations.
func below(def *pb.Definition, in *pb.Input) (*pb.Definition, error) {
	ops := map[string][]byte{}
	for _, raw := range def.GetDef() {
		ops[digest.FromBytes(raw).String()] = raw
	}
	part := &pb.Definition{Metadata: def.GetMetadata(), Source: def.GetSource()}
	seen := map[string]bool{}
	var add func(id string) error
	add = func(id string) error {
		if seen[id] {
			return nil
		}
		seen[id] = true
		op := &pb.Op{}
		if err := op.UnmarshalVT(ops[id]); err != nil {
			return err
		}
		for _, in := range op.GetInputs() {
			if err := add(in.GetDigest()); err != nil {
				return err
			}
		}
		part.Def = append(part.Def, ops[id])
		return nil
	}
	if err := add(in.GetDigest()); err != nil {
		return nil, err
	}
	end, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Op{Inputs: []*pb.Input{in}})
	part.Def = append(part.Def, end)
	return part, err
}

// reader and writer are streams of a process. Closing them closes nothing: they are the caller's.
type (
	reader struct{ io.Reader }
	writer struct{ io.Writer }
)

func (reader) Close() error { return nil }
func (writer) Close() error { return nil }
