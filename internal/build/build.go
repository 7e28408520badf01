// Package build takes a tree and a request to outputs in place: a session loads the tree, plans,
// has the steps run, verifies and packs. It also answers what a build would do.
//
// A session is made of what does not change: a Config, a way to reach an engine, an Output. The
// steps are run by package executor; flags, printing and exit statuses are those of package cli.
package build

import (
	"path/filepath"

	"buildsys/internal/builddir"
	"buildsys/internal/engine"
	"buildsys/internal/fetch"
	"buildsys/internal/kit"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
	"buildsys/internal/sdk"
	"buildsys/internal/workspace"
)

// Config is what a session works with: every setting, resolved and checked.
type Config struct {
	Root       string               // of the tree; absolute
	Strictness workspace.Strictness // in reading its manifests
	Arch       string               // "x86_64" or "aarch64"
	Variant    string               // that images are of and packages are built for; may be empty
	Jobs       int                  // steps at once; 0 means the engine's CPUs
	CacheDir   string               // for what outlives a checkout; absolute
	Engine     engine.Options
	SDK        SDKConfig
	Image      ImageConfig
	Sources    SourcesConfig
	Remote     RemoteConfig

	RequireCached bool // fail where a step would have to be built
}

// SDKConfig names the images that steps start from.
type SDKConfig struct {
	Image string // empty: not known, in a foreign tree that does not say it in so many words
	// Toolchain is that of trees with a Dockerfile of their own, without the architecture.
	Toolchain string
}

// ImageConfig is what the images of variants get from settings.
type ImageConfig struct {
	Name       string // of the OS, for files
	PrettyName string // for people
	Version    string // empty: that of Release.toml
	BuildID    string // empty: the git commit
	KeysDir    string // of the Secure Boot keys; need not exist
	CACerts    string // file with certificates; empty: those of the packages
	RootJSON   string // file with root metadata; empty: that of the packages
	// Repo is the update repository of trees with a Dockerfile of their own.
	Repo string
}

// SourcesConfig names the places of sources.
type SourcesConfig struct {
	Lookaside []string // directories and URLs
	Upstream  bool     // ask upstream for what no lookaside cache has
	GoProxy   string   // GOPROXY; empty: what the go command says
}

// RemoteConfig names the caches that machines share.
type RemoteConfig struct {
	From []remote.Location
	To   remote.Location // zero for none
	// Release takes nothing that was not built on this machine, also not from earlier runs.
	Release bool
}

// WithVariant returns the configuration for another variant.
func (c Config) WithVariant(name string) Config {
	c.Variant = name
	return c
}

// Output is where a session tells people what happens. Its methods are called from any goroutine.
type Output interface {
	progress.Sink
	// Notice is told of the session itself, in a line: "waiting: another run is working …".
	Notice(text string)
	// Report is told how a run of steps ended.
	Report(progress.Summary) error
}

// silent is an Output for questions whose answer is all that matters.
type silent struct{}

func (silent) Event(progress.Event)          {}
func (silent) Notice(string)                 {}
func (silent) Report(progress.Summary) error { return nil }

// ShownError is an error that Output.Report has shown in full.
type ShownError struct{ Err error }

// Error is the text of the error.
func (e ShownError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e ShownError) Unwrap() error { return e.Err }

// Surroundings are what of the outside world a session needs.
type Surroundings struct {
	Dial   engine.Dialer
	Output Output
	// Unread leaves outputs unread: engines of tests make none that could be read.
	Unread bool
}

// Session builds what is requested of one tree, and answers questions about it.
type Session struct {
	c    Config
	dir  builddir.Dir
	out  Output
	dial engine.Dialer
	read bool // look into images and RPMs before they are kept
}

// New returns a session.
func New(c Config, s Surroundings) *Session {
	dir := builddir.Dir{Root: filepath.Join(c.Root, "build"), Arch: c.Arch}
	return &Session{c: c, dir: dir, out: s.Output, dial: s.Dial, read: !s.Unread}
}

// warn shows a warning.
func (s *Session) warn(text string) {
	s.out.Event(progress.Event{Kind: progress.Warning, Text: text})
}

// waitingFor returns a function that shows who is waited for.
func (s *Session) waitingFor(what string) func(holder string) {
	return func(holder string) {
		s.out.Notice("waiting: another run is " + what + " (" + holder +
			")")
	}
}

// images returns the images of a plan's steps. Those of trees with our recipe have the SDK alone.
func (s *Session) images(p plan.Plan, caches *remote.Cache, sink progress.Sink) sdk.Images {
	return sdk.Images{
		SDK:       s.c.SDK.Image,
		Others:    p.Images(),
		Toolchain: s.c.SDK.Toolchain,
		BuildKit:  s.c.Engine.BuildKit != "",
		Records:   sdk.RecordsIn(s.c.CacheDir),
		Remote:    caches,
		Tell: func(kind progress.Kind, text string) {
			sink.Event(progress.Event{Kind: kind, Text: text})
		},
	}
}

// sources returns the store of sources.
func (s *Session) sources(report progress.Sink) *fetch.Store {
	return &fetch.Store{
		Dir:       filepath.Join(s.c.CacheDir, "sources"),
		Modules:   filepath.Join(s.c.CacheDir, "go-modules"),
		GoProxy:   s.moduleProxy,
		Lookaside: s.c.Sources.Lookaside,
		Upstream:  s.c.Sources.Upstream,
		Report:    report,
	}
}

func (s *Session) kits() kit.Store { return kit.Store{Dir: filepath.Join(s.c.CacheDir, "kits")} }
