// Clone: a checkout of its own of one commit, to build that commit and nothing else.

package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// wholeID matches the ID of a commit in full.
var wholeID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// cloneSize bounds the largest file that is written for a clone.
const cloneSize = 16 << 30

// Clone makes a checkout of a commit of the repository that holds root, in a directory that is not
// there yet. It has the files of the commit and nothing else: no hooks, no filters, no settings.
// The clone reads objects of the repository, and is of no use without it. The error wraps
// ErrNotThere if the repository has no such commit.
func Clone(ctx context.Context, root, commit, dir string) error {
	if !wholeID.MatchString(commit) {
		return fmt.Errorf("%s is not the ID of a commit", line(commit))
	}
	c, err := Find(root)
	if err != nil {
		return err
	}
	if err := c.confirm(ctx); err != nil {
		return err
	}
	if _, err := c.run(ctx, nil, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return fmt.Errorf("%w: the checkout %s has no commit %.12s: fetch it first", ErrNotThere,
			line(c.top), commit)
	}
	options, err := c.options(ctx)
	if err != nil {
		return err
	}
	env := []string{"GIT_ALLOW_PROTOCOL=file"}
	err = command{dir: filepath.Dir(dir), env: env, out: io.Discard, limit: cloneSize, waits: true,
		args: []string{"clone", "--quiet", "--shared", "--no-checkout", "--template=", "--", c.top,
			dir}}.run(ctx)
	if err != nil {
		return err
	}
	args := append(options, "--git-dir="+filepath.Join(dir, ".git"), "--work-tree="+dir, "checkout",
		"--quiet", "--detach", "--no-recurse-submodules", commit)
	err = command{dir: dir, args: args, out: io.Discard, limit: cloneSize, waits: true}.run(ctx)
	return err
}

// Within returns the path of a tree in its repository, with slashes: "." at its top.
func Within(root string) (string, error) {
	c, err := Find(root)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(c.top, real)
	if err == nil && !filepath.IsLocal(rel) {
		err = errors.New("it is outside of its repository")
	}
	if err != nil {
		return "", &os.PathError{Op: "find", Path: root, Err: err}
	}
	return filepath.ToSlash(rel), nil
}
