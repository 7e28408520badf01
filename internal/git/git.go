// Package git asks the git program about the checkout that holds a tree, and lets it fetch commits
// of repositories elsewhere. What a checkout or a server says is not trusted: git runs nothing that
// its configuration or its files name, and looks at no other repository.
package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/confined"
	"buildsys/internal/safetext"
)

// ErrNone means that there is no commit to tell: no git, no checkout around the tree, or one in
// which nothing was committed yet.
var ErrNone = errors.New("no commit")

// line makes one line of a name or a text.
func line(text string) string { return safetext.Line(strings.TrimSpace(text)) }

// timeout ends a git that waits for ever, for instance to read a FIFO. Looking at all files of the
// largest checkouts takes git some seconds, over a network a minute.
const timeout = 3 * time.Minute

// Checkout is a work tree and the directory of its repository.
type Checkout struct{ top, dir string }

// Top returns the directory of the checkout, absolute and without links in it.
func (c Checkout) Top() string { return c.top }

// safe are settings that win over those of a repository. With them git runs no hooks, checks no
// signatures, asks no monitor of file changes, and writes no cache of untracked files. Bare
// repositories do not count where git looks for one.
var safe = []string{
	"--no-pager",
	"-c", "safe.bareRepository=explicit",
	"-c", "core.fsmonitor=false",
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.untrackedCache=false",
	"-c", "submodule.recurse=false",
	// An archive, or a format of the log, may ask who signed a commit.
	"-c", "gpg.program=false",
	"-c", "gpg.openpgp.program=false",
	"-c", "gpg.x509.program=false",
	"-c", "gpg.ssh.program=false",
}

var commitID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// Commit returns the short commit of the checkout that holds root, with "-dirty" if files differ
// from it, or if one of inputs, paths below root, has a file that git neither tracks nor ignores.
// Filters of files (git-lfs) do not run: a file that one changes counts as different
// unless its size and times say that git wrote it. Files inside submodules are not looked at, only
// the commits that they are at. The error is or wraps ErrNone if there is nothing to tell; any
// other has git's words.
func Commit(ctx context.Context, root string, inputs ...string) (string, error) {
	commit, dirty, err := state(ctx, root, "--short=8", inputs)
	if dirty {
		commit += "-dirty"
	}
	return commit, err
}

// Head is Commit with the whole ID, and says apart whether files differ from it.
func Head(ctx context.Context, root string, inputs ...string) (commit string, dirty bool,
	err error) {
	return state(ctx, root, "--end-of-options", inputs)
}

// state returns the commit that a checkout is at, as an option of rev-parse has it.
func state(ctx context.Context, root, form string, inputs []string) (commit string, dirty bool,
	err error) {
	c, err := Find(root)
	if err != nil {
		return "", false, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := c.confirm(ctx); err != nil {
		return "", false, err
	}
	options, err := c.options(ctx)
	if err != nil {
		return "", false, err
	}
	commit, err = c.run(ctx, nil, "rev-parse", "--verify", "--quiet", form, "HEAD^{commit}")
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() == 1 {
		return "", false, ErrNone // HEAD is a branch without a commit
	}
	if err != nil {
		return "", false, err
	}
	commit = strings.TrimSpace(commit)
	if !commitID.MatchString(commit) {
		return "", false, fmt.Errorf("git rev-parse: %s is not a commit", line(commit))
	}
	changes, err := c.run(ctx, options, "status", "--porcelain", "--untracked-files=no",
		"--ignore-submodules=dirty", "--no-renames")
	if err != nil {
		return "", false, err
	}
	unknown := false
	if changes == "" {
		unknown, err = c.hasUntracked(ctx, root, inputs)
	}
	return commit, changes != "" || unknown, err
}

// hasUntracked reports whether inputs, paths below root, have a file that git neither tracks nor
// ignores.
func (c Checkout) hasUntracked(ctx context.Context, root string, inputs []string) (bool, error) {
	if len(inputs) == 0 {
		return false, nil
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return false, err
	}
	args := []string{"ls-files", "--others", "--exclude-standard", "--directory",
		"--no-empty-directory", "--"}
	for _, name := range inputs {
		args = append(args, filepath.Join(real, name))
	}
	files, err := c.run(ctx, []string{"--literal-pathspecs"}, args...)
	if errors.Is(err, errTooMuch) {
		return true, nil
	}
	return files != "", err
}

// errTooMuch means that git wrote more than is kept.
var errTooMuch = fmt.Errorf("git wrote more than %d bytes", maxOutput)

// CommitTime returns when the commit of the checkout that holds root was made, in Unix seconds. Its
// errors are those of Commit.
func CommitTime(ctx context.Context, root string) (int64, error) {
	c, err := Find(root)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	if err := c.confirm(ctx); err != nil {
		return 0, err
	}
	out, err := c.run(ctx, nil, "rev-list", "--max-count=1", "--timestamp", "HEAD^{commit}")
	if err != nil {
		return 0, err
	}
	text, _, _ := strings.Cut(out, " ") // and the commit
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return 0, fmt.Errorf("git rev-list: %s is not the time of a commit", line(out))
	}
	return seconds, nil
}

// Find returns the checkout that holds root: the nearest directory upwards that has a .git. It runs
// nothing. Its error is ErrNone if there is no such directory.
func Find(root string) (Checkout, error) {
	top, err := filepath.Abs(root)
	if err == nil {
		top, err = filepath.EvalSymlinks(top)
	}
	if err != nil {
		return Checkout{}, err
	}
	for {
		dir, err := repository(filepath.Join(top, ".git"))
		if err == nil {
			return Checkout{top: top, dir: dir}, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return Checkout{}, err
		}
		above := filepath.Dir(top)
		if above == top {
			return Checkout{}, ErrNone
		}
		top = above
	}
}

// Init makes an empty repository in a directory that is in no checkout. The error wraps ErrNone if
// git is not installed.
func Init(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	_, err := call(ctx, dir, nil, "init", "--quiet")
	return err
}

// maxGitfile bounds the file that stands for .git. It has one path, of at most PATH_MAX (4096)
// bytes.
const maxGitfile = 8 << 10

// repository returns the directory of the repository that .git is or names.
func repository(at string) (string, error) {
	if info, err := os.Lstat(at); err == nil && info.IsDir() {
		return at, nil
	}
	file := confined.Path{Root: filepath.Dir(at), Name: filepath.Base(at)}
	text, err := file.Read(maxGitfile)
	if errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("neither a directory nor a file with the path of one: %s",
			line(err.Error()))
	}
	dir, ok := strings.CutPrefix(strings.TrimRight(string(text), "\r\n"), "gitdir: ")
	if !ok || strings.ContainsAny(dir, "\x00\n") {
		return "", fmt.Errorf("%s does not have the path of a repository (gitdir: PATH)", line(at))
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(at), dir)
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%s names %s, which is not a directory", line(at), line(dir))
	}
	return dir, nil
}

// HistoryFile returns the file that changes when another commit is checked out, or "".
func (c Checkout) HistoryFile() string {
	for _, name := range []string{"logs/HEAD", "HEAD"} {
		path := filepath.Join(c.dir, filepath.FromSlash(name))
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// confirm lets git find the repository, from where it is: git refuses one of another owner unless
// the user's safe.directory has it. It does not when the repository is given to it.
func (c Checkout) confirm(ctx context.Context) error {
	ceiling := "GIT_CEILING_DIRECTORIES=" + filepath.Dir(c.top)
	out, err := call(ctx, c.top, []string{ceiling}, "rev-parse", "--absolute-git-dir")
	if err != nil && foreignOwner.MatchString(err.Error()) {
		return &OwnerError{c.top}
	}
	if err != nil {
		return err
	}
	found, err := os.Stat(strings.TrimSuffix(out, "\n"))
	if err != nil {
		return err
	}
	if ours, err := os.Stat(c.dir); err != nil || !os.SameFile(ours, found) {
		return fmt.Errorf("git takes %s for the repository of %s, which is %s", line(out), line(c.top),
			line(c.dir))
	}
	return nil
}

// foreignOwner is what versions of git say of a repository of another owner.
var foreignOwner = regexp.MustCompile(`dubious ownership|is owned by someone else`)

// OwnerError reports that git reads nothing of a checkout, because it belongs to another user.
type OwnerError struct{ Top string }

// Error returns what to do: git asks whether the user trusts the checkout.
func (e *OwnerError) Error() string {
	owner := ""
	var st unix.Stat_t
	if err := unix.Stat(e.Top, &st); err == nil && int(st.Uid) != os.Geteuid() {
		owner = fmt.Sprintf(" (UID %d, and this process has %d)", st.Uid, os.Geteuid())
	}
	quoted := "'" + strings.ReplaceAll(line(e.Top), "'", `'\''`) + "'"
	return fmt.Sprintf("git does not read the checkout %s, because it or its .git belongs to another "+
		"user%s; if you trust what it holds: git config --global --add safe.directory %s", line(e.Top),
		owner, quoted)
}

// maxFilters bounds the filters that a configuration may have. Each becomes three arguments.
const maxFilters = 100

var filterName = regexp.MustCompile(`^[A-Za-z0-9_. -]+$`)

// named are the settings that name a file which git reads to tell what was changed.
var named = []string{"core.excludesfile", "core.attributesfile"}

// options returns options that switch off all filters of the configuration. A file that it names,
// and that git would wait for or read without end, is an error.
func (c Checkout) options(ctx context.Context) (options []string, err error) {
	list, err := c.run(ctx, nil, "config", "--list", "--name-only", "-z")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for key := range strings.SplitSeq(list, "\x00") {
		if slices.Contains(named, key) && !seen[key] {
			seen[key] = true
			if err := c.checkNamed(ctx, key); err != nil {
				return nil, err
			}
			continue
		}
		name, ok := strings.CutPrefix(key, "filter.")
		end := strings.LastIndexByte(name, '.')
		if !ok || end < 0 || seen[name[:end]] {
			continue
		}
		name = name[:end]
		seen[name] = true
		if !filterName.MatchString(name) || len(options) >= 6*maxFilters {
			return nil, fmt.Errorf("git's configuration has a filter %s: only %d, with names of letters, "+
				"digits and . _ -, can be switched off", line(name), maxFilters)
		}
		options = append(options, "-c", "filter."+name+".clean=", "-c", "filter."+name+".process=",
			"-c", "filter."+name+".required=false")
	}
	return options, nil
}

// checkNamed returns an error if a setting names something else than a file, or than nothing.
func (c Checkout) checkNamed(ctx context.Context, key string) error {
	name, err := c.run(ctx, nil, "config", "--null", "--type=path", "--get", key)
	if err != nil {
		return err
	}
	if name = strings.TrimSuffix(name, "\x00"); name == "" || name == os.DevNull {
		return nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.top, name)
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return fmt.Errorf("git's configuration names %s as %s, which is not a regular file", line(name),
			key)
	}
	return nil
}

// run calls git for the repository and work tree of the checkout and no other.
func (c Checkout) run(ctx context.Context, options []string, args ...string) (string, error) {
	options = append(options, "--git-dir="+c.dir, "--work-tree="+c.top)
	return call(ctx, c.top, nil, append(options, args...)...)
}

// call runs git and returns what it writes.
func call(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	out := &head{limit: maxOutput}
	err := command{dir: dir, env: env, args: args, out: out}.run(ctx)
	if err == nil && out.over {
		err = errTooMuch
	}
	if err != nil {
		return "", err
	}
	return string(out.text), nil
}

// command is one call of git.
type command struct {
	dir   string
	env   []string // wins over that of this process
	args  []string
	in    io.Reader // may be nil
	out   io.Writer
	limit uint64 // bytes of the largest file that it may write; 0: no limit
	waits bool   // for a network, or for who takes its output
}

// run is the one place that runs git. Its error has what git wrote about it.
func (c command) run(ctx context.Context) error {
	complaint := &head{limit: maxComplaint}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, "git", append(append([]string{}, safe...), c.args...)...)
	cmd.Dir, cmd.Env = c.dir, append(environment(os.Environ()), c.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, complaint
	cmd.WaitDelay = time.Second // a program that git started may hold its output open
	err := cmd.Start()
	if err == nil {
		bound(cmd.Process.Pid, c.limit)
		if !c.waits {
			go watch(ctx, cmd.Process.Pid, func() { cancel(errIdle) })
		}
		err = cmd.Wait()
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: git is not installed", ErrNone)
	case errors.Is(context.Cause(ctx), errIdle):
		return fmt.Errorf("git %s: %w", verb(c.args), stalled(repositoryOf(c.args, c.dir), c.dir))
	case ctx.Err() != nil:
		return fmt.Errorf("git: %w", context.Cause(ctx))
	case err != nil && len(complaint.text) > 0:
		return fmt.Errorf("git: %s (%w)", line(string(complaint.text)), err)
	case err != nil:
		return fmt.Errorf("git: %w", err)
	}
	return nil
}

// errIdle is why a git ends that waits and does nothing.
var errIdle = errors.New("it waits")

// repositoryOf returns the directory of the repository that a call of git is given, or the one that
// git finds in dir.
func repositoryOf(args []string, dir string) string {
	for _, a := range args {
		if at, ok := strings.CutPrefix(a, "--git-dir="); ok {
			return at
		}
	}
	return filepath.Join(dir, ".git")
}

// verb returns the command of git in its arguments.
func verb(args []string) string {
	for i, a := range args {
		if !strings.HasPrefix(a, "-") && (i == 0 || args[i-1] != "-c") {
			return a
		}
	}
	return ""
}

// userSettings are the variables that say where the user's own settings of git are, and have some
// of them. In a container, safe.directory is often among those.
var userSettings = regexp.MustCompile(
	`^GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|(KEY|VALUE)_[0-9]+)=`)

// environment returns env for git: without variables that name repositories, programs, or settings
// that would win over ours, and with those that keep git from writing, fetching and asking.
func environment(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "GIT_") || userSettings.MatchString(v) {
			kept = append(kept, v)
		}
	}
	return append(kept, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=none") // older versions do not know GIT_NO_LAZY_FETCH
}

const (
	// maxOutput bounds what is kept of git's output, the largest of which are patches of a Series.
	maxOutput = 64 << 20
	// maxComplaint is enough for git's advice about repositories of other owners.
	maxComplaint = 2 << 10
)

// head is a writer that keeps the first bytes.
type head struct {
	text  []byte
	limit int
	over  bool
}

func (h *head) Write(p []byte) (int, error) {
	room := min(len(p), h.limit-len(h.text))
	h.over = h.over || room < len(p)
	h.text = append(h.text, p[:room]...)
	return len(p), nil
}
