// Engine: the connection to a Docker daemon or a buildkitd, and questions about it. Builds work the
// same on both.

package buildkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"

	bkclient "github.com/moby/buildkit/client"
)

// daemon is one kind of engine. Builds use the connections that it dials; its other methods do what
// differs between the kinds.
type daemon interface {
	kind() string
	host() string
	dial(ctx context.Context) (*bkclient.Client, error) // a new connection, for builds
	ping(ctx context.Context) error                     // on its own connection
	check(ctx context.Context) error                    // once, whether it can build at all
	info(ctx context.Context) (engine.Info, error)
	image(ctx context.Context, b *Builder, ref string) (img sdkImage, ok bool, err error)
	importImage(ctx context.Context, ref string, tar io.Reader) error
	hint() string
	close() error
}

// Builder runs builds on one engine. It is safe for concurrent use: all builds share one connection
// for requests, which proved no slower than one each, and every build has its own connection for
// files.
type Builder struct {
	engine   daemon
	timeout  time.Duration
	checkout string
	digests  digestMemo
	watchdog watchdog
	patience patience
	running  atomic.Int32 // builds
	frontend frontend
	layers   layers
	image    imageMemo
	limits   limits

	mu       sync.Mutex
	buildkit *bkclient.Client
}

// Dial connects to the engine and makes sure that it answers. Its errors are of type *engine.Error.
func Dial(ctx context.Context, opt engine.Options) (*Builder, error) {
	d, err := newDaemon(opt)
	if err != nil {
		return nil, err
	}
	b := &Builder{engine: d, timeout: opt.Timeout, checkout: opt.Checkout,
		patience: patienceOf(opt), layers: layers{LayerCache: opt.Layers},
		limits: limits{Limits: opt.Limits}}
	b.watchdog = watchdog{ping: d.ping, host: d.host(), silence: cmp.Or(opt.Silence, silence),
		renew: func() { b.renew(b.client()) }}
	if err := b.await(ctx, opt.Wait, opt.Waiting); err != nil {
		d.close()
		return nil, err
	}
	if err := d.check(ctx); err != nil {
		d.close()
		return nil, b.engineError(err)
	}
	if b.buildkit, err = d.dial(ctx); err != nil {
		d.close()
		return nil, b.engineError(err)
	}
	return b, nil
}

func newDaemon(opt engine.Options) (daemon, error) {
	if opt.BuildKit != "" {
		return newBuildkitd(opt)
	}
	return newDockerd(opt)
}

// Errors that waiting may resolve: nothing listens at the address, or the engine is too busy to
// answer.
var (
	errNobody   = errors.New("nothing answers there")
	errNoAnswer = errors.New("no answer")
)

// mayCome reports whether an engine that failed with err may answer later.
func mayCome(err error) bool { return errors.Is(err, errNobody) || errors.Is(err, errNoAnswer) }

// await waits until the engine answers, for at most the given time.
func (b *Builder) await(ctx context.Context, wait time.Duration,
	waiting func(string, time.Duration)) error {
	begin := time.Now()
	for {
		err := b.Ping(ctx)
		if err == nil || !mayCome(err) || time.Since(begin) >= wait || ctx.Err() != nil {
			return err
		}
		if waiting != nil {
			waiting(b.engine.host(), wait)
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return b.engineError(cancelCause(ctx))
		case <-time.After(min(250*time.Millisecond, wait)):
		}
	}
}

// Await waits until the engine answers, for at most the given time. Its errors are of type
// *engine.Error. One answer is not enough: a daemon that is shutting down still answers for a
// moment.
func (b *Builder) Await(ctx context.Context, wait time.Duration) error {
	begin, answers := time.Now(), 0
	for {
		err := b.Ping(ctx)
		if answers++; err != nil {
			answers = 0
		}
		if answers == 4 || err != nil && time.Since(begin) >= wait || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return b.engineError(cancelCause(ctx))
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Ping asks whether the engine answers (again). Its errors are *engine.Error.
func (b *Builder) Ping(ctx context.Context) error {
	timeout := b.timeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w within %v", errNoAnswer,
		timeout))
	defer cancel()
	err := b.engine.ping(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return b.engineError(err)
}

// engineError returns err as an *engine.Error; nil stays nil.
func (b *Builder) engineError(err error) error {
	var known *engine.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return newEngineError(b.engine, err)
}

func newEngineError(d daemon, err error) *engine.Error {
	hint := d.hint()
	switch {
	case errors.Is(err, os.ErrPermission):
		hint = "this user may not open it: add it to the group that owns the socket (sudo usermod -aG " +
			"docker NAME) and log in again, or run as root"
	case errkind.Is[*HungError](err):
		hint = hungHint
	case errkind.Is[*noBuildKitError](err):
		hint = "use Docker 20.10 or newer, or name a buildkitd with BUILDSYS_BUILDKIT_HOST"
	case errors.Is(err, errNoTLS):
		hint = "nothing was sent"
	}
	return &engine.Error{Kind: d.kind(), Host: d.host(), Err: err, Hint: hint}
}

// client returns the connection that builds share.
func (b *Builder) client() *bkclient.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buildkit
}

// renew replaces a connection that is broken without noticing it; every build on it ends.
func (b *Builder) renew(broken *bkclient.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buildkit != broken {
		return // another build did it
	}
	// This does not contact the engine: gRPC connects with the first request.
	if c, err := b.engine.dial(context.Background()); err == nil {
		b.buildkit = c
	}
	_ = broken.Close()
}

// Close closes the connections. Builds that still run fail.
func (b *Builder) Close() error {
	return errors.Join(b.client().Close(), b.engine.close())
}

// Info asks the engine about itself.
func (b *Builder) Info(ctx context.Context) (engine.Info, error) {
	i, err := b.engine.info(ctx)
	if err != nil {
		return engine.Info{}, b.engineError(err)
	}
	i.Kind, i.Host = b.engine.kind(), b.engine.host()
	return i, nil
}

// HasImage reports whether the engine can use the image ref, and returns the image's ID
// ("sha256:…"), which is the same for the same image on every engine. A Docker engine never asks a
// registry for it; a buildkitd has to, for an image that was not imported.
func (b *Builder) HasImage(ctx context.Context, ref string) (id string, ok bool, err error) {
	img, ok, err := b.engine.image(ctx, b, ref)
	return img.id, ok, err
}

// ImportImage makes the image ref from a tar of a root file system, as docker import does.
func (b *Builder) ImportImage(ctx context.Context, ref string, tar io.Reader) error {
	err := b.engine.importImage(ctx, ref, tar)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("importing the image %s: %w", ref, err)
	if saysNoSpace(err.Error()) {
		full := newEngineError(b.engine, err)
		full.Hint = "free some space there (docker builder prune drops a Docker engine's build cache)"
		return full
	}
	return err
}

// LoadImage makes images from what docker save writes.
func (b *Builder) LoadImage(ctx context.Context, archive io.Reader) error {
	d, ok := b.engine.(*dockerd)
	if !ok {
		return newEngineError(b.engine, errors.New("it stores no images"))
	}
	if err := d.load(ctx, archive); err != nil {
		return fmt.Errorf("loading an image: %w", err)
	}
	return nil
}

// Connect implements engine.Dialer: it connects to the engine that the options name, or to a Fleet
// if they name several.
func Connect(ctx context.Context, opt engine.Options) (engine.Engine, error) {
	if len(opt.Addresses()) > 1 {
		f, err := DialFleet(ctx, opt)
		if err != nil {
			return nil, err // not f: a nil *Fleet in an Engine is not a nil Engine
		}
		return f, nil
	}
	b, err := Dial(ctx, opt)
	if err != nil {
		return nil, err
	}
	return b, nil
}
