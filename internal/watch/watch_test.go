// watch_test: changes of real files, as the kernel tells them.

package watch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scene is a watched tree. A change counts as complete at the file "last", so that no test waits
// for time to pass.
type scene struct {
	*testing.T
	*Watcher
	warnings []string
}

func newScene(t *testing.T, dirs ...string) *scene {
	t.Helper()
	s := &scene{T: t}
	var err error
	s.Watcher, err = New(t.TempDir(), Options{
		Ignore: func(name string) bool { return strings.HasSuffix(name, "~") },
		Warn:   func(text string) { s.warnings = append(s.warnings, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, dir := range append(dirs, "end") {
		s.mkdir(dir)
	}
	return s
}

func (s *scene) mkdir(dir string) {
	s.Helper()
	if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) write(name string) {
	s.Helper()
	if err := os.WriteFile(s.path(name), nil, 0o644); err != nil {
		s.Fatal(err)
	}
}

// watch watches places, and the directory that ends changes.
func (s *scene) watch(places ...Place) bool {
	return s.Watch(append(places, Place{Dir: "end"}))
}

// changes returns what has changed, once the file "last" does.
func (s *scene) changes() []string {
	s.Helper()
	s.write("end/last")
	var all []string
	over := make(chan time.Time) // quiet comes at once, and a change that never ends does not
	close(over)
	s.after = func(d time.Duration) <-chan time.Time {
		if d == quiet {
			return over
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !slices.Contains(all, "end/last") {
		c, err := s.Next(ctx)
		if err != nil {
			s.Fatalf("%v; so far %q", err, all)
		}
		all = append(all, c.Names...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "end") })
}

func (s *scene) want(want ...string) {
	s.Helper()
	if got := s.changes(); !slices.Equal(got, want) {
		s.Errorf("changed %q, want %q", got, want)
	}
}

func TestWatch(t *testing.T) {
	s := newScene(t, "a/b", "c")
	s.write("top")
	if !s.watch(Place{Dir: "a"}, Place{Dir: ".", Names: []string{"top"}}) {
		t.Error("no directory was added")
	}
	if s.watch(Place{Dir: "a"}, Place{Dir: ".", Names: []string{"top"}}) {
		t.Error("directories were added a second time")
	}
	s.write("a/b/file")
	s.write("a/b/file~")
	s.write("c/file")
	s.write("top")
	s.write("other")
	s.want("a/b/file", "top")
}

// A file that is written elsewhere and renamed is a change, and so is one that goes away.
func TestRenamedAndRemoved(t *testing.T) {
	s := newScene(t, "a")
	s.write("new")
	s.write("a/old")
	s.watch(Place{Dir: "a"})
	if err := os.Rename(s.path("new"), s.path("a/file")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("a/old")); err != nil {
		t.Fatal(err)
	}
	s.want("a/file", "a/old")
}

// What comes after the watch began is watched as well: a directory, and one that was gone.
func TestNewDirectories(t *testing.T) {
	s := newScene(t, "a/b", "a/gone")
	s.watch(Place{Dir: "a/b"}, Place{Dir: "a/gone"})
	s.mkdir("a/b/c/d")
	if err := os.Remove(s.path("a/gone")); err != nil {
		t.Fatal(err)
	}
	s.want("a/b/c", "a/gone")
	s.mkdir("a/gone")
	s.changes()
	s.write("a/b/c/d/file")
	s.write("a/gone/file")
	s.want("a/b/c/d/file", "a/gone/file")
}

func TestLinksAreNotFollowed(t *testing.T) {
	s := newScene(t, "a", "in")
	outside := t.TempDir()
	for name, to := range map[string]string{"a/out": outside, "top": outside, "a/in": "../in",
		"near": "in"} {
		if err := os.Symlink(to, s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	s.watch(Place{Dir: "a"}, Place{Dir: "top"}, Place{Dir: "near"})
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.write("in/file")
	s.want()
	if err := os.Symlink(outside, s.path("a/later")); err != nil {
		t.Fatal(err)
	}
	s.want("a/later")
	if err := os.WriteFile(filepath.Join(outside, "file2"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.want()
}

// A tree with more directories than are watched gets a warning that names one.
func TestTooMany(t *testing.T) {
	s := newScene(t, "a/1", "a/2", "a/3")
	s.limit = 4 // ".", a, a/1, a/2
	s.Watch([]Place{{Dir: "a"}})
	want := "watch: more than 4 directories take part: changes in a/3 and others are not noticed"
	if !slices.Equal(s.warnings, []string{want}) || len(s.dirs) != 4 {
		t.Errorf("warnings %q, want %q; %d directories", s.warnings, want, len(s.dirs))
	}
	s.mkdir("a/1/new")
	s.write("a/1/file")
	_, _ = s.take(<-s.events.Events), s.take(<-s.events.Events)
	if len(s.dirs) > 4 {
		t.Errorf("%d directories are watched", len(s.dirs))
	}
}

func TestNextEnds(t *testing.T) {
	s := newScene(t)
	s.watch()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); err != context.Canceled {
		t.Errorf("error %v", err)
	}
}

// TestManyWarnings: names without number make no more warnings than somebody reads, and the last
// one says so.
func TestManyWarnings(t *testing.T) {
	var said []string
	warn := func(text string) { said = append(said, text) }
	w := &Watcher{warned: map[string]bool{}, o: Options{Warn: warn}}
	for i := range 2 * maxWarned {
		w.warn("%d is a link", i/2)
		w.warn("%d is a link", i)
	}
	if len(said) != maxWarned+1 || !strings.Contains(said[maxWarned], "and more changes") {
		t.Errorf("%d warnings, the last is %q", len(said), said[len(said)-1])
	}
}
