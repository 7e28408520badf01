// Tests of several engines that share builds: each is a daemon of the test's own, which the test
// kills and restarts.

package buildkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func TestAddresses(t *testing.T) {
	t.Setenv("DOCKER_HOST", "tcp://env:1")
	for _, c := range []struct {
		opt  engine.Options
		want []string
	}{
		{engine.Options{}, []string{"tcp://env:1"}},
		{engine.Options{Host: "unix:///a, unix:///b,unix:///a"}, []string{"unix:///a", "unix:///b"}},
		{engine.Options{Host: "unix:///a", BuildKit: "tcp://x:1 tcp://y:1"},
			[]string{"tcp://x:1", "tcp://y:1"}},
	} {
		if got := c.opt.Addresses(); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.opt, got, c.want)
		}
	}
	certs := engine.Options{BuildKit: "tcp://x:1,unix:///y", BuildKitCerts: "/certs"}
	if o := optionsOf(certs, "unix:///y"); o.BuildKitCerts != "" || o.BuildKit != "unix:///y" {
		t.Errorf("%+v", o)
	}
	if o := optionsOf(certs, "tcp://x:1"); o.BuildKitCerts != "/certs" {
		t.Errorf("%+v", o)
	}
}

// TestFleetTakes checks that a build goes to the least loaded engine for its size, and to the same
// one each time when all are idle.
func TestFleetTakes(t *testing.T) {
	small, large := &node{host: "small", cpus: 2, up: true}, &node{host: "large", cpus: 4, up: true}
	f := &Fleet{nodes: []*node{small, large, {host: "down", cpus: 64},
		{host: "other", cpus: 64, up: true, barred: true}}}
	first := map[string]int{}
	for i := range 64 {
		s := plan.Solve{Name: fmt.Sprint("package-", i)}
		n := f.take(s)
		n.running--
		if again := f.take(s); again != n {
			t.Errorf("%s went to %s and %s", s.Name, n.host, again.host)
		}
		n.running--
		first[n.host]++
	}
	if first["small"] < 8 || first["large"] < 8 || len(first) != 2 {
		t.Errorf("idle engines were taken %v", first)
	}
	for range 12 {
		f.take(plan.Solve{Name: "all"})
	}
	if small.running != 4 || large.running != 8 {
		t.Errorf("%d and %d builds, want 4 and 8", small.running, large.running)
	}
	small.up, large.up = false, false
	var failed *SolveError
	if err := f.Build(t.Context(), plan.Solve{Name: "none"}, t.TempDir(), nil); !errors.As(err,
		&failed) || !failed.Transient() {
		t.Errorf("without any engine: %v", err)
	}
}

// fleet is several engines and their warnings.
type fleet struct {
	*Fleet
	news chan string
}

func dialFleet(t *testing.T, opt engine.Options) *fleet {
	t.Helper()
	f := &fleet{news: make(chan string, 100)}
	opt.Wait, opt.Timeout, opt.Checkout = 60*time.Second, time.Minute, t.Name()
	opt.Warn = func(text string) { f.news <- text }
	var err error
	f.Fleet, err = DialFleet(t.Context(), opt)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// hear waits for the next warning.
func (f *fleet) hear(t *testing.T, words ...string) {
	t.Helper()
	select {
	case text := <-f.news:
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("the warning %q does not say %q", text, w)
			}
		}
	case <-time.After(time.Minute):
		t.Fatalf("no warning says %q", words)
	}
}

// quiet fails the test if there was a warning.
func (f *fleet) quiet(t *testing.T) {
	t.Helper()
	select {
	case text := <-f.news:
		t.Errorf("unexpected warning: %q", text)
	default:
	}
}

// TestFleet has two buildkitds share builds. If one is killed, its build fails as transient and
// succeeds on the other, where builds go meanwhile; once it is back it is used again. An address
// where nobody listens costs one warning.
func TestFleet(t *testing.T) {
	one, two := buildtest.NewBuildkitd(t), buildtest.NewBuildkitd(t)
	one.Start(t)
	two.Start(t)
	dialDaemon(t, one, engine.Options{}).Close() // they answer
	dialDaemon(t, two, engine.Options{}).Close()
	nobody := "unix://" + filepath.Join(t.TempDir(), "nobody.sock")
	f := dialFleet(t, engine.Options{BuildKit: strings.Join([]string{nobody, one.Host, two.Host}, ","),
		OCILayout: t.TempDir()})
	f.hear(t, nobody, "is not used until it answers")
	sdk := testImages + ":" + strings.ToLower(rand.Text())
	must(t, f.ImportImage(t.Context(), sdk, bytes.NewReader(buildtest.ToolImage(t))))
	if _, ok, err := f.HasImage(t.Context(), sdk); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if info, err := f.Info(t.Context()); err != nil || len(info.Nodes) != 3 ||
		info.Nodes[0].Err == nil && info.Nodes[1].Err == nil && info.Nodes[2].Err == nil {
		t.Errorf("Info = %+v, %v", info, err)
	}
	e := &engineTest{sdk: sdk}
	must(t, f.Build(t.Context(), e.request("plain", "", "write", "/output/a", "x"), t.TempDir(), nil))

	// Two builds at once go to two engines. The one whose engine is killed fails; the other does
	// not notice.
	first := f.on(t, one.Host, e.request("first", "", "print", "running", ",", "sleep", "120"))
	errs := f.both(t, first, writes(e), func() { one.Signal(t, syscall.SIGKILL, true) })
	var failed *SolveError
	if errs[1] != nil || !errors.As(errs[0], &failed) || failed.class != EngineLost ||
		!failed.Transient() {
		t.Fatalf("errors %v, want one of a lost engine", errs)
	}
	f.hear(t, one.Host, "is not used until it answers")
	must(t, f.Await(t.Context(), 0))
	for i := range 4 {
		must(t, f.Build(t.Context(), e.request(fmt.Sprint("moved-", i), "", "write", "/output/a", "x"),
			t.TempDir(), nil))
	}
	f.quiet(t)

	one.Start(t)
	f.hear(t, one.Host, "answers again")
	must(t, errors.Join(f.both(t, writes(e), writes(e), func() {})...))
	for _, n := range f.nodes {
		if n.running != 0 || n.up != (n.host != nobody) {
			t.Errorf("%s: %d builds, up %v", n.host, n.running, n.up)
		}
	}
}

// writes returns a build that succeeds.
func writes(e *engineTest) plan.Solve {
	return e.request("writes", "", "print", "running", ",", "write", "/output/a", "x")
}

// on returns the build with a name by which an idle fleet gives it to an engine.
func (f *fleet) on(t *testing.T, host string, s plan.Solve) plan.Solve {
	t.Helper()
	for i := range 1000 {
		s.Name = fmt.Sprint("package-", i)
		n := f.take(s)
		f.mu.Lock()
		n.running--
		f.mu.Unlock()
		if n.host == host {
			return s
		}
	}
	t.Fatalf("no build goes to %s", host)
	return s
}

// both runs two builds, checks that each has an engine, calls meanwhile and lets them end. Neither
// ends before, because its report does not return.
func (f *fleet) both(t *testing.T, first, second plan.Solve, meanwhile func()) []error {
	t.Helper()
	errs := make([]error, 2)
	begun, over := make(chan bool), make(chan bool)
	var done sync.WaitGroup
	for i, s := range []plan.Solve{first, second} {
		done.Go(func() {
			report := sync.OnceFunc(func() { begun <- true; <-over })
			errs[i] = f.Build(t.Context(), s, t.TempDir(), func(progress.Event) { report() })
			report() // also if it failed before it began
		})
		<-begun
	}
	f.mu.Lock()
	for _, n := range f.nodes {
		if n.up && n.running != 1 {
			t.Errorf("%s has %d builds, want 1", n.host, n.running)
		}
	}
	f.mu.Unlock()
	meanwhile()
	close(over)
	done.Wait()
	return errs
}

// TestFleetCopyFails checks that a copy of an image that fails is blamed on the engine at fault.
// The engines only know images.
func TestFleetCopyFails(t *testing.T) {
	for name, c := range map[string]struct {
		save, load http.HandlerFunc
		lost       bool // the engine that has the image
		want       string
	}{
		"full disk": {func(http.ResponseWriter, *http.Request) {},
			func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"stream":"Loading"}{"error":"write /x: no space left on device"}`)
			}, false, "write /x: no space left on device"},
		"another error": {func(http.ResponseWriter, *http.Request) {},
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"error":"not a tar"}`) },
			false, "the engine says: not a tar"},
		"source that breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "tar")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, true,
			"unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := fakeDocker(t, true, c.save), fakeDocker(t, false, c.load)
			f := dialFleet(t, engine.Options{Host: from + "," + to})
			if _, ok, err := f.HasImage(t.Context(), "sdk"); !ok || err != nil {
				t.Fatal(ok, err)
			}
			s := f.on(t, to, plan.Solve{Args: map[string]string{sdkArg: "sdk"}})
			err := f.Build(t.Context(), s, t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				errkind.Of(err) != errkind.Environment {
				t.Errorf("%v of kind %v", err, errkind.Of(err))
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, n := range f.nodes {
				if lost := c.lost && n.host == from; n.up == lost || n.running != 0 {
					t.Errorf("%s is used: %v", n.host, n.up)
				}
			}
		})
	}
}

// fakeDocker returns the address of a Docker engine that only knows whether it has an image, and
// saves or loads it.
func fakeDocker(t *testing.T, has bool, transfer http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", minAPI)
		if upgraded(w, r) {
			return
		}
		switch _, path, _ := strings.Cut(r.URL.Path, "/v"+minAPI); {
		case path == "/images/get", path == "/images/load":
			transfer(w, r)
		case path == "/images/sdk/json" && !has:
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	t.Cleanup(srv.Close)
	return "tcp://" + srv.Listener.Addr().String()
}

// TestFleetOfDocker checks that an SDK image that one Docker engine lacks is copied there, and that
// an engine with a different image of that name is left out.
func TestFleetOfDocker(t *testing.T) {
	one, two := buildtest.NewDockerd(t), buildtest.NewDockerd(t)
	one.Start(t)
	two.Start(t)
	b := dialDaemon(t, one, engine.Options{})
	c := dialDaemon(t, two, engine.Options{})
	e := &engineTest{b: b, sdk: testImages + ":" + strings.ToLower(rand.Text())}
	e.importBase(t)
	f := dialFleet(t, engine.Options{Host: one.Host + "," + two.Host})
	want, ok, err := f.HasImage(t.Context(), e.sdk)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	must(t, errors.Join(f.both(t, writes(e), writes(e), func() {})...))
	f.hear(t, "copying the image", one.Host, two.Host)
	if id, ok, err := c.HasImage(t.Context(), e.sdk); !ok || err != nil || id != want {
		t.Errorf("on the second engine: %q, %v, %v; want %q", id, ok, err, want)
	}
	other := &engineTest{b: c, sdk: e.sdk}
	must(t, c.ImportImage(context.Background(), other.sdk,
		bytes.NewReader(append(buildtest.ToolImage(t), make([]byte, 1024)...))))
	if id, _, _ := c.HasImage(t.Context(), e.sdk); id == want {
		t.Fatal("the engine gives two archives the same image ID")
	}
	g := dialFleet(t, engine.Options{Host: one.Host + "," + two.Host})
	g.HasImage(t.Context(), e.sdk) // the first engine's counts
	different := g.nodes[1].host
	must(t, g.Build(t.Context(), g.on(t, different, writes(e)), t.TempDir(), nil))
	g.hear(t, "a different image named "+e.sdk, different, "is not used")
	for _, n := range g.nodes {
		if n.barred != (n.host == different) || n.running != 0 {
			t.Errorf("%s: barred %v, %d builds", n.host, n.barred, n.running)
		}
	}
}
