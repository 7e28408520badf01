// Package build takes a tree and a request to outputs in place: a session loads the tree, plans,
// runs the steps, verifies and packs. It also answers what a build would do. A session has a
// Config, a way to reach an engine, and an Output. Package executor runs the steps; package cli has
// the flags, the printing and the exit statuses.
package build

import (
	"context"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cachedir"
	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/fetch"
	"buildsys/internal/history"
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
	Strictness workspace.Strictness // of reading its manifests
	Arch       string               // "x86_64" or "aarch64"
	Variant    string               // of images and variant-sensitive packages; may be empty
	Jobs       int                  // steps at once; 0 means the number of the engine's CPUs
	StepTime   time.Duration        // of one attempt of a step; 0 for no limit
	CacheConfig
	Trusted bool // the tree may set everything
	Engine  engine.Options
	SDK     SDKConfig
	Image   ImageConfig
	Sources SourcesConfig
	Remote  RemoteConfig

	RequireCached bool // fail if a step would have to be built
	Sign          SignConfig
}

// CacheConfig is what outlives checkouts.
type CacheConfig struct {
	CacheDir cachedir.Dir // its directory; absolute
	Shared   bool         // other users may write to CacheDir, and are trusted
	// Apart is a directory for the results of this session in place of that in CacheDir: nothing that
	// was built before stands for them, and the engine runs every step again. It is empty if results
	// are kept as usual.
	Apart   string
	Objects ObjectsConfig
}

// ObjectsConfig is the use of what compilers made in earlier steps. The zero value is none.
type ObjectsConfig struct {
	Use      bool
	ReadOnly bool // keep no new ones
	Audit    int  // the share of known ones, in percent, that is compiled again and compared
}

// SDKConfig is the images that steps start from.
type SDKConfig struct {
	Image string // empty if unknown, as in a foreign tree that names none
	// Toolchain is the toolchain image of a tree with its own Dockerfile, without the architecture.
	Toolchain string
	// StandsFor is the image that the recipe names, if Image was made in its place of packages that
	// its lock does not name.
	StandsFor string
	// Host is the machine of the engine, by the name that Debian and Go have for it.
	Host string
	// Mirrors are where Debian's archives are, side by side; none for those that apt on this machine
	// uses. Snapshot is the service with those of any time; empty for none.
	Mirrors  []string
	Snapshot string
}

// ImageConfig is what settings determine of the images of variants.
type ImageConfig struct {
	Name       string        // of the OS, in file names
	PrettyName string        // for people
	Version    string        // empty: from Release.toml
	BuildID    string        // empty: the git commit
	KeysDir    confined.Path // of the Secure Boot keys; need not exist
	CACerts    confined.Path // file with certificates; zero: those of the packages
	RootJSON   confined.Path // file with root metadata; zero: that of the packages
	// Repo is the update repository of a tree with its own Dockerfile.
	Repo string
}

// SourcesConfig is where sources come from.
type SourcesConfig struct {
	Lookaside []string      // directories and URLs
	Upstream  bool          // ask upstream if no lookaside cache has a source
	GoProxy   string        // GOPROXY; empty: that of the go command
	Proxies   fetch.Proxies // where crates come from
	// Private allows the URLs in manifests to lead to addresses that are not public: the caller
	// trusts the tree. PrivateLookaside allows it for Lookaside: the caller named it.
	Private, PrivateLookaside bool
}

// RemoteConfig is the remote caches.
type RemoteConfig struct {
	From []remote.Location
	To   remote.Location // zero if none
	// Release uses no results that were not built on this machine, including those from earlier runs.
	Release bool
}

// WithVariant returns the configuration with another variant.
func (c Config) WithVariant(name string) Config {
	c.Variant = name
	return c
}

// WithArch returns the configuration with another architecture.
func (c Config) WithArch(arch string) Config {
	c.Arch = arch
	return c
}

// Output shows people what a session does. Its methods are called from any goroutine.
type Output interface {
	progress.Sink
	// Notice shows a line about the session itself: "waiting: another run is working …".
	Notice(text string)
	// Report shows how a run of steps ended.
	Report(progress.Summary) error
}

// silent is an Output for questions of which only the answer matters.
type silent struct{}

func (silent) Event(progress.Event)          {}
func (silent) Notice(string)                 {}
func (silent) Report(progress.Summary) error { return nil }

// ShownError is an error that Output.Report has shown in full.
type ShownError struct{ Err error }

// Error returns the text of the error.
func (e ShownError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e ShownError) Unwrap() error { return e.Err }

// Surroundings is what a session needs of the outside world.
type Surroundings struct {
	Dial   engine.Dialer
	Output Output
	// Command is the command line, for the records of runs.
	Command []string
	// Program is the version of this program, for provenance.
	Program string
	// Ended is called with each run that has ended and is kept; nil if nobody wants to know. Its error
	// is a warning.
	Ended func(context.Context, history.Run) error
	// Unread leaves outputs unread. Fake engines make none that could be read.
	Unread bool
}

// Session builds what is requested of one tree, and answers questions about it.
type Session struct {
	c    Config
	dir  builddir.Dir
	out  Output
	dial engine.Dialer
	read bool // check images and RPMs before they are kept

	command []string
	program string
	ended   func(context.Context, history.Run) error
}

// New returns a session.
func New(c Config, s Surroundings) *Session {
	return Session{out: s.Output, dial: s.Dial, read: !s.Unread, command: s.Command,
		program: s.Program, ended: s.Ended}.with(c)
}

// with returns the session with another configuration.
func (s Session) with(c Config) *Session {
	s.c, s.dir = c, builddir.In(c.Root, c.Arch)
	return &s
}

// warn shows a warning.
func (s *Session) warn(text string) {
	s.out.Event(progress.Event{Kind: progress.Warning, Text: text})
}

// waitingFor returns a function that shows which run the session waits for.
func (s *Session) waitingFor(what string) func(holder string) {
	return func(holder string) {
		s.out.Notice("waiting: another run is " + what + " (" + holder + ")")
	}
}

// images returns the images of a plan's steps. Plans of our own recipe have only the SDK.
func (s *Session) images(p plan.Plan, caches *remote.Cache, sink progress.Sink) sdk.Images {
	return sdk.Images{
		SDK:       s.c.SDK.Image,
		Others:    p.Images(),
		Toolchain: s.c.SDK.Toolchain,
		BuildKit:  s.c.Engine.BuildKit != "",
		Records:   sdk.RecordsIn(s.c.CacheDir.SDK(), s.c.Engine.Addresses()...),
		Lock:      s.lockDigest(),
		Strict:    s.c.Remote.Release,
		StandsFor: s.c.SDK.StandsFor,
		Remote:    caches,
		Trusts:    s.trusts(),
		Tell: func(kind progress.Kind, text string) {
			sink.Event(progress.Event{Kind: kind, Text: text})
		},
	}
}

// sources returns the store of sources.
func (s *Session) sources(report progress.Sink) *fetch.Store {
	return &fetch.Store{
		Dir:       s.c.CacheDir.Sources(),
		Modules:   s.c.CacheDir.GoModules(),
		GoProxy:   s.moduleProxy,
		Crates:    s.c.CacheDir.Crates(),
		Lookaside: s.c.Sources.Lookaside,
		Upstream:  s.c.Sources.Upstream,
		Report:    report,

		Private:          s.c.Sources.Private,
		PrivateLookaside: s.c.Sources.PrivateLookaside,
		Proxies:          s.c.Sources.Proxies,
	}
}

func (s *Session) made() kit.Made { return kit.Made{Dir: s.c.CacheDir.MadeKits()} }

func (s *Session) kits() kit.Store { return kit.Store{Dir: s.c.CacheDir.Kits()} }
