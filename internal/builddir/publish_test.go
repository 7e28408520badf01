// Publishing: neither a kill at any moment nor a failing disk loses outputs.

package builddir_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
)

// packageOutputs are RPMs that belong in dir/out/one.
func packageOutputs(dir string) builddir.Outputs {
	return builddir.Outputs{Step: "package/one", Dir: filepath.Join(dir, "out", "one"), RPMs: true}
}

// imageOutputs are an image that belongs there as well; the link "latest" points to it.
func imageOutputs(dir string) builddir.Outputs {
	return builddir.Outputs{
		Step: "variant/one", Dir: filepath.Join(dir, "out", "one"), Link: "latest", Links: true,
	}
}

// build publishes what work leaves in a directory, in the same order as a run without a cache.
func build(
	dir string, o builddir.Outputs, hooks builddir.Hooks, work func(out string) error,
) error {
	s, err := builddir.OpenStaging("", filepath.Join(dir, "staging"), hooks)
	if err != nil {
		return err
	}
	if err := s.Recover(o); err != nil {
		return err
	}
	err = s.Use(o.Step, func(out string) error {
		if err := work(out); err != nil {
			return err
		}
		s.Stage("built")
		if err := o.Check(out); err != nil {
			return err
		}
		s.Stage("checked")
		return s.Publish(o, out)
	})
	return errors.Join(err, s.Close())
}

// writes returns a work function that leaves one file.
func writes(name, text string) func(out string) error {
	return func(out string) error {
		return os.WriteFile(filepath.Join(out, name), []byte(text), 0o644)
	}
}

func noExchange(a, b string) error { return errors.ErrUnsupported }

// The stages at which a publishing process is killed below, without and with the system call that
// exchanges directories.
var (
	stages = []string{"built", "checked", "synced", "parent", "replaced", "durable", "link",
		"linked"}
	stagesBare = []string{"built", "checked", "synced", "parent", "aside", "swapped", "replaced",
		"durable", "link", "linked"}
)

// A process killed at any stage leaves either the old or the new outputs, whole, and the next run
// ends as if nothing had happened.
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
				// the one moment at which only recovery can restore the outputs
				gap := mode == "renames" && stage == "aside"
				if !gap && !slices.Contains([]string{"v1", "v2"}, after["one.img"]) {
					t.Errorf("after the kill: %v", after)
				}
				failing := func(string) error { return errors.New("broken spec") }
				if err := build(dir, imageOutputs(dir), builddir.Hooks{}, failing); err == nil {
					t.Error("the failing build did not fail")
				}
				kept := buildtest.Snapshot(t, filepath.Join(dir, "out"))
				if !slices.Contains([]string{"v1", "v2"}, kept["one/one.img"]) || kept["latest"] != "-> one" ||
					len(kept) != 3 {
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

// publishVersion runs a plan that publishes one.img with the text version. If stage is not empty,
// it does so in a separate process that must be killed at that stage.
func publishVersion(t *testing.T, dir, version, mode, stage string) {
	t.Helper()
	if stage == "" || stage == "none" {
		if err := runVersion(dir, version, mode, func(string) {}); err != nil {
			t.Fatal(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "BUILDDIR_HELPER=publish", "BUILDDIR_DIR="+dir,
		"BUILDDIR_VERSION="+version, "BUILDDIR_MODE="+mode, "BUILDDIR_STAGE="+stage)
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the helper was not killed at %q: %v\n%s", stage, err, out)
	}
}

func runVersion(dir, version, mode string, stage func(string)) error {
	hooks := builddir.Hooks{Stage: stage}
	if mode == "renames" {
		hooks.Exchange = noExchange
	}
	return build(dir, imageOutputs(dir), hooks, writes("one.img", version))
}

// TestHelperProcess is not a test: other tests run this binary again with BUILDDIR_HELPER set to
// have a process to kill.
func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("BUILDDIR_DIR")
	switch os.Getenv("BUILDDIR_HELPER") {
	case "":
		return
	case "publish":
		err := runVersion(dir, os.Getenv("BUILDDIR_VERSION"), os.Getenv("BUILDDIR_MODE"),
			func(name string) {
				if name == os.Getenv("BUILDDIR_STAGE") {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {} // the signal may take a moment
				}
			})
		t.Fatalf("survived the kill: %v", err)
	case "lock":
		unlock, err := builddir.Lock(t.Context(), "", filepath.Join(dir, ".lock"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock() // never reached, but keeps the lock's file from being garbage-collected
		os.Stdout.WriteString("locked\n")
		select {}
	case "slot":
		release, err := builddir.Slot(t.Context(), dir, 3, "a helper",
			func([]string) { os.Stdout.WriteString("waits\n") })
		if err != nil {
			t.Fatal(err)
		}
		defer release() // never reached
		os.Stdout.WriteString("locked\n")
		select {}
	}
}

// If the disk reports an error when asked to write the outputs, they may be lost: nothing is
// published.
func TestSyncErrors(t *testing.T) {
	dir := t.TempDir()
	outputs := packageOutputs(dir)
	for _, mode := range []func(a, b string) error{builddir.Exchange, noExchange} {
		for _, bad := range []string{"one.rpm", "package-one-", "out"} {
			buildtest.Write(t, outputs.Dir, "-- old.rpm --\nold\n")
			before := buildtest.Snapshot(t, filepath.Join(dir, "out"))
			hooks := builddir.Hooks{Exchange: mode, Sync: func(path string) error {
				real, err := filepath.EvalSymlinks(path) // of a handle
				if err != nil || strings.HasPrefix(filepath.Base(real), bad) {
					return &os.PathError{Op: "sync", Path: path, Err: syscall.EIO}
				}
				return nil
			}}
			err := build(dir, outputs, hooks, writes("one.rpm", buildtest.RPMMagic))
			if _, ok := errors.AsType[*builddir.HostError](err); !ok || !errors.Is(err, syscall.EIO) {
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
	modes := map[string]func(a, b string) error{"exchange": builddir.Exchange, "renames": noExchange}
	for name, exchange := range modes {
		for _, old := range []string{"-- out/a --\nold\n", ""} {
			t.Run(name, func(t *testing.T) {
				dir := buildtest.Tree(t, old+"-- new/a --\nnew\n")
				before := buildtest.Snapshot(t, dir)
				s, err := builddir.OpenStaging("", t.TempDir(), builddir.Hooks{Exchange: exchange})
				if err != nil {
					t.Fatal(err)
				}
				undo, err := s.Replace(filepath.Join(dir, "new"), filepath.Join(dir, "out"))
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

// The next run deletes what a kill left in staging, even a directory without write permission.
func TestStagingIsEmptied(t *testing.T) {
	dir := buildtest.Tree(t, "-- staging/package-a-xyz/half.rpm --\nx\n-- staging/file --\n")
	if err := os.Chmod(filepath.Join(dir, "staging/package-a-xyz"), 0o555); err != nil {
		t.Fatal(err)
	}
	var atStart map[string]string
	err := build(dir, imageOutputs(dir), builddir.Hooks{}, func(out string) error {
		atStart = buildtest.Snapshot(t, filepath.Join(dir, "staging"))
		return os.WriteFile(filepath.Join(out, "one.img"), []byte("x"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(atStart) != 1 {
		t.Errorf("when the build started staging held %v, want only its own directory", atStart)
	}
	if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}

// A directory in the place of the link is an error of this machine, not of the step's build; the
// error names it.
func TestLinkIsTaken(t *testing.T) {
	dir := buildtest.Tree(t, "-- out/latest/x --\n")
	err := build(dir, imageOutputs(dir), builddir.Hooks{}, writes("one.img", "x"))
	host, ok := errors.AsType[*builddir.HostError](err)
	if !ok || !strings.Contains(host.Error(), "latest") {
		t.Errorf("error is %v (%v)", err, host)
	}
	if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
		t.Errorf("left in staging: %v", left)
	}
}
