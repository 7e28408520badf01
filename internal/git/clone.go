// Clone: a checkout of its own of one commit, to build that commit and nothing else.

package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// wholeID matches the ID of a commit in full.
var wholeID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// cloneSize bounds the largest file that is written for a clone.
const cloneSize = 16 << 30

// Clone makes a checkout of a commit of the repository that holds root, in a directory that is not
// there yet. It has the files of the commit and nothing else: no hooks, no filters, no settings.
// The commit is what its ID says, whatever the repository has under it. The error wraps ErrNotThere
// if the repository has no such commit.
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
	format := "sha1"
	if len(commit) == 64 {
		format = "sha256"
	}
	err = command{dir: filepath.Dir(dir), out: io.Discard, args: []string{"init", "--quiet",
		"--template=", "--object-format=" + format, "--", dir}}.run(ctx)
	if err != nil {
		return err
	}
	if err := c.copy(ctx, commit, dir); err != nil {
		return err
	}
	args := append(options, "--git-dir="+filepath.Join(dir, ".git"), "--work-tree="+dir, "checkout",
		"--quiet", "--detach", "--no-recurse-submodules", commit)
	return command{dir: dir, args: args, out: io.Discard, limit: cloneSize, waits: true}.run(ctx)
}

// copy brings the objects of a commit into a new repository, without those before it. Git believes
// the names of objects that it has, and a repository may have come from anybody; of objects that it
// is given it computes them.
func (c Checkout) copy(ctx context.Context, commit, dir string) error {
	shallow := filepath.Join(dir, ".git", "shallow")
	if err := os.WriteFile(shallow, []byte(commit+"\n"), 0o644); err != nil {
		return err
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := command{dir: c.top, out: w, waits: true, env: []string{"GIT_NO_REPLACE_OBJECTS=1"},
			in: strings.NewReader("--shallow " + commit + "\n" + commit + "\n"),
			args: []string{"--git-dir=" + c.dir, "pack-objects", "--revs", "--stdout", "-q",
				"--window=0"}}.run(ctx)
		w.CloseWithError(err)
		packed <- err
	}()
	err := command{dir: dir, in: r, out: io.Discard, limit: cloneSize, waits: true,
		args: []string{"--git-dir=" + filepath.Join(dir, ".git"), "index-pack", "--stdin"}}.run(ctx)
	r.CloseWithError(io.ErrClosedPipe)
	if err = cmp.Or(<-packed, err); err != nil {
		return err
	}
	// What was renamed is missing now, which a checkout says and does not fail for.
	return command{dir: dir, out: io.Discard, waits: true, args: []string{
		"--git-dir=" + filepath.Join(dir, ".git"), "rev-list", "--objects", "--quiet", commit}}.run(ctx)
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
