// connect: the engine, reached for the first step that has to be built and not before.

package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/buildkit"
	"buildsys/internal/doctor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// connection is an engine that is dialled when it is needed: a run in which nothing has to be built does without one.
// It is an executor.Builder. connect must have returned before Build is called.
type connection struct {
	sys *System
	c   config
	eng Engine // nil until connect

	remote *remote.Cache // where an SDK image that is missing may be; nil for nowhere
	sink   progress.Sink // is told of that
	images []string      // that steps start from besides the SDK

	keyedImages map[string]string // digests of those that keys were computed with

	keyed   string // digest of the SDK image that keys were computed with; "" before any was
	info    buildkit.Info
	checked bool   // the surroundings
	slot    func() // frees the build slot that was taken; nil when none was
}

// connect dials the engine and makes sure that it has the SDK image the run's keys were computed with.
func (n *connection) connect(ctx context.Context) (cpus int, err error) {
	if err := n.dial(ctx); err != nil {
		return 0, err
	}
	digest, err := n.sdkDigest(ctx)
	if err != nil {
		return 0, err
	}
	if n.c.recordedSDK() != digest {
		if err := n.c.recordSDK(digest); err != nil {
			return 0, environmentError{err}
		}
	}
	if n.keyed != "" && n.keyed != digest { // not by the record: another process may have put that right meanwhile
		return 0, errSDKChanged
	}
	if err := n.checkImages(ctx); err != nil {
		return 0, err
	}
	n.compareSDK(ctx, digest)
	n.info, err = n.eng.Info(ctx)
	return cmp.Or(n.info.CPUs, unknownCPUs), err
}

// dial connects to the engine unless that was done before.
func (n *connection) dial(ctx context.Context) (err error) {
	if n.eng == nil {
		o := n.c.engine
		o.Waiting = func(host string, wait time.Duration) {
			fmt.Fprintf(n.sys.Stderr, "waiting up to %v for the engine at %s\n", wait, host)
		}
		o.Warn = n.engineWarning
		n.eng, err = n.sys.Dial(ctx, o)
	}
	return err
}

// engineWarning tells of an engine of several that is lost or found, at any time and from any goroutine.
func (n *connection) engineWarning(text string) {
	fmt.Fprintf(n.sys.Stderr, "warning: %s\n", text)
}

// unknownCPUs is how many steps run at once on an engine that does not tell how many CPUs it has: a buildkitd elsewhere.
const unknownCPUs = 4

// errSDKChanged says that the engine's SDK image is not the one that keys were computed with. The record was put right.
var errSDKChanged = errors.New("the SDK image was replaced since the last run; run again")

// engineFacts is what the engine said, as the doctor reads it.
func engineFacts(i buildkit.Info) doctor.Engine {
	return doctor.Engine{
		Kind: i.Kind, Host: i.Host, Local: i.Local, Version: i.Version, API: i.API,
		CPUs: i.CPUs, Memory: i.Memory, Driver: i.Driver, RootDir: i.RootDir,
	}
}

// nodeFacts is the same of each engine of several.
func nodeFacts(i buildkit.Info) (nodes []doctor.Engine) {
	for _, n := range i.Nodes {
		e := engineFacts(n.Info)
		if e.Err = n.Err; e.Err != nil {
			e.Err = fmt.Errorf("%s: %w", n.Host, n.Err)
		}
		nodes = append(nodes, e)
	}
	return nodes
}

// comeback is how long an engine may be gone in the middle of a run: a daemon that is restarted takes seconds.
const comeback = time.Minute

// ready waits until the engine answers again.
func (n *connection) ready(ctx context.Context) error { return n.eng.Await(ctx, comeback) }

// Build implements executor.Builder.
func (n *connection) Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error {
	return n.eng.Build(ctx, s, out, report)
}

// Close ends the connection, if there is one.
func (n *connection) Close() error {
	if n.slot != nil {
		n.slot()
		n.slot = nil
	}
	if n.eng == nil {
		return nil
	}
	return n.eng.Close()
}

// sdkDigest asks the engine for the digest of the SDK image.
func (n *connection) sdkDigest(ctx context.Context) (string, error) {
	image := n.c.sdkImage
	if image == "" {
		return "", usageError{errors.New("this tree does not say in which image its steps run: name it with BUILDSYS_SDK_IMAGE or --sdk-image")}
	}
	digest, there, err := n.eng.HasImage(ctx, image)
	switch {
	case err != nil:
		return "", err
	case there:
		return digest, nil
	}
	if digest, there, err = n.fetchSDK(ctx); err != nil || there {
		return digest, err
	}
	switch {
	case strings.HasPrefix(image, plan.ContextPrefix):
		return "", environmentError{fmt.Errorf("the SDK image %s is not on the engine: run script/setup, which makes it from sdk/, "+
			"or name another image with --sdk-image", image)}
	case n.c.engine.BuildKit != "":
		return "", environmentError{fmt.Errorf("buildkitd cannot find the SDK image %s in its registry, and it was not imported "+
			"(buildsys sdk import)", image)}
	default:
		return "", environmentError{fmt.Errorf("the SDK image %s is not on the engine: pull it first (docker pull %[1]s)", image)}
	}
}

// recordedSDK is the digest that the SDK image had when an engine was last asked; "" when none was.
func (c config) recordedSDK() string { return c.recordedImage(c.sdkImage) }

func (c config) recordSDK(digest string) error { return c.recordImage(c.sdkImage, digest) }

// recordedImage is recordedSDK for any image.
func (c config) recordedImage(ref string) string {
	data, err := os.ReadFile(c.imageRecord(ref))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (c config) recordImage(ref, digest string) error {
	file := c.imageRecord(ref)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return replaceFile(file, []byte(digest+"\n"))
}

func (c config) imageRecord(ref string) string {
	return filepath.Join(c.cacheDir, "sdk", fmt.Sprintf("%x", sha256.Sum256([]byte(ref)))[:16])
}

// replaceFile writes a file so that readers see it whole or not at all.
func replaceFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // of no effect once it was renamed
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
