// Publishing: a kill at any moment loses nothing, and neither does a disk that fails.

package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// oneStep is a plan with a single step whose outputs go to dir/out/one, linked as "latest" for a variant.
func oneStep(dir string, kind plan.Kind) plan.Plan {
	s := plan.Step{ID: string(kind) + "/one", Kind: kind, Name: "one", Out: filepath.Join(dir, "out", "one")}
	s.Solve = plan.Solve{Name: "one x86_64", Target: string(kind)}
	if kind == plan.Variant {
		s.Link = "latest"
	}
	return plan.Plan{Arch: "x86_64", Steps: []plan.Step{s}}
}

func options(dir string, b Builder) Options {
	return Options{Builder: b, Sink: &buildtest.Recorder{}, Staging: filepath.Join(dir, "staging")}
}

func noExchange(a, b string) error { return errors.ErrUnsupported }

type builderFunc func(out string) error

func (f builderFunc) Build(_ context.Context, _ plan.Solve, out string, _ func(progress.Event)) error {
	return f(out)
}

// stages are the moments at which a publishing process is killed below, without and with the system call that
// exchanges directories.
var (
	stages     = []string{"built", "checked", "synced", "parent", "replaced", "durable", "link", "linked"}
	stagesBare = []string{"built", "checked", "synced", "parent", "aside", "swapped", "replaced", "durable", "link", "linked"}
)

// A process killed at any stage leaves either the old or the new outputs, whole, and the next run ends as if nothing had happened.
func TestKillWhilePublishing(t *testing.T) {
	for mode, list := range map[string][]string{"exchange": stages, "renames": stagesBare} {
		for _, stage := range list {
			t.Run(mode+"/"+stage, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				want := undisturbed(t)
				publishVersion(t, dir, "v1", mode, "")
				publishVersion(t, dir, "v2", mode, stage)
				after := buildtest.Snapshot(t, filepath.Join(dir, "out", "one"))
				gap := mode == "renames" && stage == "aside" // the one moment at which only recovery has the outputs
				if !gap && !slices.Contains([]string{"v1", "v2"}, after["one.img"]) {
					t.Errorf("after the kill: %v", after)
				}
				failing := builderFunc(func(string) error { return errors.New("broken spec") })
				if _, err := Run(t.Context(), oneStep(dir, plan.Variant), options(dir, failing)); err == nil {
					t.Error("the failing build did not fail")
				}
				kept := buildtest.Snapshot(t, filepath.Join(dir, "out"))
				if !slices.Contains([]string{"v1", "v2"}, kept["one/one.img"]) || kept["latest"] != "-> one" || len(kept) != 3 {
					t.Errorf("after a failed next run: %v", kept)
				}
				publishVersion(t, dir, "v2", mode, "none")
				if got := buildtest.Snapshot(t, dir); !maps.Equal(got, want) {
					t.Errorf("after the next run: %v, want %v", got, want)
				}
			})
		}
	}
}

// undisturbed returns the tree after two runs that nobody killed.
func undisturbed(t *testing.T) map[string]string {
	dir := t.TempDir()
	publishVersion(t, dir, "v1", "exchange", "")
	publishVersion(t, dir, "v2", "exchange", "")
	return buildtest.Snapshot(t, dir)
}

// publishVersion runs a plan that publishes one.img with the text version. With the name of a stage it does so in a
// process of its own that must be killed there.
func publishVersion(t *testing.T, dir, version, mode, stage string) {
	t.Helper()
	if stage == "" || stage == "none" {
		if err := runVersion(t.Context(), dir, version, mode, func(string) {}); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "ENGINE_HELPER=publish", "ENGINE_DIR="+dir, "ENGINE_VERSION="+version, "ENGINE_MODE="+mode, "ENGINE_STAGE="+stage)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the helper was not killed at %q: %v\n%s", stage, err, out)
	}
}

func runVersion(ctx context.Context, dir, version, mode string, stage func(string)) error {
	o := options(dir, builderFunc(func(out string) error {
		return os.WriteFile(filepath.Join(out, "one.img"), []byte(version), 0o644)
	}))
	o.stage = stage
	if mode == "renames" {
		o.exchange = noExchange
	}
	_, err := Run(ctx, oneStep(dir, plan.Variant), o)
	return err
}

// TestHelperProcess is not a test: other tests run this binary again with ENGINE_HELPER set to have a process to kill.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("ENGINE_DIR")
	switch os.Getenv("ENGINE_HELPER") {
	case "":
		return
	case "publish":
		err := runVersion(t.Context(), dir, os.Getenv("ENGINE_VERSION"), os.Getenv("ENGINE_MODE"), func(name string) {
			if name == os.Getenv("ENGINE_STAGE") {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // the signal may take a moment
			}
		})
		t.Fatalf("came through alive: %v", err)
	case "lock":
		unlock, err := Lock(t.Context(), filepath.Join(dir, ".lock"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock() // never reached, but keeps the lock's file from being collected
		os.Stdout.WriteString("locked\n")
		select {}
	case "slot":
		release, err := Slot(t.Context(), dir, 3, "a helper", func([]string) { os.Stdout.WriteString("waits\n") })
		if err != nil {
			t.Fatal(err)
		}
		defer release() // never reached
		os.Stdout.WriteString("locked\n")
		select {}
	}
}

// A disk that reports an error when it is asked to keep the outputs has not kept them: nothing is published.
func TestSyncErrors(t *testing.T) {
	dir := t.TempDir()
	p := oneStep(dir, plan.Package)
	out := p.Steps[0].Out
	for _, mode := range []func(a, b string) error{exchange, noExchange} {
		for _, bad := range []string{"one.rpm", "package-one-", "out"} {
			buildtest.Write(t, out, "-- old.rpm --\nold\n")
			before := buildtest.Snapshot(t, filepath.Join(dir, "out"))
			o := options(dir, &buildtest.Fake{})
			o.exchange = mode
			o.sync = func(path string) error {
				if strings.HasPrefix(filepath.Base(path), bad) {
					return &os.PathError{Op: "sync", Path: path, Err: syscall.EIO}
				}
				return nil
			}
			_, err := Run(t.Context(), p, o)
			if _, ok := errors.AsType[*HostError](err); !ok || !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: error is %v", bad, err)
			}
			if after := buildtest.Snapshot(t, filepath.Join(dir, "out")); !maps.Equal(before, after) {
				t.Errorf("%s: outputs were changed: %v", bad, after)
			}
			if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
				t.Errorf("%s: left in staging: %v", bad, left)
			}
		}
	}
}

// Old outputs come back when the directory entry cannot be made durable.
func TestReplaceCanBeUndone(t *testing.T) {
	for name, ex := range map[string]func(a, b string) error{"exchange": exchange, "renames": noExchange} {
		for _, old := range []string{"-- out/a --\nold\n", ""} {
			t.Run(name, func(t *testing.T) {
				dir := buildtest.Tree(t, old+"-- new/a --\nnew\n")
				before := buildtest.Snapshot(t, dir)
				w := worker{o: Options{exchange: ex}.withDefaults(plan.Plan{})}
				undo, err := w.replace(filepath.Join(dir, "new"), filepath.Join(dir, "out"))
				if err != nil {
					t.Fatal(err)
				}
				if got := buildtest.Snapshot(t, dir); got["out/a"] != "new\n" {
					t.Errorf("after replace: %v", got)
				}
				if err := undo(); err != nil {
					t.Fatal(err)
				}
				if got := buildtest.Snapshot(t, dir); !maps.Equal(got, before) {
					t.Errorf("after undo: %v, want %v", got, before)
				}
			})
		}
	}
}

// What a kill left in staging is gone after the next run, also a directory without write permission.
func TestStagingIsEmptied(t *testing.T) {
	dir := buildtest.Tree(t, "-- staging/package-a-xyz/half.rpm --\nx\n-- staging/file --\n")
	if err := os.Chmod(filepath.Join(dir, "staging/package-a-xyz"), 0o555); err != nil {
		t.Fatal(err)
	}
	var atStart map[string]string
	b := builderFunc(func(out string) error {
		atStart = buildtest.Snapshot(t, filepath.Join(dir, "staging"))
		return os.WriteFile(filepath.Join(out, "one.img"), []byte("x"), 0o644)
	})
	if _, err := Run(t.Context(), oneStep(dir, plan.Variant), options(dir, b)); err != nil {
		t.Fatal(err)
	}
	if len(atStart) != 1 {
		t.Errorf("when the build started staging held %v, want only its own directory", atStart)
	}
	if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}

// A link name that is taken by a directory is an error of this machine, not of the step's build, and is named.
func TestLinkIsTaken(t *testing.T) {
	dir := buildtest.Tree(t, "-- out/latest/x --\n")
	b := builderFunc(func(out string) error {
		return os.WriteFile(filepath.Join(out, "one.img"), []byte("x"), 0o644)
	})
	_, err := Run(t.Context(), oneStep(dir, plan.Variant), options(dir, b))
	host, ok := errors.AsType[*HostError](err)
	if !ok || !strings.Contains(host.Error(), "latest") {
		t.Errorf("error is %v (%v)", err, host)
	}
	if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}
