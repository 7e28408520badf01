// Tests on an engine of what bounds a step: what may arrive in staging, how large a file may be,
// how many processes run.

package buildkit

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// harmlessStaging checks that a program with a set-user-ID bit and a device are at no moment in
// staging, which nobody else can enter. The kernel reports the file that is made before them, so it
// would report them too.
func (e *engineTest) harmlessStaging(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "staging")
	staging, err := builddir.OpenStaging("", dir, builddir.Hooks{})
	must(t, err)
	for bad, tool := range map[string][]string{
		"suid": {"leave", "mode", "/output/suid", "4755"},
		"disk": {"leave", "disk", "/output/disk"},
		"pipe": {"leave", "fifo", "/output/pipe"},
		"able": {"leave", "capabilities", "/output/able"},
	} {
		tool = append([]string{"write", "/output/a.rpm", "x", ","}, tool...)
		must(t, staging.Use("package/bad", func(out string) error {
			if info, err := os.Stat(dir); err != nil || info.Mode() != os.ModeDir|0o700 {
				t.Errorf("staging has the mode %v, %v", info.Mode(), err)
			}
			made := watch(t, out)
			_, err := e.build(t.Context(), e.request("harmless", "", tool...), out)
			if oe, ok := errors.AsType[*OutputError](err); !ok || oe.File != bad {
				t.Errorf("%s: %v", bad, err)
			}
			if names := made(); slices.Contains(names, bad) || !slices.Contains(names, "a.rpm") {
				t.Errorf("%s: in staging were %q", bad, names)
			}
			return nil
		}))
	}
}

// limited returns a Builder on the same engine with other limits.
func (e *engineTest) limited(t *testing.T, limits engine.Limits) *Builder {
	t.Helper()
	opt := engine.Options{Host: e.b.engine.host(), Limits: limits}
	if d, ok := e.b.engine.(*buildkitd); ok {
		opt = engine.Options{BuildKit: d.host(), OCILayout: d.layout.Dir, Limits: limits}
	}
	b, err := Dial(t.Context(), opt)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

// knows reports whether the engine can do something. A build has asked it before.
func (e *engineTest) knows(what apicaps.CapID) bool {
	e.b.frontend.mu.Lock()
	defer e.b.frontend.mu.Unlock()
	for _, a := range e.b.frontend.known {
		return a.opts.LLBCaps.Supports(what) == nil
	}
	return false
}

// fileSize checks that no program of a step makes a file of more than its outputs may have, which
// the error says, also with a tree's own Dockerfile. An engine that does not know the limit builds
// all the same.
func (e *engineTest) fileSize(t *testing.T) {
	b := e.limited(t, engine.Limits{Bytes: 1 << 20})
	for _, own := range []bool{false, true} {
		s := e.request("size", "", "write", "/output/a", "x", ",", "write", "/large", "", ",", "grow",
			"/large", "1048577")
		if own {
			s.Contexts = map[string]plan.Context{plan.TreeContext: {}}
			text, _, _ := strings.Cut(string(s.Dockerfile), "FROM scratch")
			s.Dockerfile = []byte(strings.Replace(text, " AS build", " AS package", 1))
		}
		err := b.Build(t.Context(), s, t.TempDir(), nil)
		if !e.knows(pb.CapExecMetaUlimit) {
			if err != nil {
				t.Errorf("own Dockerfile: %v: %v", own, err)
			}
			continue
		}
		se, ok := errors.AsType[*SolveError](err)
		if !ok || se.class != StepFailed || se.FileLimit != 1<<20 ||
			!strings.Contains(err.Error(), "a file of more than 1 MiB (--step-output)") {
			t.Errorf("own Dockerfile: %v: %v", own, err)
		}
	}
}

// controlGroup checks that a step's processes count against the limits of the control group that
// the caller names, or that the caller is told that they do not.
func (e *engineTest) controlGroup(t *testing.T) {
	group := "buildsys-test"
	if e.knows(pb.CapExecMetaCgroupParent) {
		group = limitedGroup(t)
	}
	b := e.limited(t, engine.Limits{Cgroup: group})
	var warnings []string
	build := func(tool ...string) error {
		return b.Build(t.Context(), e.request("processes", "", tool...), t.TempDir(),
			func(ev progress.Event) {
				if ev.Kind == progress.Warning {
					warnings = append(warnings, ev.Text)
				}
			})
	}
	few := build("write", "/output/a", "x")
	many := build("spawn", "100", ",", "write", "/output/a", "x")
	if few != nil {
		t.Error(few)
	}
	if !e.knows(pb.CapExecMetaCgroupParent) {
		if many != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "--cgroup-parent") {
			t.Errorf("%v; warnings %q", many, warnings)
		}
		return
	}
	if se, ok := errors.AsType[*SolveError](many); !ok || se.ExitCode == 0 || len(warnings) > 0 {
		t.Errorf("a hundred processes: %v; warnings %q", many, warnings)
	}
}

// limitedGroup makes a control group with room for 40 processes and threads.
func limitedGroup(t *testing.T) string {
	t.Helper()
	need.Root(t)
	name, root := "buildsys-test-"+strings.ToLower(rand.Text()), "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/pids"); err == nil {
		root += "/pids" // version 1
	}
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		need.Engine(t, false, "one on a machine where this process may make control groups")
	}
	t.Cleanup(func() {
		others, err := filepath.Glob("/sys/fs/cgroup/*/" + name) // the engine's, in version 1
		must(t, err)
		for _, dir := range append(others, dir) {
			_ = os.Remove(filepath.Join(dir, "buildkit"))
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	must(t, os.WriteFile(filepath.Join(dir, "pids.max"), []byte("40"), 0o644))
	return name
}

// An engine that fails for another reason than a file's size is not said to have limited it.
func TestFileLimitIsSaidOfItsOwnFailuresOnly(t *testing.T) {
	for log, want := range map[string]bool{
		"File size limit exceeded (core dumped)":           true,
		"truncate: failed to truncate 'x': File too large": true,
		"truncate /large: file too large":                  true,
		"error: no such file":                              false,
	} {
		f := failure{err: errors.New("x"), text: "exit code: 1", tail: []string{log}, fileLimit: 5}
		if got := f.solveError("a", "sdk").FileLimit == 5; got != want {
			t.Errorf("%q: %v", log, got)
		}
	}
	f := failure{err: context.Canceled, ctx: context.Canceled, text: "exit code: 153", fileLimit: 5}
	if e := f.solveError("a", "sdk"); e.FileLimit != 0 || errkind.Of(e) != errkind.Unexpected {
		t.Errorf("cancelled: %v", e)
	}
	f.ctx, f.err = nil, errors.New("x")
	if e := f.solveError("a", "sdk"); e.FileLimit != 5 {
		t.Errorf("a program that was killed: %v", e)
	}
}
