// buildkitd: a BuildKit daemon as the engine, without Docker.

package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/util/grpcerrors"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	"golang.org/x/mod/semver"
	"google.golang.org/grpc/codes"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
	"buildsys/internal/plan"
)

// minBuildKit is the first version whose daemon takes an image from its client's OCI layout and
// reports its version.
const minBuildKit = "v0.11.0"

// layoutStore is the name under which a build offers the content of the SDK's layout.
const layoutStore = "sdk"

// buildkitd is a BuildKit daemon.
type buildkitd struct {
	address address
	tls     *tlsFiles
	layout  sdkLayout
	wait    time.Duration // for a registry that limits requests

	patience patience

	mu sync.Mutex
	// images from registries: asked once, so that a run uses one image
	resolved map[string]sdkImage
}

func newBuildkitd(opt engine.Options) (daemon, error) {
	d := &buildkitd{
		address: address{text: opt.BuildKit}, layout: sdkLayout{oci.Layout{Dir: opt.OCILayout}},
		wait: opt.Wait, patience: patienceOf(opt), resolved: map[string]sdkImage{},
	}
	a, err := parseAddress(opt.BuildKit, "BUILDSYS_BUILDKIT_HOST")
	if err != nil {
		return nil, newEngineError(d, err)
	}
	d.address = a
	if opt.BuildKitCerts != "" {
		if a.scheme != "tcp" {
			return nil, newEngineError(d, errors.New("TLS certificates are for tcp:// only"))
		}
		files, err := tlsIn(opt.BuildKitCerts)
		if err != nil {
			return nil, newEngineError(d, err)
		}
		d.tls = &files
	}
	if err := checkPlain(a, d.tls != nil, opt.Insecure,
		"set BUILDSYS_BUILDKIT_CERT_PATH"); err != nil {
		return nil, newEngineError(d, err)
	}
	return d, nil
}

func (d *buildkitd) kind() string { return "buildkitd" }
func (d *buildkitd) host() string { return d.address.text }
func (d *buildkitd) close() error { return nil }

func (d *buildkitd) hint() string {
	return "BUILDSYS_BUILDKIT_HOST names it: start buildkitd there, or unset that to use a Docker " +
		"engine"
}

func (d *buildkitd) dial(ctx context.Context) (*bkclient.Client, error) {
	opts := statusOptions()
	target := d.address.text
	switch {
	case d.tls != nil:
		opts = append(opts, bkclient.WithCredentials(d.tls.cert, d.tls.key),
			bkclient.WithServerConfig("", d.tls.ca))
	case d.address.scheme == "ssh":
		target = "tcp://buildkitd.invalid:1" // never looked up: the dialer below ignores it
		opts = append(opts, bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn,
			error) {
			return dialCommand(ctx, buildkitOverSSH(d.address))
		}))
	}
	return bkclient.New(ctx, target, opts...)
}

func (d *buildkitd) check(context.Context) error { return nil }

// ping asks the daemon for its version, on a new connection: an existing one may be broken without
// noticing it for a long time.
func (d *buildkitd) ping(ctx context.Context) error {
	c, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.Info(ctx)
	switch {
	case err == nil:
		return checkBuildKit(info.BuildkitVersion.Version)
	case grpcerrors.Code(err) == codes.Unimplemented:
		return checkBuildKit("v0.10.0")
	case grpcerrors.Code(err) != codes.Unavailable:
		return err
	case strings.Contains(err.Error(), "permission denied"): // gRPC keeps only the text
		return os.ErrPermission
	}
	return fmt.Errorf("%w: %w", errNobody, err)
}

// checkBuildKit rejects a daemon that is too old. A version that is not that of a release, such as
// v0.0.0, is accepted.
func checkBuildKit(version string) error {
	if semver.IsValid(version) && semver.MajorMinor(version) != "v0.0" &&
		semver.Compare(version, minBuildKit) < 0 {
		return fmt.Errorf("it is BuildKit %s or older, at least %s is needed", version, minBuildKit)
	}
	return nil
}

func (d *buildkitd) info(ctx context.Context) (engine.Info, error) {
	c, err := d.dial(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	defer c.Close()
	build, err := question(ctx, d, "buildctl debug info", d.patience.short,
		func(ctx context.Context, _ func()) (*bkclient.Info, error) { return c.Info(ctx) })
	if err != nil {
		return engine.Info{}, err
	}
	workers, err := question(ctx, d, "buildctl debug workers", d.patience.short,
		func(ctx context.Context, _ func()) ([]*bkclient.WorkerInfo, error) {
			return c.ListWorkers(ctx)
		})
	if err != nil {
		return engine.Info{}, err
	}
	if len(workers) == 0 {
		return engine.Info{}, errors.New("it has no worker, so it cannot build anything")
	}
	info := engine.Info{Version: build.BuildkitVersion.Version,
		Driver: workers[0].Labels["org.mobyproject.buildkit.worker.snapshotter"],
		Local:  d.address.local()}
	if info.Local {
		info.CPUs = runtime.NumCPU()
	}
	return info, nil
}

func (d *buildkitd) image(ctx context.Context, b *Builder, ref string) (sdkImage, bool, error) {
	if img, ok, err := d.layout.find(ref); err != nil {
		return sdkImage{}, false, err
	} else if ok {
		return sdkImage{
			id:      fromOCI(img.config).ID(),
			context: "oci-layout://" + layoutStore + "@" + img.manifest.String(),
			store:   blobs{d.layout.Layout},
		}, true, nil
	}
	if strings.HasPrefix(ref, plan.ContextPrefix) { // it is in no registry
		return sdkImage{}, false, nil
	}
	return d.fromRegistry(ctx, b, ref)
}

// fromRegistry has the daemon ask the image's registry what the name stands for, and keeps the
// answer.
func (d *buildkitd) fromRegistry(ctx context.Context, b *Builder, ref string) (sdkImage, bool,
	error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if img, ok := d.resolved[ref]; ok {
		return img, true, nil
	}
	name, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return sdkImage{}, false, fmt.Errorf("%q is not the name of an image: %w", ref, err)
	}
	name = reference.TagNameOnly(name)
	manifest, data, err := d.resolve(ctx, b, name.String())
	if err != nil {
		if errkind.Is[*HungError](err) {
			return sdkImage{}, false, err
		}
		if grpcerrors.Code(err) == codes.NotFound || strings.Contains(err.Error(), "not found") {
			return sdkImage{}, false, nil
		}
		class := classifyEngine(err)
		if class == OtherImage {
			return sdkImage{}, false, &SolveError{Name: "the SDK image", SDK: ref, class: class, Err: err}
		}
		unusable := newEngineError(d, fmt.Errorf("it cannot get the image %s: %w", ref, err))
		if class == RegistryBusy {
			unusable.Hint = "wait, or use a registry closer to it, or do without a registry: buildsys " +
				"sdk import"
		}
		return sdkImage{}, false, unusable
	}
	var config dockerspec.DockerOCIImage
	if err := json.Unmarshal(data, &config); err != nil {
		return sdkImage{}, false, fmt.Errorf("the configuration of the image %s: %w", ref, err)
	}
	if _, pinned := name.(reference.Digested); !pinned {
		if name, err = reference.WithDigest(name, manifest); err != nil {
			return sdkImage{}, false, err
		}
	}
	img := sdkImage{id: fromOCI(config).ID(), context: "docker-image://" + name.String()}
	d.resolved[ref] = img
	return img, true, nil
}

// resolve has the daemon ask a registry for an image's manifest and configuration. If the registry
// is busy, the daemon itself retries within a second and then fails; resolve goes on for some time,
// with growing pauses.
func (d *buildkitd) resolve(ctx context.Context, b *Builder, name string) (manifest digest.Digest,
	config []byte, err error) {
	resolve := func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		var err error
		_, manifest, config, err = c.ResolveImageConfig(ctx, name,
			sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{}})
		return gateway.NewResult(), err
	}
	begin := time.Now()
	for pause := time.Second; ; pause *= 2 {
		_, err = question(ctx, d, "the configuration of "+name, d.patience.long,
			func(ctx context.Context, _ func()) (*bkclient.SolveResponse, error) {
				return b.client().Build(ctx, bkclient.SolveOpt{}, "", resolve, nil)
			})
		if err == nil || classifyEngine(err) != RegistryBusy || time.Since(begin)+pause > d.wait {
			return manifest, config, err
		}
		select {
		case <-ctx.Done():
			return manifest, config, cancelCause(ctx)
		// clients that were rejected together must not come back together
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

func fromOCI(config dockerspec.DockerOCIImage) engine.ImageConfig {
	c := engine.ImageConfig{
		Env: config.Config.Env, User: config.Config.User, WorkDir: config.Config.WorkingDir,
		Shell: config.Config.Shell, OnBuild: config.Config.OnBuild,
	}
	for _, layer := range config.RootFS.DiffIDs {
		c.Layers = append(c.Layers, layer.String())
	}
	return c
}

// importImage keeps the image on this machine, from where every build offers it to the daemon.
func (d *buildkitd) importImage(_ context.Context, ref string, tar io.Reader) error {
	if d.layout.Dir == "" {
		return errors.New("no directory is set that keeps images for a buildkitd")
	}
	return d.layout.put(ref, tar)
}
