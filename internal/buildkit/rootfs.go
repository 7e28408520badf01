// Rootfs: a root file system from nothing but files of this machine.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/session"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// MakeRootfs implements engine.RootfsMaker. The engine unpacks the base itself, as for ADD in a
// Dockerfile, and runs the program in that, as for RUN.
func (b *Builder) MakeRootfs(ctx context.Context, r engine.Rootfs, to io.Writer,
	report func(progress.Event)) error {
	solveCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sess, err := session.NewSession(ctx, b.sharedKey(plan.Solve{Name: r.Name, Target: "rootfs"}))
	if err != nil {
		return fmt.Errorf("making %s: %w", r.Name, err)
	}
	def, locals, err := rootfsDefinition(solveCtx, r, sess.ID(), &b.digests, stop)
	if err != nil {
		return failure{own: err, err: err}.solveError(r.Name, "")
	}
	log := newStatusLog(reporter(report))
	client := b.client()
	defer b.watchdog.watch(stop)()
	jobs := b.running.Add(1)
	defer b.running.Add(-1)
	out := &rootfsOut{to: to, stop: stop}
	opt := bkclient.SolveOpt{SharedSession: sess, LocalMounts: locals, Internal: true,
		Exports: []bkclient.ExportEntry{{Type: bkclient.ExporterTar, Output: out.open}}}
	err = b.run(solveCtx, client, def, opt, log)
	if own := out.end(); own != nil && ctx.Err() == nil {
		return own
	}
	if err == nil {
		err = context.Cause(solveCtx)
	}
	if err == nil {
		return nil
	}
	f := log.failure(&guard{notes: &notes{}})
	f.err, f.jobs = err, int(jobs)
	f.ended(ctx, solveCtx)
	return b.afterLoss(f.solveError(r.Name, ""), client)
}

// rootfsDefinition returns what the engine has to do, and the files that it may ask for.
func rootfsDefinition(ctx context.Context, r engine.Rootfs, session string, digests *digestMemo,
	failed func(error)) (*llb.Definition, map[string]fsutil.FS, error) {
	locals := map[string]fsutil.FS{}
	local := func(name, title string, c plan.Context) (llb.State, error) {
		fsys, err := newContextFS(c, digests, failed)
		locals[name] = fsys
		return llb.Local(name, llb.SessionID(session), llb.SharedKeyHint(name),
			llb.WithCustomName("["+title+"]")), err
	}
	archive := filepath.Base(r.Base)
	base, err := local("base", "packages unpacked", plan.Context{
		Files: []plan.File{{Name: archive, Host: r.Base}}})
	if err != nil {
		return nil, nil, err
	}
	root := llb.Scratch().File(llb.Copy(base, archive, "/", &llb.CopyInfo{AttemptUnpack: true}),
		llb.WithCustomName("unpacking "+archive))
	opts := []llb.RunOption{llb.Args(r.Args), llb.Network(llb.NetModeNone),
		llb.WithCustomName("making " + r.Name)}
	for _, e := range r.Env {
		name, value, _ := strings.Cut(e, "=")
		opts = append(opts, llb.AddEnv(name, value))
	}
	for i, dir := range slices.Sorted(maps.Keys(r.Mounts)) {
		state, err := local("mount-"+strconv.Itoa(i), "files for "+dir, r.Mounts[dir])
		if err != nil {
			return nil, nil, err
		}
		opts = append(opts, llb.AddMount(dir, state, llb.Readonly))
	}
	def, err := root.Run(opts...).Root().Marshal(ctx,
		llb.Platform(ocispecs.Platform{OS: "linux", Architecture: r.Arch}))
	return def, locals, err
}

// rootfsOut passes on what the engine sends, once.
type rootfsOut struct {
	to   io.Writer
	stop func(error)

	mu     sync.Mutex
	opened bool
	closed bool
	err    error // of to
}

var errRootfsTwice = errors.New("the engine sent the root file system twice")

func (o *rootfsOut) open(map[string]string) (io.WriteCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened || o.closed {
		return nil, errRootfsTwice
	}
	o.opened = true
	return o, nil
}

// Write implements io.Writer. It waits for the writer below, which is the slower one.
func (o *rootfsOut) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, io.ErrClosedPipe
	}
	n, err := o.to.Write(p)
	if err != nil && o.err == nil {
		o.err = err
		o.stop(err)
	}
	return n, err
}

// Close implements io.Closer.
func (o *rootfsOut) Close() error { return nil }

// end ends the writing, and returns the error of the writer below.
func (o *rootfsOut) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return o.err
}
