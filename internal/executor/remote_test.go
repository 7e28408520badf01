// Runs of two machines that share a remote cache, here a directory: nothing is built twice, and
// nothing is fetched without need.

package executor_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// chain is low <- mid <- top, and aside alone; a step uses its closure, as in plans.
var chain = []string{"low:", "mid: low", "top: low mid", "aside:"}

// sharing returns a machine of its own with a remote cache in dir; only top is wanted.
func sharing(t *testing.T, dir string, lines ...string) *scene {
	t.Helper()
	s := newCachedScene(t, 2, lines...)
	s.opts.Wanted = func(step plan.Step) bool { return step.Name == "top" }
	s.share(t, dir)
	return s
}

// share gives the scene's next run the remote cache in dir.
func (s *scene) share(t *testing.T, dir string) {
	t.Helper()
	rec := func(text string) { s.rec.Event(progress.Event{Kind: progress.Warning, Text: text}) }
	c, err := remote.Open(remote.Options{
		From: []remote.Location{{Dir: dir}}, To: remote.Location{Dir: dir}, Warn: rec,
		Have: s.opts.Cache.Store.OpenBlob,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Cache.Remote = c
}

// with runs the plan with the remote cache in dir and returns the traffic with it.
func (s *scene) with(t *testing.T, dir, want string) remote.Stats {
	t.Helper()
	s.share(t, dir)
	s.forget()
	rep, err := executor.Run(t.Context(), s.plan, s.opts.NoSync())
	s.opts.Cache.Remote.Close(t.Context(), nil)
	if got := statuses(rep); got != want || err != nil {
		t.Errorf("got  %s (%v)\nwant %s\n%s", got, err, want, s.warnings())
	}
	s.checkStagingEmpty(t)
	return s.opts.Cache.Remote.Stats()
}

// here returns the names of the steps whose outputs are in the checkout, in plan order. It checks
// the outputs where it can.
func (s *scene) here(t *testing.T) string {
	t.Helper()
	var names []string
	for _, step := range s.plan.Steps {
		if _, err := os.Stat(step.Out); err == nil {
			names = append(names, step.Name)
			complete := !slices.ContainsFunc(slices.Collect(step.Uses.All()), func(d int) bool {
				_, err := os.Stat(s.plan.Steps[d].Out)
				return err != nil
			})
			if complete && !s.isNew(t, step.Name) {
				t.Errorf("the outputs of %s are %v", step.Name, buildtest.Snapshot(t, step.Out))
			}
		}
	}
	return strings.Join(names, " ")
}

const (
	chainBuilt  = "low done, mid done, top done, aside done"
	chainCached = "low cached, mid cached, top cached, aside cached"
)

func TestRemoteLeavesWhatNobodyNeeds(t *testing.T) {
	dir := t.TempDir()
	first := sharing(t, dir, chain...)
	if s := first.with(t, dir, chainBuilt); s.Pushed != 4 || s.Hits != 0 {
		t.Errorf("the first machine: %+v", s)
	}
	second := sharing(t, dir, chain...)
	second.opts.Prepare = noEngine(t)
	s := second.with(t, dir, chainCached)
	if s.Hits != 4 || s.Fetched != 1 || s.Pushed != 0 {
		t.Errorf("the second machine: %+v", s)
	}
	if got := second.here(t); got != "top" {
		t.Errorf("in the checkout: %s, want only what was asked for", got)
	}
	// An answer is remembered: the cache is not asked again, and may even be gone.
	if s := second.with(t, t.TempDir(), chainCached); s.Down != 0 {
		t.Errorf("the second run: %+v", s)
	}
	second.opts.Cache.Remote = nil
	second.forget()
	if rep, err := executor.Run(t.Context(), second.plan, second.opts.NoSync()); err != nil ||
		statuses(rep) != chainCached {
		t.Errorf("without a remote cache: %s, %v", statuses(rep), err)
	}
}

func TestRemoteFetchesWhatABuildNeeds(t *testing.T) {
	dir := t.TempDir()
	sharing(t, dir, chain...).with(t, dir, chainBuilt)
	second := sharing(t, dir, chain...)
	second.edit(t, "mid", "Name: mid\nchanged\n")
	s := second.with(t, dir, "low cached, mid done, top done, aside cached")
	if got := second.here(t); got != "low mid top" || s.Fetched != 1 {
		t.Errorf("in the checkout: %s; %+v", got, s)
	}
	if calls := second.fake.Calls(); !slices.Equal(calls, []string{"mid", "top"}) {
		t.Errorf("built %v", calls)
	}
	// A change without effect leaves the outputs as they were, and top is taken from the cache.
	third := sharing(t, dir, chain...)
	third.edit(t, "mid", "Name: mid\n# a comment\n")
	third.with(t, dir, "low cached, mid done, top cached, aside cached")
	if got := third.here(t); got != "low mid top" {
		t.Errorf("in the checkout: %s", got)
	}
}

// blobs returns the paths of the output blobs of a step in the remote directory.
func blobs(t *testing.T, dir, step string) (manifest string, paths []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "manifests", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Annotations map[string]string
			Layers      []struct{ MediaType, Digest string }
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		if m.Annotations["invalid.buildsys.step"] != "package/"+step+" x86_64" {
			continue
		}
		for _, l := range m.Layers {
			if strings.Contains(l.MediaType, "output") {
				paths = append(paths, filepath.Join(dir, "blobs/sha256",
					strings.TrimPrefix(l.Digest, "sha256:")))
			}
		}
		return file, paths
	}
	t.Fatalf("no result of %s", step)
	return "", nil
}

// Outputs that turn out to be missing or damaged only when a build needs them are built, and all
// steps above are looked up again.
func TestRemoteOutputsThatCannotBeHad(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"wrong": func(t *testing.T, path string) { flip(t, path, 9) },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			sharing(t, dir, chain...).with(t, dir, chainBuilt)
			_, paths := blobs(t, dir, "low")
			spoil(t, paths[0])
			second := sharing(t, dir, chain...)
			second.edit(t, "top", "Name: top\nchanged\n") // needs low and mid, which have ended by then
			second.with(t, dir, "low done, mid cached, top done, aside cached")
			if got := second.here(t); got != "low mid top" || !strings.Contains(second.warnings(), "low") {
				t.Errorf("in the checkout: %s\n%s", got, second.warnings())
			}
			// The good result has replaced the bad one.
			third := sharing(t, dir, chain...)
			third.edit(t, "top", "Name: top\nchanged again\n")
			third.with(t, dir, "low cached, mid cached, top done, aside cached")
		})
	}
}

// If a step that is built after all comes out differently, the steps that rely on its missing
// result are built as well.
func TestRemoteOutputsThatCannotBeHadAgain(t *testing.T) {
	dir := t.TempDir()
	first := sharing(t, dir, chain...)
	first.with(t, dir, chainBuilt)
	_, paths := blobs(t, dir, "low")
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	second := sharing(t, dir, chain...)
	second.edit(t, "top", "Name: top\nchanged\n")
	second.share(t, dir)
	second.forget()
	second.opts.Builder = irreproducible{second.fake}
	rep, err := executor.Run(t.Context(), second.plan, second.opts.NoSync())
	second.opts.Cache.Remote.Close(t.Context(), nil)
	if got := statuses(rep); err != nil || got != "low done, mid done, top done, aside cached" {
		t.Errorf("got %s, %v\n%s", got, err, second.warnings())
	}
}

func TestRemotePoison(t *testing.T) {
	dir := t.TempDir()
	sharing(t, dir, chain...).with(t, dir, chainBuilt)
	low, _ := blobs(t, dir, "low")
	mid, _ := blobs(t, dir, "mid")
	data, err := os.ReadFile(low)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mid, data, 0o644); err != nil { // another package's result
		t.Fatal(err)
	}
	second := sharing(t, dir, chain...)
	second.with(t, dir, "low cached, mid done, top cached, aside cached")
	if got := second.warnings(); !strings.Contains(got, "package/mid") ||
		!strings.Contains(got, "refused") {
		t.Errorf("warnings: %s", got)
	}
	if got := second.here(t); got != "low mid top" {
		t.Errorf("in the checkout: %s", got)
	}
}

func TestLocalOnlyUsesNothingRemote(t *testing.T) {
	dir := t.TempDir()
	sharing(t, dir, chain...).with(t, dir, chainBuilt)
	second := sharing(t, dir, chain...)
	second.with(t, dir, chainCached)
	second.opts.Cache.Trusts = nil
	second.with(t, dir, chainBuilt) // also top, which is in the checkout and in the store
	second.with(t, dir, chainCached)
	second.remove(t, "rpms")
	second.with(t, dir, chainCached) // from the store: these were built here
}

// What an earlier run took from a remote cache is used only by runs that take results from there.
func TestOriginCounts(t *testing.T) {
	dir := t.TempDir()
	sharing(t, dir, chain...).with(t, dir, chainBuilt)
	s := sharing(t, dir, chain...)
	s.with(t, dir, chainCached) // top is in the checkout and in the store, the others are noted
	foreign := "dir:" + dir
	s.opts.Cache.Trusts = func(origin string) bool { return origin != foreign }
	s.opts.Cache.Remote = nil
	s.run(t, chainBuilt)
	if got := s.warnings(); strings.Count(got, "is not used") != 1 || !strings.Contains(got, foreign) {
		t.Errorf("warnings: %s", got)
	}
	s.run(t, chainCached) // these were built here
}

func TestRemoteRequired(t *testing.T) {
	dir := t.TempDir()
	sharing(t, dir, chain...).with(t, dir, chainBuilt)
	second := sharing(t, dir, chain...)
	second.opts.Cache.Require = true
	second.with(t, dir, chainCached)
	third := sharing(t, dir, chain...)
	third.opts.Cache.Require = true
	_, paths := blobs(t, dir, "top")
	if err := os.Remove(paths[0]); err != nil {
		t.Fatal(err)
	}
	rep, err := executor.Run(t.Context(), third.plan, third.opts.NoSync())
	if got := statuses(rep); err == nil || got != "low cached, mid cached, top failed, aside cached" {
		t.Errorf("got %s, %v", got, err)
	}
}

// irreproducible builds different outputs on every call.
type irreproducible struct{ *buildtest.Fake }

func (b irreproducible) Build(ctx context.Context, s plan.Solve, out string,
	report func(progress.Event)) error {
	if err := b.Fake.Build(ctx, s, out, report); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(out, buildtest.OutputName(s)), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(rand.Text())
	return errors.Join(err, f.Close())
}

// A step that is for this machine is neither uploaded nor looked for.
func TestPrivateStepsStay(t *testing.T) {
	dir := t.TempDir()
	first := sharing(t, dir, chain...)
	first.step("top").Private = true
	if s := first.with(t, dir, chainBuilt); s.Pushed != 3 {
		t.Errorf("the first machine: %+v", s)
	}
	if s := first.with(t, dir, chainCached); s.Pushed != 0 {
		t.Errorf("the first machine again: %+v", s)
	}
	sharing(t, dir, chain...).with(t, dir, "low cached, mid cached, top done, aside cached")
	third := sharing(t, dir, chain...)
	third.step("top").Private = true
	third.with(t, dir, "low cached, mid cached, top done, aside cached")
}
