// Kills with a cache: whatever the moment, the next run ends with the tree, the records and the
// store of an undisturbed run.

package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
	"buildsys/internal/cache"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/scheduler"
)

// twoSteps returns a package and an image made of it, with their inputs below dir.
func twoSteps(dir string) plan.Plan {
	file := func(name string) plan.Context {
		return plan.Context{Files: []plan.File{{Name: name, Host: filepath.Join(dir, "in", name),
			Mode: 0o644}}}
	}
	lib := plan.Step{ID: "package/lib", Kind: plan.Package, Name: "lib",
		Out: filepath.Join(dir, "out", "rpms", "lib")}
	lib.Solve = plan.Solve{Name: "lib x86_64", Target: "package",
		Contexts: map[string]plan.Context{"package": file("lib.spec")}}
	img := plan.Step{ID: "variant/img", Kind: plan.Variant, Name: "img", Uses: graph.SetOf(0),
		Waits: []int{0},
		Out:   filepath.Join(dir, "out", "images", "img"), Link: "latest"}
	img.Solve = plan.Solve{Name: "img x86_64", Target: "variant", Contexts: map[string]plan.Context{
		"package": file("img.toml"),
		"rpms":    {RPMs: graph.SetOf(0)},
	}}
	return plan.Plan{Arch: "x86_64", Steps: []plan.Step{lib, img}}
}

// runCached runs twoSteps in dir and returns the names of the steps that were built. It calls stage
// at every stage of a step; package cache tests those within the store. The clock stands still, so
// that two runs can be compared.
func runCached(
	ctx context.Context, dir string, sink progress.Sink, stage func(string),
) ([]string, error) {
	store, err := cache.Open(filepath.Join(dir, "store"))
	if err != nil {
		return nil, err
	}
	store.Warn = func(text string) { sink.Event(progress.Event{Kind: progress.Warning, Text: text}) }
	fake := &buildtest.Fake{}
	o := Options{Builder: fake, Places: Places{Staging: filepath.Join(dir, "staging")}}
	o.Sink, o.hooks.Stage = sink, stage
	o.now = func() time.Time { return time.Unix(1700000000, 0) }
	o.Cache = &Cache{
		Store: store, Memo: cache.NewMemo(context.Background()), SDK: "sha256:0",
		State: filepath.Join(dir, "state"),
		Nodes: cache.Nodes{Dir: filepath.Join(dir, "state/packages")},
		Log:   func(string) string { return "" },
	}
	if testing.Short() || os.Getenv("EXECUTOR_HELPER") == "" { // the kill matters here, not the disk
		o.hooks.Sync = func(string) error { return nil }
	}
	_, err = Run(ctx, twoSteps(dir), o)
	return fake.Calls(), err
}

func mustRunCached(t *testing.T, dir string) []string {
	t.Helper()
	rec := &buildtest.Recorder{}
	built, err := runCached(t.Context(), dir, rec, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if w := rec.Events(progress.Warning); len(w) > 0 {
		t.Errorf("warnings: %+v", w)
	}
	return built
}

// cachedDir makes the inputs of twoSteps and builds every version in history.
func cachedDir(t *testing.T, history history) string {
	t.Helper()
	dir := buildtest.Tree(t, "-- in/img.toml --\nimage\n")
	for _, version := range history {
		buildtest.Write(t, dir, "-- in/lib.spec --\n"+version+"\n")
		mustRunCached(t, dir)
	}
	buildtest.Write(t, dir, "-- in/lib.spec --\nnew\n")
	return dir
}

// history holds the versions of lib.spec that are built before the run under test, which builds
// "new".
type history []string

var (
	fresh   = history{}
	rebuild = history{"old"}
	restore = history{"new", "old"} // the outputs in place are old, and the store has the new ones
)

// stored returns the whole tree as text, without the times and checksums of entries, which differ
// from run to run.
func stored(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := buildtest.Snapshot(t, dir)
	times := regexp.MustCompile(`(?m)^(built|sum) .*$`)
	for name, text := range all {
		switch {
		case strings.HasPrefix(name, "store/entries/"):
			all[name] = times.ReplaceAllString(text, "$1")
		case strings.HasSuffix(name, "/packages/swept"): // the time of the last sweep
			delete(all, name)
		}
	}
	return all
}

// A kill at any stage leaves the old or the new outputs, and the next run completes the tree.
func TestKillWithCache(t *testing.T) {
	for _, before := range []history{fresh, rebuild, restore} {
		calm := cachedDir(t, before)
		var stages []string
		if _, err := runCached(t.Context(), calm, &buildtest.Recorder{},
			func(name string) { stages = append(stages, name) }); err != nil {
			t.Fatal(err)
		}
		want := stored(t, calm)
		expected := []string{"synced", "parent", "replaced", "durable", "link", "linked"}
		if len(before) < 2 {
			expected = append(expected, "built", "checked", "stored", "recorded")
		}
		for _, one := range expected {
			if !slices.Contains(stages, one) {
				t.Errorf("with the history %q the stage %q was not reached", before, one)
			}
		}
		for n, stage := range stages {
			t.Run(fmt.Sprintf("%d before/%02d %s", len(before), n, stage), func(t *testing.T) {
				t.Parallel()
				killedRun(t, before, n, want)
			})
		}
	}
}

// killedRun kills a run at its nth stage and checks what is left then and after the next run.
func killedRun(t *testing.T, history history, n int, want map[string]string) {
	dir := cachedDir(t, history)
	before := stored(t, dir)
	cmd := exec.Command(os.Args[0], "-test.run=^TestCachedHelper$")
	cmd.Env = append(os.Environ(), "EXECUTOR_HELPER=cached", "EXECUTOR_DIR="+dir,
		"EXECUTOR_STAGE="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the helper was not killed: %v\n%s", err, out)
	}
	killed := buildtest.Snapshot(t, dir)
	for _, name := range []string{"out/rpms/lib/lib.rpm", "out/images/img/img.img",
		"out/images/latest"} {
		if got := killed[name]; got != before[name] && got != want[name] {
			t.Errorf("after the kill %s is %q, neither the old nor the new one", name, got)
		}
	}
	mustRunCached(t, dir)
	if got := stored(t, dir); !maps.Equal(got, want) {
		t.Errorf("after the next run: %s", differences(got, want))
	}
	if built := mustRunCached(t, dir); len(built) > 0 {
		t.Errorf("the run after that built %v", built)
	}
}

func differences(got, want map[string]string) string {
	var text strings.Builder
	all := maps.Clone(got)
	maps.Copy(all, want)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one, isGot := got[name]
		other, isWanted := want[name]
		if one != other || isGot != isWanted {
			fmt.Fprintf(&text, "\n%s is %q (%v), want %q (%v)", name, one, isGot, other, isWanted)
		}
	}
	return text.String()
}

// TestCachedHelper is not a test: TestKillWithCache runs this binary again to have a process to
// kill.
func TestCachedHelper(t *testing.T) {
	if os.Getenv("EXECUTOR_HELPER") != "cached" {
		return
	}
	left, err := strconv.Atoi(os.Getenv("EXECUTOR_STAGE"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = runCached(t.Context(), os.Getenv("EXECUTOR_DIR"), &buildtest.Recorder{}, func(string) {
		if left == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal may take a moment
		}
		left--
	})
	t.Fatalf("survived the kill: %v", err)
}

// If any bit of the store, the records or the outputs flips, the next run still ends with the right
// outputs, and reports damage to an entry or output of the store that it read.
func TestAnyBitFlips(t *testing.T) {
	calm := cachedDir(t, rebuild)
	mustRunCached(t, calm)
	want := buildtest.Snapshot(t, filepath.Join(calm, "out"))
	paths := regularFiles(t, calm)
	if len(paths) < 15 {
		t.Errorf("only %q", paths)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, gone := range []bool{false, true} { // whether the outputs are deleted too
				for part := range 4 {
					flipAndRun(t, calm, path, part, gone, want)
				}
			}
		})
	}
}

// flipAndRun flips a bit of one file in a copy of the tree and runs the plan there.
func flipAndRun(t *testing.T, calm, path string, part int, gone bool, want map[string]string) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(calm)); err != nil {
		t.Fatal(err)
	}
	flipAt(t, filepath.Join(dir, path), part)
	if gone {
		if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
	}
	afterFlip(t, dir, path, gone, want)
}

// flipAt flips one bit of a file: in its first byte for part 0, in its last for part 3.
func flipAt(t *testing.T, path string, part int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return // the lock is empty, and outputs may be deleted
	}
	at := part * (len(data) - 1) / 3
	data[at] ^= 1 << ((at + part) % 8)
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func afterFlip(t *testing.T, dir, path string, gone bool, want map[string]string) {
	t.Helper()
	rec := &buildtest.Recorder{}
	built, err := runCached(t.Context(), dir, rec, func(string) {})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if got := buildtest.Snapshot(t, filepath.Join(dir, "out")); !maps.Equal(got, want) {
		t.Errorf("%s (outputs gone: %v): %s", path, gone, differences(got, want))
	}
	warned := false
	for _, e := range rec.Events(progress.Warning) {
		warned = warned || strings.Contains(e.Text, "damaged")
	}
	if len(built) > 0 && !warned {
		t.Errorf("%s (outputs gone: %v): built %v and did not say why", path, gone, built)
	}
	quarantine, err := os.ReadDir(filepath.Join(dir, "store", "quarantine"))
	if err != nil || len(quarantine) > 0 != warned {
		t.Errorf("%s (outputs gone: %v): %d files in quarantine (%v), said so: %v", path, gone,
			len(quarantine), err, warned)
	}
}

func regularFiles(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(path, "in/") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// If a run is cancelled while it restores a step, the step is not put in place.
func TestCancelDuringRestore(t *testing.T) {
	dir := cachedDir(t, fresh)
	mustRunCached(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Builder: &buildtest.Fake{}, Sink: &buildtest.Recorder{},
		Places: Places{Staging: filepath.Join(dir, "staging")}}
	o.Cache = &Cache{Store: store, Memo: cache.NewMemo(t.Context()), State: filepath.Join(dir, "s"),
		SDK: "sha256:0"}
	p := twoSteps(dir)
	staging, err := builddir.OpenStaging(o.Top, o.Staging, o.hooks)
	if err != nil {
		t.Fatal(err)
	}
	w := worker{o: o.withDefaults(p), staging: staging, plan: p, step: p.Steps[0], made: newLedger(p)}
	stop := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, hit, err := w.lookUp(ctx); hit != scheduler.Missing || !errors.Is(err, stop) {
		t.Errorf("restored: %v, %v", hit, err)
	}
	if left := buildtest.Snapshot(t, filepath.Join(dir, "out")); len(left) > 0 {
		t.Errorf("put in place: %v", left)
	}
	if _, hit, err := w.lookUp(t.Context()); hit != scheduler.Here || err != nil {
		t.Errorf("without the cancellation: %v, %v", hit, err)
	}
}
