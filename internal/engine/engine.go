// Package engine defines what a build engine, a Docker daemon or a buildkitd, is to the rest of the
// program: how it is reached, what it reports about itself, and what can be asked of it. It opens
// no connection; package buildkit does.
package engine

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// Engine is a build engine, or several that share the steps.
type Engine interface {
	// Build does one build and leaves its outputs in the existing, empty directory out.
	Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error
	// Await waits until the engine answers, for at most the given time.
	Await(ctx context.Context, wait time.Duration) error
	// Info asks the engine about itself.
	Info(ctx context.Context) (Info, error)
	// HasImage reports whether the engine can use the image ref, and returns the image's ID, which
	// is the same for the same image on every engine. A Docker engine never asks a registry for it;
	// a buildkitd must, for an image that was not imported.
	HasImage(ctx context.Context, ref string) (id string, ok bool, err error)
	// ImportImage makes the image ref from a tar of a root file system.
	ImportImage(ctx context.Context, ref string, rootfs io.Reader) error
	// LoadImage makes images from what docker save writes. A buildkitd cannot.
	LoadImage(ctx context.Context, archive io.Reader) error
	Close() error
}

// Dialer connects to the engine that the options name. Its errors are of type *Error.
type Dialer func(ctx context.Context, o Options) (Engine, error)

// Options describes how to reach the engine.
type Options struct {
	// Host is the address of a Docker engine: unix://, tcp:// or ssh://. Empty means DOCKER_HOST,
	// without it the current context of the docker command, and else its default socket.
	// DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION
	// count as for the docker command.
	Host string
	// BuildKit is the address of a buildkitd, which is used instead of a Docker engine: unix://,
	// tcp:// or ssh://.
	BuildKit string
	// BuildKitCerts is a directory with ca.pem, cert.pem and key.pem; with it, TLS is used to reach
	// a buildkitd on tcp://.
	BuildKitCerts string
	// Insecure permits tcp:// without TLS to another machine.
	Insecure bool
	// OCILayout is a directory that keeps imported images, as an OCI layout, for a buildkitd, which
	// has no image store of its own. It need not exist.
	OCILayout string
	// Timeout is how long the engine may take for its first answer; 0 means 3 s.
	Timeout time.Duration
	// Wait is how long to keep trying when nothing listens at the address, or nothing answers: an
	// engine may still be starting, or its machine may be busy. 0 means not to try again.
	Wait time.Duration
	// Waiting, if not nil, is called once when the waiting begins.
	Waiting func(host string, wait time.Duration)
	// Warn, if not nil, is called when one of several engines is lost or found again. It must be
	// safe for concurrent use.
	Warn func(text string)
	// Silence is how long the engine may give no sign of life before its builds are given up; 0
	// means 45 s.
	Silence time.Duration
	// Checkout tells one tree of packages from another on a shared engine. It never reaches a
	// build; it only names the engine's copy of the inputs, so that a later build of a step sends
	// only what changed.
	Checkout string
	// Layers names the places where engines share the layers of steps.
	Layers LayerCache
	// Limits bound what one step may take.
	Limits Limits
}

// Addresses returns the engines that the options name: addresses are separated by commas or spaces.
// It is empty for Docker's default socket.
func (o Options) Addresses() []string {
	text := cmp.Or(o.BuildKit, o.Host, os.Getenv("DOCKER_HOST"))
	if text == "" {
		c, _ := CurrentContext() // connecting reports the error
		text = c.Host
	}
	all := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	slices.Sort(all)
	return slices.Compact(all)
}

// LayerPlace is a repository of an OCI registry, by the address that the engine reaches it at.
type LayerPlace struct {
	Repository string // HOST[:PORT]/REPOSITORY
	Plain      bool   // HTTP without TLS
	Named      bool   // by the caller, and not only the tree: the engine may get credentials for it
}

// Host returns the registry of the place, with its port.
func (p LayerPlace) Host() string {
	host, _, _ := strings.Cut(p.Repository, "/")
	return host
}

// LayerCache names the places where engines share the layers of steps. The zero value names none.
type LayerCache struct {
	From []LayerPlace // asked in order
	To   LayerPlace   // Repository is empty for none
}

// Info describes an engine. A field that the engine does not report is zero.
type Info struct {
	Kind    string // "Docker engine" or "buildkitd"
	Host    string // its address
	Local   bool   // it certainly runs on this machine
	Version string // "20.10.24", "v0.33.1"
	API     string // "1.41"; Docker only
	Arch    string // "x86_64"; Docker only
	CPUs    int    // a buildkitd does not report it: this machine's count if the engine is Local
	Memory  int64  // bytes
	Driver  string // storage driver or snapshotter; "vfs" and "native" copy the SDK for every step
	RootDir string // where it keeps images and build cache, on its own machine; Docker only

	Nodes []NodeInfo // one for each engine, when there are several
}

// NodeInfo is one engine of several.
type NodeInfo struct {
	Info
	Err error // why it is not used; then only Host is known
}

// Error reports that the engine cannot be used, and what to do about it.
type Error struct {
	Kind string // "Docker engine" or "buildkitd"
	Host string
	Err  error
	Hint string // what to do
}

// Error returns the engine, the cause and the hint.
func (e *Error) Error() string {
	return fmt.Sprintf("cannot use the %s at %s: %s; %s", e.Kind, e.Host,
		safetext.Line(fmt.Sprint(e.Err)), e.Hint)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorKind returns errkind.Environment.
func (*Error) ErrorKind() errkind.Kind { return errkind.Environment }
