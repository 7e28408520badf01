// archive: the files of a commit as a tar.

package git

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"strings"
	"time"
)

// Snapshot is the files of the commit that a checkout is at.
type Snapshot struct {
	Commit  string
	Version string // by the newest tag that looks like one, "" without
	Dirty   bool   // the checkout has changes that are not in it
	Tar     []byte // with all files below the prefix
}

// Archive returns the files of the commit of the checkout whose top is dir, below a directory. The
// same commit gives the same bytes. They may have 64 MiB.
func Archive(ctx context.Context, dir, prefix string) (s Snapshot, err error) {
	c, err := Find(dir)
	if err != nil {
		return s, err
	}
	if err := c.confirm(ctx); err != nil {
		return s, err
	}
	options, err := c.options(ctx)
	if err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.Commit, err = c.run(ctx, nil, "rev-parse", "--verify", "HEAD^{commit}"); err != nil {
		return s, err
	}
	s.Commit = strings.TrimSpace(s.Commit)
	if tag, err := c.run(ctx, nil, "describe", "--tags", "--abbrev=0", "--match", "[0-9]*", "--match",
		"v[0-9]*", s.Commit); err == nil {
		s.Version = strings.TrimPrefix(strings.TrimSpace(tag), "v")
	}
	changes, err := c.run(ctx, options, "status", "--porcelain", "--untracked-files=no",
		"--ignore-submodules")
	if err != nil {
		return s, err
	}
	s.Dirty = strings.TrimSpace(changes) != ""
	options = append(options, "-c", "tar.umask=0022", "-c", "core.attributesFile=/dev/null",
		"-c", "core.autocrlf=false", "-c", "core.eol=lf")
	// Of a commit git would replace what files ask of it (export-subst), and run gpg for some of that.
	text, err := c.run(ctx, options, "archive", "--format=tar", "--prefix="+prefix+"/",
		s.Commit+"^{tree}")
	if err != nil {
		return s, err
	}
	at, err := CommitTime(ctx, dir)
	if err == nil {
		s.Tar, err = retimed(text, time.Unix(at, 0))
	}
	return s, err
}

// retimed returns a tar whose files are all of one time.
func retimed(text string, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	r, w := tar.NewReader(strings.NewReader(text)), tar.NewWriter(&out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			err = w.Close()
			return out.Bytes(), err
		}
		if err != nil {
			return nil, err
		}
		h.ModTime = at
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, r); err != nil {
			return nil, err
		}
	}
}
