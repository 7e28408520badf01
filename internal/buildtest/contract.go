// Contract: what every Builder does, on any engine. The Fake, Docker engines and buildkitd all run
// it, so that conclusions of other tests from the Fake hold for engines.

package buildtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// Builder is the executor's Builder, which this package must not import.
type Builder interface {
	Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error
}

// contract is a run of Contract for one builder.
type contract struct {
	b   Builder
	sdk string
}

// Contract tests that a builder does what every builder must do:
//
//   - outputs land in the directory it is given, as files of mode 0644 and directories of 0755,
//     and nothing is written beside it
//   - it reports log lines and warnings, in order, one at a time, and none after it has returned
//   - what a build makes depends on the contents, names and executable bits of its contexts and on
//     its arguments, not on the places, times or other mode bits of its inputs
//   - a step that fails is an error with the exit code; neither that nor an error in the inputs is
//     transient
//   - a build that is cancelled ends, and returns the cause
//   - concurrent builds do not mix; one with Fresh runs again
//   - secrets are shown to the build, and are in no output or log
//   - connections that the build opens to sockets are served, and a socket that nobody serves is
//     not there; what is served does not count as an input
//   - where programs can be run in what a build left (engine.Opener), they see that and the mounts
//     of its last RUN, have no network, and their exit status, streams and terminal are the
//     caller's
//   - outputs that are no files, directories or links between them, or more than MaxBytes and
//     MaxFiles, are an error that says so, and never reach the directory
//
// The builder must have been told of these limits.
//
// The image sdk, made from ToolImage, must be on the engine. The Fake needs none.
func Contract(t *testing.T, b Builder, sdk string) {
	c := contract{b, sdk}
	for _, test := range []struct {
		name string
		run  func(contract, *testing.T)
	}{
		{"outputs", contract.outputs},
		{"inputs that count", contract.counts},
		{"inputs that do not count", contract.countsNot},
		{"tree", contract.tree},
		{"bad inputs", contract.badInputs},
		{"failing step", contract.fails},
		{"cancel", contract.cancel},
		{"at once", contract.atOnce},
		{"fresh", contract.fresh},
		{"secrets", contract.secrets},
		{"sockets", contract.sockets},
		{"open", contract.open},
		{"forbidden outputs", contract.forbidden},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(c, t) })
	}
}

// build runs one build and returns its outputs and its log.
func (c contract) build(
	ctx context.Context, t *testing.T, s plan.Solve,
) (made map[string]string, lines []string, err error) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	Must(t, os.Mkdir(out, 0o755))
	var busy, returned atomic.Bool
	err = c.b.Build(ctx, s, out, func(e progress.Event) {
		if !busy.CompareAndSwap(false, true) || returned.Load() {
			t.Errorf("%s: %+v came during another event, or late", s.Name, e)
		}
		defer busy.Store(false)
		switch {
		case e.Kind != progress.StepLog && e.Kind != progress.Warning, e.Step != "":
			t.Errorf("%s: event %+v", s.Name, e)
		case e.Kind == progress.StepLog:
			lines = append(lines, e.Text)
		}
	})
	returned.Store(true)
	if beside := Snapshot(t, dir); err == nil {
		delete(beside, "out")
		for name := range beside {
			if !strings.HasPrefix(name, "out/") {
				t.Errorf("%s: %s was written beside the outputs", s.Name, name)
			}
		}
	}
	checkModes(t, out, err == nil)
	return Snapshot(t, out), lines, err
}

func checkModes(t *testing.T, out string, succeeded bool) {
	t.Helper()
	if !succeeded {
		return // out may have anything in it
	}
	Must(t, filepath.WalkDir(out, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == out {
			return err
		}
		info, err := d.Info()
		want := map[bool]fs.FileMode{false: 0o644, true: fs.ModeDir | 0o755}[d.IsDir()]
		if err != nil {
			return err
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; info.Mode() != want || uid != uint32(os.Getuid()) {
			t.Errorf("%s: mode %v of user %d, want %v of this user", path, info.Mode(), uid, want)
		}
		return nil
	}))
}

// succeed runs a build that must succeed.
func (c contract) succeed(t *testing.T, s plan.Solve) (made map[string]string, lines []string) {
	t.Helper()
	made, lines, err := c.build(t.Context(), t, s)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return made, lines
}

// request returns a build of a package that lists what it sees of its context and its arguments. No
// two requests are alike.
func (c contract) request(t *testing.T) plan.Solve {
	t.Helper()
	dir := Tree(t, "-- rpms/musl.rpm --\nlibc\n-- rpms/sub/run --\nrun\n-- spec --\nversion 1\n")
	setTime(t, filepath.Join(dir, "spec"))
	s := plan.Solve{
		Name: "bash x86_64", Target: "package",
		Args: map[string]string{"SDK": c.sdk, "ARCH": "x86_64", "PACKAGE": "bash"},
		Contexts: map[string]plan.Context{"package": {
			Files: []plan.File{
				{Name: "bash.spec", Host: filepath.Join(dir, "spec"), Mode: 0o644},
				{Name: "link", Link: "bash.spec"},
				{Name: "notes", Data: []byte("x"), Mode: 0o644},
			},
			Dirs: []*plan.Dir{{Name: "rpms", Host: filepath.Join(dir, "rpms")}},
		}},
	}
	s.Dockerfile = recipe(s, "--mount=from="+plan.ContextPrefix+"package,target=/host/package")
	return s
}

// treeRequest is request with a Dockerfile whose context is the tree.
func (c contract) treeRequest(t *testing.T) plan.Solve {
	t.Helper()
	s := c.request(t)
	s.Contexts = map[string]plan.Context{plan.TreeContext: s.Contexts["package"]}
	s.Dockerfile = recipe(s, "--mount=target=/host/package")
	return s
}

// recipe returns a Dockerfile that makes what the Fake makes, from everything that it sees, and
// then does more.
func recipe(s plan.Solve, mounts string, more ...string) []byte {
	file := "/output/" + OutputName(s)
	words := []string{"/tool", "print", "building", ",", "obey", "/host/package", ",",
		"mkdir", filepath.Dir(file), ",", "list", "/host/package", file, ",", "env", "PACKAGE", file}
	if s.Target == "kit" {
		words = append(words, ",", "mkdir", "/output/repodata", ",",
			"write", "/output/repodata/repomd.xml", "x")
	}
	run := strings.ReplaceAll(fmt.Sprintf("%q", append(words, more...)), `" "`, `", "`)
	text := fmt.Sprintf("ARG SDK\nFROM ${SDK} AS build\nARG PACKAGE\nENV NONCE=%s\nRUN %s %s\n",
		rand.Text(), mounts, run)
	if _, tree := s.Contexts[plan.TreeContext]; tree {
		return []byte(strings.Replace(text, " AS build", " AS "+s.Target, 1))
	}
	return []byte(text + "FROM scratch AS " + s.Target + "\nCOPY --from=build /output/ /\n")
}

// setTime gives a file the same time whenever it is written.
func setTime(t *testing.T, file string) {
	t.Helper()
	Must(t, os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)))
}

func (c contract) outputs(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	for _, target := range []string{"package", "kit"} {
		s := c.request(t)
		s.Target = target
		s.Dockerfile = recipe(s, "--mount=from="+plan.ContextPrefix+"package,target=/host/package")
		made, lines := c.succeed(t, s)
		if made[OutputName(s)] == "" || len(made) != map[string]int{"package": 1, "kit": 5}[target] {
			t.Errorf("%s: outputs %q", target, made)
		}
		if len(lines) == 0 {
			t.Errorf("%s: no log", target)
		}
	}
}

func transient(err error) bool {
	var e interface{ Transient() bool }
	return errors.As(err, &e) && e.Transient()
}

// with returns a build whose own context has one more file.
func (c contract) with(t *testing.T, name, text string) plan.Solve {
	t.Helper()
	s := c.request(t)
	in := s.Contexts["package"]
	in.Files = append([]plan.File{{Name: name, Data: []byte(text), Mode: 0o644}}, in.Files...)
	s.Contexts["package"] = in
	return s
}

func (c contract) fails(t *testing.T) {
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint("line ", i))
	}
	_, lines, err := c.build(t.Context(), t, c.with(t, "FAIL", strings.Join(want, "\n")+"\n"))
	exit := regexp.MustCompile(`exit code:? 1\b`)
	if err == nil || transient(err) || !exit.MatchString(err.Error()) {
		t.Errorf("error %v, transient: %v; want exit code 1", err, transient(err))
	}
	if len(lines) < len(want) || !slices.Equal(lines[len(lines)-len(want):], want) {
		t.Errorf("log %q", lines)
	}
}

func (c contract) cancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("enough")
	var at time.Time
	err := c.b.Build(ctx, c.with(t, "HANG", ""), t.TempDir(), func(progress.Event) {
		at = time.Now()
		cancel(why)
	})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || transient(err) {
		t.Errorf("error %v", err)
	}
	t.Logf("it ended %v after the cancel", time.Since(at))
}

func (c contract) atOnce(t *testing.T) {
	var builds sync.WaitGroup
	results := make([]map[string]string, 6)
	for i := range results {
		s := c.with(t, "number", fmt.Sprint(i))
		builds.Go(func() {
			made, _, err := c.build(t.Context(), t, s)
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
			results[i] = made
		})
	}
	builds.Wait()
	for i := range results {
		for j := range i {
			if maps.Equal(results[i], results[j]) {
				t.Errorf("%d and %d made the same", i, j)
			}
		}
	}
}

func (c contract) fresh(t *testing.T) {
	s := c.request(t)
	first, _ := c.succeed(t, s)
	s.Fresh = true
	again, lines := c.succeed(t, s)
	if len(lines) == 0 || !maps.Equal(first, again) {
		t.Errorf("it says %q and makes %q; want %q", lines, again, first)
	}
}

// secretLine is what a build says of a secret that it sees.
func secretLine(name string, size int) string {
	return fmt.Sprintf("/secret/%s -r-------- %d", name, size)
}

func (c contract) secrets(t *testing.T) {
	secret, file := rand.Text(), filepath.Join(t.TempDir(), "key")
	Must(t, os.WriteFile(file, []byte(secret), 0o600))
	s := c.request(t)
	s.Secrets = map[string]confined.Path{"a.key": {Name: file}}
	s.Dockerfile = recipe(s, "--mount=from="+plan.ContextPrefix+"package,target=/host/package "+
		"--mount=type=secret,id=a.key,required=true,target=/secret/a.key", ",", "size", "/secret/a.key")
	made, lines := c.succeed(t, s)
	if want := secretLine("a.key", len(secret)); !slices.Contains(lines, want) {
		t.Errorf("the log %q does not say %q", lines, want)
	}
	for _, text := range append(slices.Collect(maps.Values(made)), lines...) {
		if strings.Contains(text, secret) {
			t.Errorf("the secret is in %q", text)
		}
	}
}

// socketLine is what a build says of a socket that it has said hello to.
func socketLine(name string, size int, first string) string {
	return fmt.Sprintf("socket %s %d %s", name, size, first)
}

func (c contract) sockets(t *testing.T) {
	s := c.request(t)
	mount := func(name string) string {
		return "--mount=type=ssh,id=" + name + ",target=/sockets/" + name + ",mode=0600,required=false "
	}
	s.Dockerfile = recipe(s, "--mount=from="+plan.ContextPrefix+"package,target=/host/package "+
		mount("a")+mount("b")+mount("none"), ",", "talk", "/sockets/a", "/sockets/b", "/sockets/none")
	const much = 1 << 20
	serve := func(conn io.ReadWriteCloser) {
		defer conn.Close()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			_, _ = fmt.Fprintf(conn, "%s, %s", strings.TrimSpace(line), strings.Repeat("welcome\n", much))
		}
	}
	without, _ := c.succeed(t, s)
	other := s
	other.Fresh = true
	other.Sockets = map[string]func(io.ReadWriteCloser){"a": serve, "b": serve}
	made, lines := c.succeed(t, other)
	for _, name := range []string{"a", "b"} {
		first := "hello " + name + ", welcome"
		want := socketLine(name, len(first)-len("welcome")+much*len("welcome\n"), first)
		if !slices.Contains(lines, want) {
			t.Errorf("the log %q does not say %q", lines, want)
		}
	}
	if !maps.Equal(made, without) {
		t.Errorf("%q with sockets, %q without", made, without)
	}
	if _, ok := c.b.(engine.Opener); ok {
		s.Target = "build"
		if status, output, err := c.opened(t, s, engine.Process{}, "print", "opened"); status != 0 ||
			!strings.Contains(output, "opened") || err != nil {
			t.Errorf("%d, %q, %v", status, output, err)
		}
	}
}
