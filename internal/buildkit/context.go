// Context trees: the files that a build may see, composed from host files, host directories and
// memory, and made independent of umask, owner, checkout path and clock.

package buildkit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"buildsys/internal/plan"
)

// contextSecond is the modification time, in Unix seconds, of every file a build sees: 2020-01-01
// 00:00:00 UTC. The nanoseconds differ; see fileTime.
const contextSecond = 1577836800

// ContextError reports an input that a build must not see: a symlink, a device, a file that changed
// while it was sent. Nothing was built.
type ContextError struct {
	Path string // host path, or path inside the context for data from memory
	Err  error
}

func (e *ContextError) Error() string { return fmt.Sprintf("input %s: %v", e.Path, e.Err) }
func (e *ContextError) Unwrap() error { return e.Err }

// contextFS is an fsutil.FS over a fixed list of entries; newContextFS has read all host
// directories.
type contextFS struct {
	entries []*contextEntry // parents before children, each directory's names in byte order
	index   map[string]*contextEntry
	failed  func(error) // called with the first input that cannot be sent as it was listed
}

type contextEntry struct {
	path  string
	mode  fs.FileMode
	size  int64  // bytes
	mtime int64  // nanoseconds since 1970
	host  string // empty: data
	data  []byte
	link  string // of a symlink: its target
	id    fileID
}

// stat returns what a build sees of the entry: owner, group, devices and extended attributes are
// always zero.
func (e *contextEntry) stat() *types.Stat {
	return &types.Stat{Path: e.path, Mode: uint32(e.mode), Size: e.size, ModTime: e.mtime,
		Linkname: e.link}
}

// newContextFS composes c. digests has the SHA-256 of host files. failed is called if a file
// differs from what was listed: fsutil itself would silently send an empty or truncated file.
func newContextFS(c plan.Context, digests *digestMemo, failed func(error)) (*contextFS, error) {
	b := contextBuilder{digests: digests, entries: map[string]*contextEntry{}}
	if err := b.ignore(c.Ignore); err != nil {
		return nil, err
	}
	for _, f := range c.Files {
		if err := b.addFile(f); err != nil {
			return nil, err
		}
	}
	for _, dirs := range [][]*plan.Dir{c.Dirs, c.Derived} {
		for _, dir := range dirs {
			if err := b.addDir(dir.Name, dir.Host); err != nil {
				return nil, err
			}
		}
	}
	for _, dir := range c.Top {
		if err := b.addDir(".", dir.Host); err != nil {
			return nil, err
		}
	}
	for _, dir := range c.Made {
		if err := b.addParents(dir + "/x"); err != nil {
			return nil, err
		}
	}
	return b.finish(failed), nil
}

// checkNamed rejects a file that a context with a name in the Dockerfile must not contain.
func (c *contextFS) checkNamed() error {
	if _, ok := c.index[".dockerignore"]; ok {
		return &ContextError{Path: ".dockerignore",
			Err: errors.New("a file with this name at the top of a context would hide other inputs from " +
				"the build; remove or rename it")}
	}
	return nil
}

type contextBuilder struct {
	digests *digestMemo
	entries map[string]*contextEntry
	ignored *patternmatcher.PatternMatcher // nil for nothing
}

func (b *contextBuilder) addFile(f plan.File) error {
	if !fs.ValidPath(f.Name) || f.Name == "." {
		return &ContextError{Path: f.Name, Err: errors.New("not a clean relative path inside a context")}
	}
	if f.Link != "" {
		return b.add(&contextEntry{path: f.Name, mode: fs.ModeSymlink | 0o777, link: f.Link,
			mtime: contextSecond * int64(time.Second)})
	}
	if f.Host != "" {
		return b.addHost(f.Name, f.Host, f.Mode&0o111 != 0)
	}
	e := fileEntry(f.Name, int64(len(f.Data)), f.Mode&0o111 != 0, sha256.Sum256(f.Data))
	e.data = f.Data
	return b.add(e)
}

// addHost adds one host file. It must be a regular file: a link could lead anywhere on this
// machine.
func (b *contextBuilder) addHost(name, host string, executable bool) error {
	info, err := os.Lstat(host)
	if err != nil {
		return &ContextError{Path: host, Err: underlying(err)}
	}
	if !info.Mode().IsRegular() {
		return &ContextError{Path: host,
			Err: fmt.Errorf("is a %s; a build sees only regular files: replace it with a copy",
				modeName(info.Mode()))}
	}
	sum, id, err := b.digests.sum(host)
	if err != nil {
		return &ContextError{Path: host, Err: underlying(err)}
	}
	e := fileEntry(name, id.size, executable, sum)
	e.host, e.id = host, id
	return b.add(e)
}

// addDir adds everything below the host directory root as dir of the context; "." is its top.
func (b *contextBuilder) addDir(dir, root string) error {
	if !fs.ValidPath(dir) {
		return &ContextError{Path: dir, Err: errors.New("not a clean relative path inside a context")}
	}
	if info, err := os.Lstat(root); err != nil {
		return &ContextError{Path: root, Err: underlying(err)}
	} else if !info.IsDir() {
		return &ContextError{Path: root, Err: fmt.Errorf("is a %s, not a directory",
			modeName(info.Mode()))}
	}
	if err := b.addParents(dir + "/x"); err != nil {
		return err
	}
	return filepath.WalkDir(root, func(host string, entry fs.DirEntry, err error) error {
		if err != nil {
			return &ContextError{Path: host, Err: underlying(err)}
		}
		rel, err := filepath.Rel(root, host)
		if err != nil {
			return &ContextError{Path: host, Err: err}
		}
		name := path.Join(dir, filepath.ToSlash(rel))
		if entry.IsDir() {
			return b.addParents(name + "/x")
		}
		if out, err := b.isIgnored(name); out || err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return &ContextError{Path: host, Err: underlying(err)}
		}
		return b.addHost(name, host, info.Mode()&0o100 != 0)
	})
}

func (b *contextBuilder) add(e *contextEntry) error {
	if err := b.addParents(e.path); err != nil {
		return err
	}
	if _, ok := b.entries[e.path]; ok {
		return &ContextError{Path: e.path, Err: errors.New("two inputs of one context have this name")}
	}
	b.entries[e.path] = e
	return nil
}

// addParents adds the directories above name.
func (b *contextBuilder) addParents(name string) error {
	for dir := path.Dir(path.Clean(name)); dir != "."; dir = path.Dir(dir) {
		if e, ok := b.entries[dir]; ok {
			if e.mode.IsDir() {
				return nil
			}
			return &ContextError{Path: dir,
				Err: errors.New("is a file in one input and a directory in another")}
		}
		b.entries[dir] = &contextEntry{path: dir, mode: fs.ModeDir | 0o755,
			mtime: contextSecond * int64(time.Second)}
	}
	return nil
}

// ignore sets the patterns of files that are left out of directories.
func (b *contextBuilder) ignore(patterns []string) (err error) {
	if len(patterns) > 0 {
		b.ignored, err = patternmatcher.New(patterns)
	}
	return err
}

func (b *contextBuilder) isIgnored(name string) (bool, error) {
	if b.ignored == nil {
		return false, nil
	}
	return b.ignored.MatchesOrParentMatches(name)
}

func (b *contextBuilder) finish(failed func(error)) *contextFS {
	c := &contextFS{failed: failed, index: b.entries}
	for _, e := range b.entries {
		c.entries = append(c.entries, e)
	}
	// fsutil's order: by path, with the separator before every other byte.
	slices.SortFunc(c.entries,
		func(x, y *contextEntry) int { return fsutil.ComparePath(x.path, y.path) })
	return c
}

// Walk implements fsutil.FS.
func (c *contextFS) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.Trim(path.Clean("/"+filepath.ToSlash(target)), "/")
	skip := "" // directory whose remaining entries are skipped
	for _, e := range c.entries {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		p := e.path
		if !within(p, target) || skip != "" && within(p, skip) {
			continue
		}
		err := fn(p, &fsutil.DirEntryInfo{Stat: e.stat()}, nil)
		switch {
		case errors.Is(err, fs.SkipAll):
			return nil
		case errors.Is(err, fs.SkipDir):
			skip = p
			if !e.mode.IsDir() {
				if skip = path.Dir(p); skip == "." {
					return nil
				}
			}
		case err != nil:
			return err
		}
	}
	return nil
}

// within reports whether p is dir or lies below it; everything is within "".
func within(p, dir string) bool {
	return dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// hasLinks reports whether there is a symlink, which older engines cannot make from a definition.
func (c *contextFS) hasLinks() bool {
	for _, e := range c.entries {
		if e.link != "" {
			return true
		}
	}
	return false
}

// size returns the size of all files in bytes.
func (c *contextFS) size() (sum int64) {
	for _, e := range c.entries {
		sum += e.size
	}
	return sum
}

// read returns the bytes of a file, checked against those that were listed.
func (c *contextFS) read(e *contextEntry) ([]byte, error) {
	f, err := c.Open(e.path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}

// Open implements fsutil.FS.
func (c *contextFS) Open(p string) (io.ReadCloser, error) {
	e, ok := c.index[strings.Trim(path.Clean("/"+filepath.ToSlash(p)), "/")]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	if e.host == "" {
		return io.NopCloser(bytes.NewReader(e.data)), nil
	}
	f, id, err := openRegular(e.host)
	if err == nil && id != e.id {
		f.Close()
		err = errChanged
	}
	if err != nil {
		err = &ContextError{Path: e.host, Err: underlying(err)}
		c.failed(err)
		return nil, err
	}
	return &watchedFile{File: f, entry: e, failed: c.failed}, nil
}

var errChanged = errors.New("changed while the build read it; run the build again")

// watchedFile fails the build unless the file is, to its end, the one that was listed.
type watchedFile struct {
	*os.File
	entry  *contextEntry
	failed func(error)
}

func (w *watchedFile) Read(p []byte) (int, error) {
	n, err := w.File.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		if id, statErr := identify(w.File); statErr != nil || id != w.entry.id {
			err = errChanged
		}
	}
	if !errors.Is(err, io.EOF) {
		err = &ContextError{Path: w.entry.host, Err: underlying(err)}
		w.failed(err)
	}
	return n, err
}

// fileEntry describes a file of size bytes; the caller sets its contents.
func fileEntry(name string, size int64, executable bool, sum [sha256.Size]byte) *contextEntry {
	e := &contextEntry{path: name, mode: 0o644, size: size, mtime: fileTime(sum)}
	if executable {
		e.mode = 0o755
	}
	return e
}

// fileTime derives a modification time from contents, in nanoseconds since 1970. The engine keeps
// what it received for the last build of a step and asks only for files whose size or time differ,
// so with a fixed time an edit that keeps the size would build the old bytes. The second is the
// same for all files.
func fileTime(sum [sha256.Size]byte) int64 {
	nanos := 1 + binary.BigEndian.Uint64(sum[:8])%(uint64(time.Second)-1)
	return contextSecond*int64(time.Second) + int64(nanos)
}
