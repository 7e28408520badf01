// gitcrates: the packages that a Cargo.lock names in repositories of git, each at a commit.

package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/network"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// gitSetting is the environment variable with the places of repositories, in the form of GOPROXY:
// each has HOST/PATH of every repository.
const gitSetting = "BUILDSYS_GIT_PROXY"

// maxPack bounds what a server may send of one commit.
const maxPack = 1 << 30

// gitFloor is the least rate of a server. Before it sends, it may have to look for what it sends.
var gitFloor = network.Floor{Bytes: 64 << 10, Window: network.DefaultFloor.Window * 6}

// GitCratePath returns the directory with the files of a crate that FetchGitCrates fills.
func (s *Store) GitCratePath(c crates.GitCrate) string {
	return filepath.Join(s.Crates, "git", "unpacked", c.From.Commit, c.String())
}

// FetchGitCrates fetches the commits of repositories that have crates, each held to its ID, and
// makes the directories of the crates. of is the file that names them. The error is a *GitError, a
// *StoreError, about the contents of a repository, or the context's.
func (s *Store) FetchGitCrates(ctx context.Context, step, of string, list []crates.GitCrate) error {
	var todo []*pinned
	byCommit := map[string][]crates.GitCrate{}
	for _, c := range list {
		at := c.From
		first := byCommit[at.Commit] == nil
		byCommit[at.Commit] = append(byCommit[at.Commit], c)
		if !first {
			continue
		}
		todo = append(todo, &pinned{
			title: at.String() + " at " + at.Commit, name: at.Commit, root: s.Crates,
			kept:    filepath.Join(s.Crates, "git", "commits", at.Commit),
			setting: gitSetting, proxies: func() string { return cmp.Or(s.Proxies.Git, "direct") },
			check: func(ctx context.Context, path string) error {
				return inRepo(ctx, path, at, func(*crates.Repo) error { return nil })
			},
			load: func(ctx context.Context, from proxy, p *part) error {
				return s.loadCommit(ctx, at, from, p)
			},
			failed: func(tried []Attempt, bad bool) error {
				return &GitError{From: at, Of: of, Bad: bad, Tried: tried}
			},
		})
	}
	return s.fetchPinned(ctx, step, "repositories of "+of, todo, func(p *pinned) error {
		return inRepo(ctx, p.kept, crates.Git{Commit: p.name}, func(r *crates.Repo) error {
			var errs []error
			for _, c := range byCommit[p.name] {
				errs = append(errs, s.unpackGit(ctx, p, c, r))
			}
			return errors.Join(errs...)
		})
	})
}

// inRepo calls do with the repository in a kept file.
func inRepo(ctx context.Context, file string, at crates.Git, do func(*crates.Repo) error) error {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, err := crates.OpenRepo(ctx, f, info.Size(), at.Commit)
	if err != nil {
		return err
	}
	return do(r)
}

// unpackGit makes the directory of a crate, unless it is there as it must be.
func (s *Store) unpackGit(ctx context.Context, p *pinned, c crates.GitCrate, r *crates.Repo) error {
	dir := s.GitCratePath(c)
	check := func() error {
		return inDir(dir, func(root *os.Root) error { return c.Check(ctx, r, root) })
	}
	return s.renew(ctx, p, c.String(), dir, check, func(made string) error {
		return inDir(made, func(root *os.Root) error {
			left, err := c.Unpack(ctx, r, root)
			if len(left) > 0 && err == nil {
				p.job.emit(progress.Warning, fmt.Sprintf("%s of %s is used without its symbolic links "+
					"that lead out of the repository or to nothing: %s", c, c.From, someOf(left)), nil)
			}
			return err
		})
	})
}

// maxTold bounds the names in a message.
const maxTold = 5

func someOf(names []string) string {
	var told []string
	for i, name := range names {
		if i == maxTold {
			told = append(told, fmt.Sprintf("and %d more", len(names)-maxTold))
			break
		}
		told = append(told, safetext.Line(name))
	}
	return strings.Join(told, ", ")
}

func inDir(dir string, do func(*os.Root) error) error {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return do(root)
}

// loadCommit brings the objects of a commit from a place into p.
func (s *Store) loadCommit(ctx context.Context, at crates.Git, from proxy, p *part) error {
	limit := orDefault(s.tuned.maxTime, maxTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not complete after %v", limit))
	defer cancel()
	if from.base == "direct" {
		if !strings.HasPrefix(at.URL, "https://") {
			return errors.New("buildsys asks servers over https only")
		}
		return s.loadObjects(ctx, at, gitPlace{git.Remote{URL: at.URL}, reach(s.Private)}, p)
	}
	u, err := from.parsed()
	if err != nil {
		return err
	}
	err = errNotThere
	for _, name := range mirrorNames(at) {
		to := u.JoinPath(name)
		if to.Scheme == "file" {
			if _, e := os.Stat(to.Path); errors.Is(e, fs.ErrNotExist) {
				continue
			}
		}
		err = s.loadObjects(ctx, at, gitPlace{git.Remote{URL: to.String()}, network.Anywhere}, p)
		if !errors.Is(err, git.ErrNotThere) {
			break
		}
	}
	return err
}

// mirrorNames returns the names that a repository may have below a mirror.
func mirrorNames(at crates.Git) []string {
	name := path.Join(at.Host(), at.Path())
	if short, has := strings.CutSuffix(name, ".git"); has {
		return []string{name, short}
	}
	return []string{name, name + ".git"}
}

// gitPlace is a repository and where it may be on the network.
type gitPlace struct {
	remote git.Remote
	reach  network.Reach
}

// loadObjects brings the objects of a commit from a repository into p. It makes at most maxAttempts
// attempts.
func (s *Store) loadObjects(ctx context.Context, at crates.Git, from gitPlace, p *part) error {
	for n := 1; ; n++ {
		err := s.tryObjects(ctx, at, from, p)
		wait, again := s.retryIn(err, n)
		if err == nil || !again || ctx.Err() != nil || isStoreError(err) {
			return err
		}
		s.emit(progress.Event{Kind: progress.FetchRetry, Err: err, Text: fmt.Sprintf("%s from %s: "+
			"attempt %d of %d failed, next in %s", at, safetext.Place(from.remote.URL), n, maxAttempts,
			wait.Round(100*time.Millisecond))})
		if err := s.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// tryObjects is one attempt.
func (s *Store) tryObjects(ctx context.Context, at crates.Git, from gitPlace, p *part) error {
	if err := p.reset(); err != nil {
		return err
	}
	work := filepath.Join(s.Crates, "git")
	if err := mkdirAll(work); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(work, ".new-")
	if err != nil {
		return storeError("create", work, err)
	}
	defer os.RemoveAll(dir)
	way, err := from.connect(ctx)
	if err != nil {
		return err
	}
	defer way.end()
	err = git.FetchObjects(way.ctx, dir, way.remote, at.Commit,
		&limited{w: p, left: crates.MaxObjects})
	return way.explain(err)
}

// gitWay is how git gets at a repository.
type gitWay struct {
	ctx    context.Context // ends when it must not go on
	remote git.Remote
	end    func()
	hidden bool // nothing of what the server says may be shown
}

func (g gitPlace) connect(ctx context.Context) (gitWay, error) {
	way := gitWay{ctx: ctx, remote: g.remote, end: func() {}}
	way.remote.MaxBytes = maxPack
	if strings.HasPrefix(way.remote.URL, "file:") {
		return way, nil
	}
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return way, err
		}
		way.remote.Authority = absolute
	}
	proxy, err := network.ProxyFor(way.remote.URL, g.reach)
	if err != nil {
		return way, err
	}
	if proxy != nil { // which would follow redirects to where nobody looks
		way.remote.Proxy, way.hidden = proxy.String(), g.reach == network.PublicOnly
		return way, nil
	}
	gate, err := network.OpenGate(ctx, way.remote.URL, g.reach, gitFloor, maxPack)
	if err != nil {
		return way, err
	}
	way.remote.Proxy, way.remote.Redirects = gate.URL(), true
	way.ctx, way.end = gate.Context(), gate.Close
	return way, nil
}

// passing is what git says of what may be gone in a moment.
var passing = regexp.MustCompile(`early EOF|unexpected disconnect|hung up unexpectedly|RPC failed|` +
	`returned error: (408|429|5\d\d)|timed out|reset by peer|unexpectedly closed`)

// passingError is such a failure.
type passingError struct{ error }

// Timeout makes it one in the sense of net.Error.
func (passingError) Timeout() bool { return true }

func (e passingError) Unwrap() error { return e.error }

// explain adds what to do to the error of a fetch, and leaves out what a server that may
// not be a public one has answered.
func (w gitWay) explain(err error) error {
	switch {
	case err == nil || w.ctx.Err() != nil || isStoreError(err):
		return err
	case strings.Contains(err.Error(), "certificate"):
		err = fmt.Errorf("%w; %s", err, network.TrustHint)
	}
	text := err.Error()
	if w.hidden {
		err = errHidden
	}
	if passing.MatchString(text) {
		err = passingError{err}
	}
	return err
}

// errHidden stands for what git says.
var errHidden = errors.New("git has failed (why is not shown: a proxy asked, so the server may " +
	"not be a public one, and the tree names it)")

// limited is a writer that takes so many bytes.
type limited struct {
	w    *part
	left int64
}

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= int64(len(b)); l.left < 0 {
		return 0, tooLarge(crates.MaxObjects+1, crates.MaxObjects)
	}
	return l.w.Write(b)
}

// GitError reports that no place has a commit that a Cargo.lock names.
type GitError struct {
	From  crates.Git
	Of    string // the file that names it
	Bad   bool   // a place has other bytes
	Tried []Attempt
}

// Error names every place that was asked.
func (e *GitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s of %s, which %s names, could not be fetched", e.From.Commit, e.From,
		e.Of)
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %v", t.Place, t.Err)
	}
	b.WriteString("\n  set " + gitSetting + " to places that have the repository at " +
		safetext.Line(path.Join(e.From.Host(), e.From.Path())) +
		", as in https://git.example.com or file:///a/directory, or put all crates into " +
		".cargo/vendor with cargo vendor")
	return b.String()
}

// ErrorKind returns errkind.Integrity if a place has other bytes, and errkind.Environment
// otherwise.
func (e *GitError) ErrorKind() errkind.Kind {
	if e.Bad {
		return errkind.Integrity
	}
	return errkind.Environment
}
