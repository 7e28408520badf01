// Series: a repository of our own making, in which the source of a package is a commit and each
// patch another. Only plumbing is used: it runs no hooks and no programs that a configuration
// names.

package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"buildsys/internal/confined"
)

// baseRef is the reference to the last commit that was not made by people.
const baseRef = "refs/buildsys/base"

// attributes win over those of the files: no line ends, encodings, keywords or filters are changed.
const attributes = "* -text !eol !ident !filter !diff !working-tree-encoding !merge\n"

// Series is such a repository with its work tree.
type Series struct {
	c       Checkout
	options []string // switch off filters
}

// NewSeries makes an empty one in an existing directory.
func NewSeries(ctx context.Context, dir string) (*Series, error) {
	s := &Series{c: Checkout{top: dir, dir: filepath.Join(dir, ".git")}}
	if _, err := call(ctx, dir, noUser, "init", "--quiet", "--template=", dir); err != nil {
		return nil, err
	}
	if _, err := s.run(ctx, nil, "symbolic-ref", "HEAD", "refs/heads/dev"); err != nil {
		return nil, err
	}
	return s, s.setAttributes()
}

// OpenSeries opens the one in a directory.
func OpenSeries(ctx context.Context, dir string) (*Series, error) {
	s := &Series{c: Checkout{top: dir, dir: filepath.Join(dir, ".git")}}
	err := s.selfContained(ctx)
	if err == nil {
		err = s.c.confirm(ctx)
	}
	if err == nil {
		s.options, err = s.c.options(ctx)
	}
	if err == nil {
		err = s.setAttributes()
	}
	return s, err
}

// maxOwnFiles bounds the files of a repository that are looked at: those of the kernel, none of
// them packed, are some 100,000.
const maxOwnFiles = 4 << 20

// selfContained returns an error if the repository has something that leads git to read or write
// elsewhere, or to wait: links, pipes, another repository for objects or references. A stranger may
// have made it, and what git reads becomes part of the package.
func (s *Series) selfContained(ctx context.Context) error {
	if info, err := os.Lstat(s.c.dir); err != nil || !info.IsDir() {
		return cmp.Or(err, errors.New(".git is no directory"))
	}
	n := 0
	return filepath.WalkDir(s.c.dir, func(at string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(s.c.top, at)
		switch n++; {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case n > maxOwnFiles:
			return fmt.Errorf(".git has more than %d files", maxOwnFiles)
		case name == filepath.FromSlash(".git/hooks") && d.IsDir(): // are not run
			return fs.SkipDir
		case d.Type()&fs.ModeSocket != 0: // of a monitor of changes, and cannot be opened
		case !d.IsDir() && !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a directory, and git would follow it", line(name))
		case elsewhere[filepath.ToSlash(name)]:
			return fmt.Errorf("%s names another repository, whose files would become part of the package",
				line(name))
		}
		return nil
	})
}

// elsewhere are the files that name another repository for git to read.
var elsewhere = map[string]bool{
	".git/commondir":               true,
	".git/objects/info/alternates": true,
}

// maxAttributes bounds what is read to see whether it is what it should be.
const maxAttributes = 64 << 10

func (s *Series) setAttributes() error {
	at := confined.Path{Root: s.c.dir, Name: "info"}
	if old, err := at.Join("attributes").Read(maxAttributes); err == nil && string(old) == attributes {
		return nil
	}
	root, err := at.MakeDir()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove("attributes"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.WriteFile("attributes", []byte(attributes), 0o644)
}

// noUser keeps git from reading the user's settings: what is made must not depend on them.
var noUser = []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=0"}

// seriesTimeout ends a git that waits for ever, as one does that reads a pipe in the place of
// .gitattributes. To add all files of the largest sources takes it some minutes.
const seriesTimeout = 15 * time.Minute

func (s *Series) run(ctx context.Context, env []string, args ...string) (string, error) {
	return s.in(ctx, s.c.top, env, args...)
}

// in calls git with another work tree.
func (s *Series) in(ctx context.Context, top string, env []string, args ...string) (string, error) {
	options := append([]string{"-c", "core.attributesFile=/dev/null", "-c", "core.autocrlf=false",
		"-c", "core.fileMode=true", "-c", "core.symlinks=true", "-c", "core.excludesFile=/dev/null",
		"-c", "core.sparseCheckout=false", "-c", "core.ignoreCase=false", "-c", "core.quotePath=true",
		"-c", "core.checkStat=default", "-c", "core.trustctime=true",
		"-c", "diff.suppressBlankEmpty=false", "-c", "advice.addEmbeddedRepo=false"}, s.options...)
	options = append(options, "--git-dir="+s.c.dir, "--work-tree="+top)
	ctx, cancel := context.WithTimeoutCause(ctx, seriesTimeout,
		fmt.Errorf("it did not end within %v", seriesTimeout))
	defer cancel()
	return call(ctx, top, append(noUser[:len(noUser):len(noUser)], env...),
		append(options, args...)...)
}

// Person is who made a commit, and when.
type Person struct {
	Name, Mail string
	Time       time.Time
}

// env returns the person as the author and committer of a commit.
func (p Person) env() []string {
	var env []string
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		env = append(env, "GIT_"+role+"_NAME="+p.Name, "GIT_"+role+"_EMAIL="+p.Mail,
			"GIT_"+role+"_DATE="+fmt.Sprintf("@%d +0000", p.Time.Unix()))
	}
	return env
}

// Commit commits the work tree, all files, and makes the commit the base.
func (s *Series) Commit(ctx context.Context, by Person, message string) error {
	if _, err := s.run(ctx, nil, "add", "--all", "--force", "."); err != nil {
		return err
	}
	tree, err := s.run(ctx, nil, "write-tree")
	if err != nil {
		return err
	}
	args := []string{"commit-tree", "--no-gpg-sign", "-m", message}
	if parent, err := s.run(ctx, nil, "rev-parse", "--verify", "--quiet", "HEAD"); err == nil {
		args = append(args, "-p", strings.TrimSpace(parent))
	}
	commit, err := s.run(ctx, by.env(), append(args, strings.TrimSpace(tree))...)
	for _, ref := range []string{"HEAD", baseRef} {
		if err == nil {
			_, err = s.run(ctx, by.env(), "update-ref", ref, strings.TrimSpace(commit))
		}
	}
	return err
}

// Change is a commit on top of the base.
type Change struct {
	By      Person
	Subject string
	Body    string
	Diff    string
}

// maxChanges bounds the new commits, each of which becomes a patch.
const maxChanges = 2000

// ErrRewritten means that commits at or below the base were changed.
var ErrRewritten = errors.New("the commits of upstream's source or of its patches were changed")

// Changes returns the commits on top of the base, the oldest first.
func (s *Series) Changes(ctx context.Context) ([]Change, error) {
	if _, err := s.run(ctx, nil, "merge-base", "--is-ancestor", baseRef, "HEAD"); err != nil {
		if _, missing := s.run(ctx, nil, "rev-parse", "--verify", "--quiet", baseRef); missing != nil {
			return nil, fmt.Errorf("it was not made by buildsys dev: it has no %s", baseRef)
		}
		return nil, ErrRewritten
	}
	list, err := s.run(ctx, nil, "rev-list", "--reverse", "--parents", "HEAD", "^"+baseRef)
	if err != nil {
		return nil, err
	}
	var changes []Change
	size := 0
	for text := range strings.Lines(list) {
		ids := strings.Fields(text)
		if len(ids) != 2 {
			return nil, fmt.Errorf("commit %.12s is a merge, which is no patch: rebase it", ids[0])
		}
		c, err := s.change(ctx, ids[0])
		if err == nil {
			c.Diff, err = s.diff(ctx, ids[1], ids[0])
		}
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
		size += len(c.Diff) + len(c.Body)
		if len(changes) > maxChanges || size > maxOutput {
			return nil, fmt.Errorf("more than %d new commits, or %d MiB of changes in them: finish some",
				maxChanges, maxOutput>>20)
		}
	}
	return changes, nil
}

// change returns a commit without its diff.
func (s *Series) change(ctx context.Context, id string) (Change, error) {
	out, err := s.run(ctx, nil, "rev-list", "--max-count=1", "--encoding=UTF-8",
		"--format=%an%x00%ae%x00%at%x00%s%x00%b", id)
	_, out, _ = strings.Cut(out, "\n") // behind "commit" and the ID
	fields := strings.SplitN(out, "\x00", 5)
	if err == nil && len(fields) != 5 {
		err = fmt.Errorf("git rev-list: %s is not a commit", line(id))
	}
	if err != nil {
		return Change{}, err
	}
	var seconds int64
	if _, err := fmt.Sscan(fields[2], &seconds); err != nil {
		return Change{}, fmt.Errorf("git rev-list: %s is not the time of a commit", line(fields[2]))
	}
	return Change{By: Person{line(fields[0]), line(fields[1]), time.Unix(seconds, 0).UTC()},
		Subject: line(fields[3]), Body: strings.TrimSpace(fields[4])}, nil
}

// gitlink matches a difference of trees in which a repository is a file, before or after.
var gitlink = regexp.MustCompile(`(^|\x00):(160000 |\d{6} 160000 )`)

// diff returns the difference of two trees as a patch that patch can apply.
func (s *Series) diff(ctx context.Context, from, to string) (string, error) {
	raw, err := s.run(ctx, nil, "diff-tree", "-r", "-z", "--no-renames", "--raw", from, to)
	if err != nil {
		return "", err
	}
	if gitlink.MatchString(raw) {
		return "", errors.New("a repository inside it was committed: it cannot be part of a patch")
	}
	text, err := s.run(ctx, nil, "diff-tree", "-r", "-p", "--no-renames", "--no-ext-diff",
		"--no-textconv", "--no-color", "--full-index", "--diff-algorithm=myers", "-U3",
		"--src-prefix=a/", "--dst-prefix=b/", "-O/dev/null", "--no-indent-heuristic", from, to)
	if err != nil {
		return "", err
	}
	for l := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(l, "Binary files "); ok {
			return "", fmt.Errorf("binary file %s: patch cannot change it", line(name))
		}
	}
	return text, nil
}

// Uncommitted returns the changes of the work tree that no commit has; "" if there are none.
func (s *Series) Uncommitted(ctx context.Context) (string, error) {
	tree, err := s.TreeOf(ctx, s.c.top)
	if err != nil {
		return "", err
	}
	return s.diff(ctx, "HEAD^{tree}", tree)
}

// maxIndex bounds git's list of the files of the work tree; that of the kernel has 10 MiB.
const maxIndex = 1 << 30

// TreeOf returns the tree of the files in a directory: those of the work tree, or of a copy. Files
// that are ignored and not tracked are not in that of the work tree.
func (s *Series) TreeOf(ctx context.Context, top string) (string, error) {
	dir, err := os.MkdirTemp("", "buildsys-index-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	index := filepath.Join(dir, "index")
	env := []string{"GIT_INDEX_FILE=" + index}
	add := []string{"add", "--all", "."}
	if top == s.c.top { // with the times of the files that are known
		data, err := confined.Path{Root: s.c.dir, Name: "index"}.Read(maxIndex)
		if err == nil {
			err = os.WriteFile(index, data, 0o600)
		}
		if err != nil {
			return "", err
		}
	} else {
		add = []string{"add", "--all", "--force", "."}
	}
	if _, err := s.in(ctx, top, env, add...); err != nil {
		return "", err
	}
	tree, err := s.in(ctx, top, env, "write-tree")
	return strings.TrimSpace(tree), err
}

// Tree returns the tree of the last commit.
func (s *Series) Tree(ctx context.Context) (string, error) {
	tree, err := s.run(ctx, nil, "rev-parse", "--verify", "HEAD^{tree}")
	return strings.TrimSpace(tree), err
}

// Names returns the names of the files that differ between two trees.
func (s *Series) Names(ctx context.Context, from, to string) ([]string, error) {
	out, err := s.run(ctx, nil, "diff-tree", "-r", "-z", "--no-renames", "--name-only", from, to)
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), err
}

// Beside reports whether there are commits or stashes that HEAD does not have.
func (s *Series) Beside(ctx context.Context) (bool, error) {
	out, err := s.run(ctx, nil, "rev-list", "--max-count=1", "--all", "^HEAD")
	return out != "", err
}
