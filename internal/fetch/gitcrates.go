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
	"strings"

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

// loadObjects brings the objects of a commit from a repository into p.
func (s *Store) loadObjects(ctx context.Context, at crates.Git, from gitPlace, p *part) error {
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
	ctx, remote, end, err := from.connect(ctx)
	if err != nil {
		return err
	}
	defer end()
	err = git.FetchObjects(ctx, dir, remote, at.Commit, &limited{w: p, left: crates.MaxObjects})
	return err
}

// connect returns how git gets at a repository, and a context that ends when it must not go on.
func (g gitPlace) connect(ctx context.Context) (context.Context, git.Remote, func(), error) {
	remote := g.remote
	remote.MaxBytes, remote.Authority = maxPack, os.Getenv("SSL_CERT_FILE")
	if strings.HasPrefix(remote.URL, "file:") {
		return ctx, remote, func() {}, nil
	}
	proxy, err := network.ProxyFor(remote.URL, g.reach)
	if err != nil {
		return ctx, remote, nil, err
	}
	if proxy != nil { // which would follow redirects to where nobody looks
		remote.Proxy = proxy.String()
		return ctx, remote, func() {}, nil
	}
	gate, err := network.OpenGate(ctx, remote.URL, g.reach, gitFloor, maxPack)
	if err != nil {
		return ctx, remote, nil, err
	}
	remote.Proxy, remote.Redirects = gate.URL(), true
	return gate.Context(), remote, gate.Close, nil
}

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
