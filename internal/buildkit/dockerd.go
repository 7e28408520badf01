// dockerd: a Docker daemon as the engine, reached through its API and, through that, its BuildKit.

package buildkit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/safetext"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	docker "github.com/docker/docker/client"
	bkclient "github.com/moby/buildkit/client"
)

// minAPI is that of Docker 20.10, the first whose BuildKit has the heredocs and mounts that recipes
// use.
const minAPI = "1.41"

// dockerd is a Docker engine.
type dockerd struct {
	address  address
	docker   *docker.Client
	patience patience
}

var errNoCerts = errors.New("DOCKER_TLS_VERIFY is set, and nothing says where ca.pem, cert.pem " +
	"and key.pem are: set DOCKER_CERT_PATH (the default is .docker in HOME, which is not set)")

// newDockerd reads the settings; it does not connect to the engine.
func newDockerd(opt engine.Options) (daemon, error) {
	text, setting := cmp.Or(opt.Host, os.Getenv(docker.EnvOverrideHost)), docker.EnvOverrideHost
	verify, certs := os.Getenv(docker.EnvTLSVerify) != "", os.Getenv(docker.EnvOverrideCertPath)
	if verify && certs == "" { // the default of the docker command
		certs = engine.DockerConfigDir()
	}
	d := &dockerd{address: address{text: cmp.Or(text, docker.DefaultDockerHost)},
		patience: patienceOf(opt)}
	if verify && certs == "" {
		return nil, newEngineError(d, errNoCerts)
	}
	if text == "" {
		c, err := engine.CurrentContext()
		if err != nil {
			return nil, newEngineError(d, err)
		}
		if text = docker.DefaultDockerHost; c.Name != "" {
			text, setting = c.Host, fmt.Sprintf("the Docker context %q", c.Name)
			verify, certs = c.Certs != "", c.Certs
		}
	}
	a, err := parseAddress(text, setting)
	if err != nil {
		return nil, newEngineError(d, err)
	}
	d.address = a
	remedy := "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
	if err := checkPlain(a, verify, opt.Insecure, remedy); err != nil {
		return nil, newEngineError(d, err)
	}
	opts := []docker.Opt{docker.WithVersionFromEnv(), docker.WithAPIVersionNegotiation()}
	switch {
	case a.scheme == "ssh":
		opts = append(opts, docker.WithHost("http://docker.invalid"), // only a name for HTTP's Host line
			docker.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn,
				error) {
				return dialCommand(ctx, dockerOverSSH(a))
			}))
	case a.scheme == "tcp" && certs != "":
		files, err := tlsIn(certs)
		if err != nil {
			return nil, newEngineError(d, err)
		}
		opts = append(opts, docker.WithTLSClientConfig(files.ca, files.cert, files.key),
			docker.WithHost(a.text))
	default:
		opts = append(opts, docker.WithHost(a.text))
	}
	if d.docker, err = docker.NewClientWithOpts(opts...); err != nil {
		return nil, newEngineError(d, err)
	}
	return d, nil
}

func (d *dockerd) kind() string { return "Docker engine" }
func (d *dockerd) host() string { return d.address.text }
func (d *dockerd) close() error { return d.docker.Close() }

// hint returns how to get an engine, depending on the environment.
func (d *dockerd) hint() string {
	if os.Getenv("CODEBUILD_BUILD_ID") != "" {
		return "CodeBuild: switch on privileged mode in the project's environment (privilegedMode: " +
			"true), and if the build image does not start dockerd, " +
			"start it in the install phase and wait for it; DOCKER_HOST selects an engine " +
			"elsewhere"
	}
	if _, err := os.Stat("/.dockerenv"); err == nil {
		return "this is a container: an engine in it needs --privileged, a volume at /var/lib/docker " +
			"and a running dockerd; " +
			"script/setup starts one, DOCKER_HOST selects another"
	}
	return "script/setup installs and starts one, DOCKER_HOST selects another; inside a container " +
		"it needs --privileged " +
		"and a running dockerd (CodeBuild: privileged mode)"
}

func (d *dockerd) dial(ctx context.Context) (*bkclient.Client, error) {
	opts := append(statusOptions(),
		bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return hijack(ctx, func() (net.Conn, error) {
				return d.docker.DialHijack(ctx, "/grpc", "h2c", nil)
			})
		}),
		bkclient.WithSessionDialer(func(ctx context.Context, proto string,
			meta map[string][]string) (net.Conn, error) {
			return hijack(ctx, func() (net.Conn, error) {
				return d.docker.DialHijack(ctx, "/session", proto, meta)
			})
		}))
	return bkclient.New(ctx, "", opts...)
}

// ping asks the engine for its version and rejects one that is too old.
func (d *dockerd) ping(ctx context.Context) error {
	p, err := d.docker.Ping(ctx)
	if err != nil {
		return d.unreachable(ctx, err)
	}
	if versions.LessThan(p.APIVersion, minAPI) {
		return fmt.Errorf("it speaks API %s, at least %s is needed (Docker 20.10 or newer)", p.APIVersion,
			minAPI)
	}
	return nil
}

// unreachable tells a socket that this user may not open, and an ssh that failed, from an engine
// that does not answer: the client has one error text for all of them.
func (d *dockerd) unreachable(ctx context.Context, err error) error {
	if !docker.IsErrConnectionFailed(err) {
		return err
	}
	if d.address.scheme == "ssh" {
		return fmt.Errorf("%w: %w", errNobody, err)
	}
	network, place := d.address.scheme, d.address.host
	if network == "unix" {
		place = d.address.path
	}
	conn, e := (&net.Dialer{}).DialContext(ctx, network, place)
	switch {
	case e == nil:
		// it listens, and closed the first connection without an answer: it is starting or ending
		conn.Close()
		return fmt.Errorf("%w: it closed the connection", errNobody)
	case errors.Is(e, os.ErrPermission):
		return os.ErrPermission
	}
	return fmt.Errorf("%w (%w)", errNobody, underlyingDial(e))
}

// underlyingDial strips the address that an error of package net repeats.
func underlyingDial(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func (d *dockerd) info(ctx context.Context) (engine.Info, error) {
	i, err := question(ctx, d, "docker info", d.patience.short,
		func(ctx context.Context, _ func()) (system.Info, error) { return d.docker.Info(ctx) })
	if err != nil {
		return engine.Info{}, err
	}
	return engine.Info{
		Version: i.ServerVersion, API: d.docker.ClientVersion(), CPUs: i.NCPU, Memory: i.MemTotal,
		Driver: i.Driver, RootDir: i.DockerRootDir, Local: d.address.local(), Arch: i.Architecture,
	}, nil
}

func (d *dockerd) image(ctx context.Context, _ *Builder, ref string) (sdkImage, bool, error) {
	img, err := question(ctx, d, "docker inspect "+ref, d.patience.short,
		func(ctx context.Context, _ func()) (image.InspectResponse, error) {
			return d.docker.ImageInspect(ctx, ref)
		})
	switch {
	case cerrdefs.IsNotFound(err):
		return sdkImage{}, false, nil
	case errkind.Is[*HungError](err):
		return sdkImage{}, false, err
	case docker.IsErrConnectionFailed(err):
		return sdkImage{}, false, newEngineError(d, d.unreachable(ctx, err))
	case err != nil:
		return sdkImage{}, false, fmt.Errorf("asking the engine for the image %s: %w", ref, err)
	}
	c := engine.ImageConfig{Layers: img.RootFS.Layers}
	if img.Config != nil {
		c.Env, c.User, c.WorkDir = img.Config.Env, img.Config.User, img.Config.WorkingDir
		c.Shell, c.OnBuild = img.Config.Shell, img.Config.OnBuild
	}
	return sdkImage{id: c.ID()}, true, nil
}

func (d *dockerd) importImage(ctx context.Context, ref string, tar io.Reader) error {
	_, err := question(ctx, d, "docker import "+ref, d.patience.long,
		func(ctx context.Context, alive func()) (struct{}, error) {
			source := image.ImportSource{Source: aliveReader{tar, alive}, SourceName: "-"}
			resp, err := d.docker.ImageImport(ctx, source, ref, image.ImportOptions{})
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, errors.Join(streamError(aliveReader{resp, alive}), resp.Close())
		})
	return err
}

// load makes images from an archive.
func (d *dockerd) load(ctx context.Context, archive io.Reader) error {
	_, err := question(ctx, d, "docker load", d.patience.long,
		func(ctx context.Context, alive func()) (struct{}, error) {
			loaded, err := d.docker.ImageLoad(ctx, aliveReader{archive, alive})
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, errors.Join(streamError(aliveReader{loaded.Body, alive}),
				loaded.Body.Close())
		})
	return err
}

// loadFrom takes an image from another engine, whose failures it marks as sourceErrors.
func (d *dockerd) loadFrom(ctx context.Context, from *node, ref string) error {
	var src source
	_, err := question(ctx, d, "docker load "+ref, d.patience.long,
		func(ctx context.Context, alive func()) (struct{}, error) {
			src = source{from: from, alive: alive}
			src.asked.Store(true)
			image, err := from.b.engine.(*dockerd).docker.ImageSave(ctx, []string{ref})
			if err != nil {
				return struct{}{}, &sourceError{from, err}
			}
			src.asked.Store(false)
			defer image.Close()
			src.r = image
			loaded, err := d.docker.ImageLoad(ctx, &src)
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, errors.Join(streamError(aliveReader{loaded.Body, alive}),
				loaded.Body.Close())
		})
	if hung, ok := errors.AsType[*HungError](err); ok && src.asked.Load() {
		hung.Question = "docker save " + ref
		return &sourceError{from, newEngineError(from.b.engine, hung)}
	}
	return err
}

// sourceError is a failure of the engine that an image is copied from.
type sourceError struct {
	from *node
	err  error
}

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// source is what an engine sends of an image.
type source struct {
	from  *node
	r     io.Reader
	alive func()
	asked atomic.Bool // it was asked for bytes and has not answered
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	s.asked.Store(true)
	n, err := s.r.Read(p)
	if n > 0 {
		s.asked.Store(false)
		s.alive()
	}
	if err != nil && err != io.EOF {
		err = &sourceError{s.from, err}
	}
	return n, err
}

// streamError returns the failure that an engine reports in a stream that began with 200 OK.
func streamError(stream io.Reader) error {
	for dec := json.NewDecoder(stream); ; {
		var msg struct {
			Error string `json:"error"`
		}
		if err := dec.Decode(&msg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if msg.Error != "" {
			return fmt.Errorf("the engine says: %s", safetext.Line(msg.Error))
		}
	}
}
