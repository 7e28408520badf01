// Package watch tells when files of a tree change, and runs what is made of them again. A tree is
// not trusted: no link in it is followed, and no tree makes it watch without a bound.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"buildsys/internal/confined"
)

// Place is a part of a tree whose files count.
type Place struct {
	Dir   string   // slash path below the root; "." is the root
	Names []string // what counts in it; without any, everything in it and below it
}

// Change is what has changed, perhaps several times, until it was quiet.
type Change struct {
	Names []string  // slash paths below the root, sorted: the first few
	At    time.Time // of the first of them; zero if nothing has changed
}

// Options are what a Watcher cannot know.
type Options struct {
	Ignore func(name string) bool // leftovers of editors, by their last element
	Warn   func(text string)
}

const (
	// maxDirs bounds the directories that are watched. Each takes about a KiB of the kernel, which has
	// a limit of its own for all programs of a user (8192 on small machines).
	maxDirs = 8192
	// maxNames is how many changed files are named.
	maxNames = 8
	// quiet is how long nothing may change until a change counts as complete: editors and git write
	// several files, and the same one several times. longest is for what never gets quiet.
	quiet, longest = 100 * time.Millisecond, 2 * time.Second
)

// Watcher watches a tree. Its methods are not for several goroutines at once.
type Watcher struct {
	root   string
	o      Options
	events *fsnotify.Watcher
	places []Place
	dirs   map[string]bool // that are watched
	limit  int
	warned map[string]bool
	after  func(time.Duration) <-chan time.Time
}

// New returns a watcher of the tree at root, an absolute path. It watches nothing yet.
func New(root string, o Options) (*Watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch the tree: %w", err)
	}
	return &Watcher{root: filepath.Clean(root), o: o, events: events, dirs: map[string]bool{},
		limit: maxDirs, warned: map[string]bool{}, after: time.After}, nil
}

// Close ends the watch.
func (w *Watcher) Close() error { return w.events.Close() }

// Watch replaces what is watched. It reports whether directories were added: what happened in those
// before is not known.
func (w *Watcher) Watch(places []Place) (added bool) {
	w.places = nil
	for _, p := range places {
		// Who removes a directory and makes it again is seen from the one above it.
		if up := path.Dir(p.Dir); len(p.Names) == 0 && up != p.Dir {
			w.places = append(w.places, Place{Dir: up, Names: []string{path.Base(p.Dir)}})
		}
	}
	w.places = append(w.places, places...)
	wanted, left := map[string]bool{}, ""
	for _, p := range w.places {
		w.walk(p.Dir, len(p.Names) == 0, func(dir string) bool {
			if len(wanted) >= w.limit && !wanted[dir] {
				left = cmp.Or(left, dir)
				return false
			}
			wanted[dir] = true
			return true
		})
	}
	if left != "" {
		w.warn("more than %d directories take part: changes in %s and others are not noticed",
			w.limit, left)
	}
	for _, dir := range slices.Sorted(maps.Keys(w.dirs)) {
		if !wanted[dir] {
			w.forget(dir)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(wanted)) {
		added = w.add(dir) || added
	}
	return added
}

// walk calls visit for a directory of the tree, and if deep is set for those below it until visit
// returns false. What is a link, and what is not there, is left out.
func (w *Watcher) walk(dir string, deep bool, visit func(dir string) bool) {
	root, err := confined.OpenDir(w.root)
	if err != nil {
		w.warn("changes in %s are not noticed: %v", dir, err)
		return
	}
	defer root.Close()
	at := ""
	for part := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, part)
		if info, err := root.Lstat(at); err != nil || !info.IsDir() {
			return
		}
	}
	w.below(root.FS(), dir, deep, visit)
}

func (w *Watcher) below(tree fs.FS, dir string, deep bool, visit func(dir string) bool) bool {
	if !visit(dir) {
		return false
	}
	if !deep {
		return true
	}
	entries, err := confined.ReadDir(tree, dir)
	if err != nil {
		w.warn("changes in %s are not noticed: %v", dir, err)
		return true
	}
	for _, e := range entries {
		if e.IsDir() && !w.ignored(e.Name()) && !w.below(tree, path.Join(dir, e.Name()), deep, visit) {
			return false
		}
	}
	return true
}

// add watches one directory. The path was a directory of the tree through no link a moment ago; if
// somebody puts a link there now, all they get is that changes elsewhere count, too.
func (w *Watcher) add(dir string) bool {
	if w.dirs[dir] {
		return false
	}
	switch err := w.events.Add(w.path(dir)); {
	case err == nil:
		w.dirs[dir] = true
		return true
	case errors.Is(err, syscall.ENOSPC):
		w.warn("changes in %s and perhaps others are not noticed: the limit of directories that "+
			"programs of this user may watch is reached; raise fs.inotify.max_user_watches (sysctl)", dir)
	case !errors.Is(err, fs.ErrNotExist):
		w.warn("changes in %s are not noticed: %v", dir, err)
	}
	return false
}

// forget ends the watch of a directory and of all below it.
func (w *Watcher) forget(dir string) {
	for d := range w.dirs {
		if d == dir || strings.HasPrefix(d, dir+"/") {
			_ = w.events.Remove(w.path(d)) // it may be gone
			delete(w.dirs, d)
		}
	}
}

func (w *Watcher) path(dir string) string { return filepath.Join(w.root, filepath.FromSlash(dir)) }

// maxWarned bounds what is said, by what the names in a tree can make of it.
const maxWarned = 1000

// warn says once what will not be noticed.
func (w *Watcher) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if w.warned[text] || len(w.warned) > maxWarned {
		return
	}
	if len(w.warned) == maxWarned {
		text = "and more changes will not be noticed; the others are not named"
	}
	w.warned[text] = true
	w.o.Warn("watch: " + text)
}

// ignored reports whether a file or directory counts nowhere. What git does inside of its own
// directory changes no file of the tree.
func (w *Watcher) ignored(base string) bool {
	return base == ".git" || w.o.Ignore != nil && w.o.Ignore(base)
}

// Next waits until something has changed and it is quiet again. Changes since the last call count.
func (w *Watcher) Next(ctx context.Context) (Change, error) {
	c, names := Change{}, map[string]bool{}
	var calm, enough <-chan time.Time
	for {
		name := ""
		select {
		case <-ctx.Done():
			return c, context.Cause(ctx)
		case e, ok := <-w.events.Events:
			if !ok {
				return c, errors.New("watch the tree: the watch has ended")
			}
			name = w.take(e)
		case err := <-w.events.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.warn("changes may not be noticed: %v", err)
				continue
			}
			name = "." // more than the kernel could note
		case <-calm:
			return c.named(names), nil
		case <-enough:
			return c.named(names), nil
		}
		if name == "" {
			continue
		}
		if calm = w.after(quiet); enough == nil {
			c.At, enough = time.Now(), w.after(longest)
		}
		if len(names) < maxNames {
			names[name] = true
		}
	}
}

func (c Change) named(names map[string]bool) Change {
	c.Names = slices.Sorted(maps.Keys(names))
	return c
}

// take returns the name of what has changed, or "" if it does not count. A new directory is watched
// at once.
func (w *Watcher) take(e fsnotify.Event) string {
	name, err := filepath.Rel(w.root, e.Name)
	if name = filepath.ToSlash(name); err != nil || w.ignored(path.Base(name)) {
		return ""
	}
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		w.forget(name)
	}
	counts := false
	for _, p := range w.places {
		whole := len(p.Names) == 0
		counts = counts || path.Dir(name) == p.Dir && slices.Contains(p.Names, path.Base(name)) ||
			whole && within(name, p.Dir)
		if e.Has(fsnotify.Create) && whole && within(name, p.Dir) {
			w.walk(name, true, func(dir string) bool { return len(w.dirs) < w.limit && w.grow(dir) })
		}
	}
	if !counts {
		return ""
	}
	return name
}

// grow watches a new directory. It returns true so that a walk goes on.
func (w *Watcher) grow(dir string) bool {
	w.add(dir)
	return true
}

// within reports whether a path is a directory or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, dir+"/") || dir == "."
}
