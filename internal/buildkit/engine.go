// Engine: reaching the Docker daemon, asking what it is, and giving it the SDK image.

package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/versions"
	docker "github.com/docker/docker/client"
	bkclient "github.com/moby/buildkit/client"
)

// minAPI is Docker 20.10: the first whose BuildKit has the heredocs and mounts that the recipe uses.
const minAPI = "1.41"

// Options say how to reach the engine.
type Options struct {
	// Host is the engine's address; empty means DOCKER_HOST, and without it Docker's default socket.
	// DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION count as for the docker command.
	Host string
	// Timeout is how long the engine may take for its first answer; 0 means 3 s.
	Timeout time.Duration
	// Checkout tells one tree of packages from another on a shared engine. It never reaches a build; it only
	// names the engine's copy of the inputs, which is updated by differences when a step is built again.
	Checkout string
}

// EngineError says that the engine cannot be used and what to do about it.
type EngineError struct {
	Host string
	Err  error
}

func (e *EngineError) Error() string {
	return fmt.Sprintf("cannot use the Docker engine at %s: %v; script/setup installs and starts one, "+
		"DOCKER_HOST names another, and inside a container it needs --privileged and a running dockerd "+
		"(CodeBuild: privileged mode)", e.Host, e.Err)
}

func (e *EngineError) Unwrap() error { return e.Err }

// Builder runs builds on one engine. It is safe for concurrent use: all builds share one connection for requests,
// which measured no slower than one each, and every build has a connection of its own for its files.
type Builder struct {
	docker   *docker.Client
	buildkit *bkclient.Client
	checkout string
	digests  digestMemo
}

// Dial connects to the engine and makes sure that it answers. Its errors are *EngineError.
func Dial(ctx context.Context, opt Options) (*Builder, error) {
	opts := []docker.Opt{docker.FromEnv, docker.WithAPIVersionNegotiation()}
	if opt.Host != "" {
		opts = append(opts, docker.WithHost(opt.Host))
	}
	cli, err := docker.NewClientWithOpts(opts...)
	if err != nil {
		return nil, &EngineError{Host: hostName(opt.Host), Err: err}
	}
	if err := ping(ctx, cli, opt.Timeout); err != nil {
		cli.Close()
		return nil, &EngineError{Host: cli.DaemonHost(), Err: err}
	}
	bk, err := bkclient.New(ctx, "",
		bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return cli.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		bkclient.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return cli.DialHijack(ctx, "/session", proto, meta)
		}))
	if err != nil {
		cli.Close()
		return nil, &EngineError{Host: cli.DaemonHost(), Err: err}
	}
	return &Builder{docker: cli, buildkit: bk, checkout: opt.Checkout}, nil
}

func hostName(host string) string {
	if host == "" {
		return "the address in DOCKER_HOST"
	}
	return host
}

// ping asks the engine for its version and refuses one that is too old.
func ping(ctx context.Context, cli *docker.Client, timeout time.Duration) error {
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	p, err := cli.Ping(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case docker.IsErrConnectionFailed(err):
		return errors.New("nothing answers there")
	default:
		return err
	}
	if versions.LessThan(p.APIVersion, minAPI) {
		return fmt.Errorf("it speaks API %s, at least %s is needed (Docker 20.10 or newer)", p.APIVersion, minAPI)
	}
	return nil
}

// Ping asks whether the engine answers (again). Its errors are *EngineError.
func (b *Builder) Ping(ctx context.Context) error {
	if err := ping(ctx, b.docker, 0); err != nil {
		return &EngineError{Host: b.docker.DaemonHost(), Err: err}
	}
	return nil
}

// Close gives up the connections. Builds that still run fail.
func (b *Builder) Close() error {
	return errors.Join(b.buildkit.Close(), b.docker.Close())
}

// Info describes an engine.
type Info struct {
	Host    string // its address
	Version string // "20.10.24"
	CPUs    int
	Memory  int64  // bytes
	Driver  string // storage driver; "vfs" and "native" copy the SDK for every step
	RootDir string // where it keeps images and build cache, on its own machine
}

// Info asks the engine about itself.
func (b *Builder) Info(ctx context.Context) (Info, error) {
	i, err := b.docker.Info(ctx)
	if err != nil {
		return Info{}, &EngineError{Host: b.docker.DaemonHost(), Err: err}
	}
	return Info{
		Host: b.docker.DaemonHost(), Version: i.ServerVersion, CPUs: i.NCPU, Memory: i.MemTotal,
		Driver: i.Driver, RootDir: i.DockerRootDir,
	}, nil
}

// HasImage reports whether the engine has the image ref, and its ID ("sha256:…"). It never asks a registry.
func (b *Builder) HasImage(ctx context.Context, ref string) (id string, ok bool, err error) {
	img, err := b.docker.ImageInspect(ctx, ref)
	switch {
	case err == nil:
		return img.ID, true, nil
	case cerrdefs.IsNotFound(err):
		return "", false, nil
	case docker.IsErrConnectionFailed(err):
		return "", false, &EngineError{Host: b.docker.DaemonHost(), Err: errors.New("nothing answers there any more")}
	}
	return "", false, fmt.Errorf("asking the engine for the image %s: %w", ref, err)
}

// ImportImage makes the image ref from a tar of a root file system, as docker import does. labels may be nil.
// progress, if not nil, is told how many bytes have been read so far.
func (b *Builder) ImportImage(ctx context.Context, ref string, tar io.Reader, labels map[string]string, progress func(read int64)) error {
	var opt image.ImportOptions
	for k, v := range labels {
		opt.Changes = append(opt.Changes, fmt.Sprintf("LABEL %q=%q", k, v))
	}
	slices.Sort(opt.Changes)
	src := image.ImportSource{Source: &countingReader{r: tar, progress: progress}, SourceName: "-"}
	resp, err := b.docker.ImageImport(ctx, src, ref, opt)
	if err != nil {
		return fmt.Errorf("importing the image %s: %w", ref, err)
	}
	defer resp.Close()
	for dec := json.NewDecoder(resp); ; { // the engine reports failures inside a stream that began with 200 OK
		var msg struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&msg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("importing the image %s: %w", ref, err)
		}
		if msg.Error != "" {
			return fmt.Errorf("importing the image %s: the engine says: %s", ref, msg.Error)
		}
	}
}

type countingReader struct {
	r        io.Reader
	n        int64
	progress func(int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.progress != nil {
		c.progress(c.n)
	}
	return n, err
}
