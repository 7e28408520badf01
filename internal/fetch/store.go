// Package fetch brings external files, named by their sha512, into a content-addressed source store
// outside the checkout. It trusts no bytes from a cache, a server or the store itself before it has
// hashed them. Package build calls it for the sources of steps; gomod reads the go.sum of archives.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/manifest"
	"buildsys/internal/network"
	"buildsys/internal/progress"
)

const (
	defaultJobs     = 8
	defaultMaxBytes = 4 << 30
	defaultIdle     = 30 * time.Second
)

// userAgent is the name that servers see.
const userAgent = "buildsys"

// Store is a directory of verified source files and the places that they may come from. The zero
// value of every field but Dir is usable. A Store is safe for concurrent use, and so are several
// Stores (or processes) on one Dir. Do not copy it after first use.
type Store struct {
	Dir     string // root; a file is at <name>/<sha512>/<name> below it
	Modules string // root of what FetchModules keeps
	Crates  string // root of what FetchCrates keeps
	// Proxies is where crates come from.
	Proxies Proxies
	// GoProxy returns where Go modules come from, in the form of the environment variable GOPROXY; nil
	// means nowhere.
	GoProxy   func() string
	Lookaside []string      // directories or http(s)/file URLs in the form of Dir, asked in this order
	Upstream  bool          // ask a file's own URL if no lookaside cache has it
	Report    progress.Sink // may be nil
	// Private allows the URLs of manifests to lead to addresses that are not public: the caller
	// trusts the tree. PrivateLookaside allows it for Lookaside: the caller named it.
	Private, PrivateLookaside bool

	tuned tuning
	once  sync.Once
	slots chan struct{}

	onceHTTP sync.Once
	http     map[network.Reach]http.RoundTripper
}

// Proxies is where crates come from, in the form of GOPROXY.
type Proxies struct {
	Crates string // those of the public registry; "" for the registry itself
	Git    string // repositories of git, each at HOST/PATH; "" for their own servers
}

// tuning is what tests change. The zero value is the default.
type tuning struct {
	jobs     int              // most files worked on at once, over all calls of Fetch; 0: 8
	maxBytes int64            // largest file that is accepted, in bytes; 0: 4 GiB
	idle     time.Duration    // longest wait for the next byte; 0: 30 s
	watch    watchdog         // nil: a timer of idle
	maxTime  time.Duration    // longest time for a file from one place; 0: 2 h
	floor    network.Floor    // least rate; zero: network.DefaultFloor
	now      func() time.Time // nil: time.Now
	// sleep waits before another attempt; nil: really waits.
	sleep func(ctx context.Context, d time.Duration) error
}

// Path returns where f is after a successful Fetch: <Dir>/<name>/<sha512>/<name>.
func (s *Store) Path(f manifest.ExternalFile) string {
	return filepath.Join(s.Dir, f.Name(), f.SHA512, f.Name())
}

// Size returns the size of f in bytes, if it is in the store or in a lookaside cache that is a
// directory, and otherwise 0. The file is not read.
func (s *Store) Size(f manifest.ExternalFile) int64 {
	j := &job{s: s, file: f, name: f.Name()}
	for _, pl := range append([]place{{path: s.Path(f)}}, j.lookasides()...) {
		if st, err := os.Lstat(pl.path); err == nil && st.Mode().IsRegular() {
			return st.Size()
		}
	}
	return 0
}

// Fetch makes every file present in the store and verified. Events are for step ("package/bash").
// It hashes existing files again; a damaged one is moved aside and fetched again. The error joins
// those of all files, each an *IntegrityError (only wrong bytes exist), a *MissingError (no place
// has it), a *StoreError (the store's disk) or the context's error.
func (s *Store) Fetch(ctx context.Context, step string, files []manifest.ExternalFile) error {
	s.once.Do(func() { s.slots = make(chan struct{}, orDefault(s.tuned.jobs, defaultJobs)) })
	errs := make([]error, len(files))
	// No shared context: one missing file must not hide what is wrong with the others.
	var g errgroup.Group
	g.SetLimit(cap(s.slots))
	for i, f := range files {
		g.Go(func() error {
			select {
			case s.slots <- struct{}{}:
				defer func() { <-s.slots }()
			case <-ctx.Done():
				return nil
			}
			errs[i] = s.ensure(ctx, step, f)
			return nil
		})
	}
	_ = g.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("fetch sources of %s: %w", step, context.Cause(ctx))
	}
	return errors.Join(errs...)
}

// ensure makes one file present and verified.
func (s *Store) ensure(ctx context.Context, step string, f manifest.ExternalFile) error {
	j := &job{s: s, step: step, file: f, name: f.Name(), final: s.Path(f), where: origin(step, f)}
	if err := j.checkNames(); err != nil {
		return err
	}
	told := false
	waiting := func() {
		if !told {
			j.emit(progress.FetchProgress, j.name+": waiting for another download of the same file", nil)
		}
		told = true
	}
	for {
		// Without the lock first: the common case is a good entry, and readers need not wait for each
		// other.
		if st, err := j.inspect(ctx); err != nil || st == entryGood {
			return err
		}
		p, err := openPart(ctx, j.final, waiting)
		if errors.Is(err, errGone) {
			continue // its owner is done, so most likely the entry exists now
		}
		if err != nil {
			return err
		}
		err = j.obtain(ctx, p)
		p.release(err)
		return err
	}
}

// job is the work on one file.
type job struct {
	s     *Store
	step  string
	file  manifest.ExternalFile
	name  string
	final string // where the file will be
	where string // the manifest line, for messages
	max   int64  // bytes that it may have; 0: those of any file
}

// checkNames refuses names that could lead out of the store. The check of manifests has better
// messages; this one guards callers without it.
func (j *job) checkNames() error {
	n := j.name
	if n == "" || n == "." || n == ".." || strings.ContainsAny(n, "/\\\x00") {
		return fmt.Errorf("source of %s: %q is not a file name; set `path` to a plain one", j.where, n)
	}
	if len(j.file.SHA512) != 128 || strings.Trim(j.file.SHA512, "0123456789abcdef") != "" {
		return fmt.Errorf("source %s of %s: sha512 %q is not 128 lower-case hex digits", n, j.where,
			j.file.SHA512)
	}
	return nil
}

// obtain fills the locked part p from the first place that has the right bytes, and moves it to its
// final name.
func (j *job) obtain(ctx context.Context, p *part) error {
	// The previous holder of the lock may have done the work, and only the holder may move a bad
	// entry.
	st, err := j.inspect(ctx)
	if err != nil || st == entryGood {
		return err
	}
	if st == entryBad {
		if err := j.quarantine(); err != nil {
			return err
		}
	}
	start := j.s.now()
	j.emit(progress.FetchStart, j.name, nil)
	from, tried, err := j.try(ctx, p)
	if err != nil {
		return err
	}
	if err := p.commit(j.final, j.s.Dir); err != nil {
		return err
	}
	for _, t := range tried {
		if t.bad() {
			j.emit(progress.Warning, t.warning(j, from, p.size), nil)
		}
	}
	j.s.emit(progress.Event{Kind: progress.FetchDone, Step: j.step, Text: j.name,
		Bytes: p.size, Size: p.size, Duration: j.s.now().Sub(start)})
	return nil
}

// try asks each place in turn. It returns the place whose bytes are right, and now in p, and what
// was wrong with the places before it.
func (j *job) try(ctx context.Context, p *part) (from string, tried []Attempt, err error) {
	for _, pl := range j.places() {
		sum, err := pl.load(ctx, j, p)
		switch {
		case err == nil && sum == j.file.SHA512:
			return pl.label, tried, nil
		case ctx.Err() != nil:
			return "", nil, fmt.Errorf("fetch %s: %w", j.name, context.Cause(ctx))
		case isStoreError(err):
			return "", nil, err
		case err != nil:
			tried = append(tried, Attempt{Place: pl.label, Err: err})
		default:
			tried = append(tried, p.wrong(ctx, pl, sum))
			if err := p.reset(); err != nil {
				return "", nil, err
			}
			if ctx.Err() != nil { // it ended while the bytes were looked at
				return "", nil, fmt.Errorf("fetch %s: %w", j.name, context.Cause(ctx))
			}
		}
	}
	for _, t := range tried {
		if t.bad() {
			return "", nil, &IntegrityError{Name: j.name, Where: j.where, Want: j.file.SHA512, Tried: tried}
		}
	}
	return "", nil, j.missing(tried)
}

func (j *job) emit(k progress.Kind, text string, err error) {
	j.s.emit(progress.Event{Kind: k, Step: j.step, Text: text, Err: err})
}

func (s *Store) emit(e progress.Event) {
	if s.Report == nil {
		return
	}
	e.Time = s.now()
	s.Report.Event(e)
}

func (s *Store) floor() network.Floor { return cmp.Or(s.tuned.floor, network.DefaultFloor) }

func (s *Store) now() time.Time {
	if s.tuned.now != nil {
		return s.tuned.now()
	}
	return time.Now()
}

// origin returns where f is declared: "packages/bash/Cargo.toml:12". A package's directory has its
// name.
func origin(step string, f manifest.ExternalFile) string {
	kind, pkg, _ := strings.Cut(step, "/")
	if (kind != "package" && kind != "modules") || f.Line == 0 {
		return step
	}
	return fmt.Sprintf("packages/%s/Cargo.toml:%d", pkg, f.Line)
}

func orDefault[T int | int64 | time.Duration](v, d T) T {
	if v > 0 {
		return v
	}
	return d
}

// mkdirAll is os.MkdirAll with a *StoreError. Another download that has failed may just remove the
// directory above (part.release), so it is tried again.
func mkdirAll(dir string) error {
	err := os.MkdirAll(dir, 0o755)
	for n := 0; errors.Is(err, fs.ErrNotExist) && n < 100; n++ {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return storeError("create", dir, err)
	}
	return nil
}
