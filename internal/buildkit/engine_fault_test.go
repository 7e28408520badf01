// Tests on an engine of what can go wrong: failing steps, hostile outputs, undeclared inputs, lost
// engines, cancellation.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func (e *engineTest) failingStep(t *testing.T) {
	for _, c := range []struct {
		tool  []string
		class Class
		exit  int
	}{
		{[]string{"print", "so long", ",", "exit", "7"}, StepFailed, 7},
		{[]string{"print", "so long", ",", "exit", "137"}, OutOfMemory, 137},
		{[]string{"print", "write: no space left on device", ",", "exit", "1"}, DiskFull, 1},
		{[]string{"print", "rpc error: code = Unavailable desc = unexpected EOF", ",", "exit", "3"},
			StepFailed, 3},
	} {
		lines, err := e.build(t.Context(), e.request("fails", "", c.tool...), t.TempDir())
		var se *SolveError
		if !errors.As(err, &se) {
			t.Fatalf("%q: error %v (%T)", c.tool, err, err)
		}
		if se.class != c.class || se.ExitCode != c.exit || se.Transient() {
			t.Errorf("%q: %s, exit code %d; want %s, %d", c.tool, se.class, se.ExitCode, c.class, c.exit)
		}
		if se.Location != "Dockerfile:6" || !strings.Contains(se.Step, "/tool") {
			t.Errorf("%q: step %q at %q", c.tool, se.Step, se.Location)
		}
		if len(lines) != 1 || lines[0] != c.tool[1] {
			t.Errorf("%q: log %q", c.tool, lines)
		}
	}
}

func (e *engineTest) logLines(t *testing.T) {
	s := e.request("log", "", "raw", `a\x1b]0;title\x07b\r\n10%\r20%\r\n\xff\xfe bad\nlast`, ",",
		"write", "/output/a", "x")
	lines, err := e.build(t.Context(), s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ab", "20%", "\ufffd\ufffd bad", "last"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

func (e *engineTest) hostileOutputs(t *testing.T) {
	for name, tool := range map[string][]string{
		"link":    {"symlink", "/etc/passwd", "/output/link"},
		"dir":     {"mkdir", "/output/dir"},
		"suid":    {"write", "/output/suid", "x", ",", "chmod", "4755", "/output/suid"},
		"-rf":     {"write", "/output/-rf", "x"},
		"a;b":     {"write", "/output/a;b", "x"},
		"nothing": {"print", "done"},
	} {
		_, err := e.build(t.Context(), e.request("hostile", "", tool...), t.TempDir())
		var oe *OutputError
		if !errors.As(err, &oe) {
			t.Errorf("%s: error %v, want an *OutputError", name, err)
		} else if name != "nothing" && oe.File != name {
			t.Errorf("%s: error names %q", name, oe.File)
		}
	}
}

func (e *engineTest) variantOutputs(t *testing.T) {
	s := e.request("image", "", "write", "/output/x.img.lz4", "x", ",", "symlink", "x.img.lz4",
		"/output/latest.img.lz4", ",", "mkdir", "/output/d", ",", "write", "/output/d/y", "y")
	s.Target = "variant"
	out := t.TempDir()
	if _, err := e.build(t.Context(), s, out); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"x.img.lz4": "-rw-r--r-- x", "latest.img.lz4": "-> x.img.lz4",
		"d/y": "-rw-r--r-- y"}
	if got := readTree(t, out); !maps.Equal(got, want) {
		t.Errorf("outputs %q, want %q", got, want)
	}
	s = e.request("image", "", "write", "/output/x", "x", ",", "symlink", "../x", "/output/up")
	s.Target = "variant"
	var oe *OutputError
	if _, err := e.build(t.Context(), s, t.TempDir()); !errors.As(err, &oe) || oe.File != "up" {
		t.Errorf("link out of the outputs: error %v", err)
	}
}

// nothingUndeclared checks that anything a Dockerfile wants from outside is rejected before the
// engine sees it.
func (e *engineTest) nothingUndeclared(t *testing.T) {
	for what, dockerfile := range map[string]string{
		// One image only: with two, BuildKit's own cache of lookups trips the race detector
		// (withResolveCache).
		"image buildsys.invalid/rpms": "FROM scratch AS package\nCOPY --from=buildsys.invalid/rpms " +
			"/ /\n",
		"image docker.io/library/busybox": "FROM busybox AS package\n",
		"https://example.invalid/x":       "FROM scratch AS package\nADD https://example.invalid/x /x\n",
		"a RUN with network": "ARG SDK\nFROM ${SDK} AS package\nRUN --network=host " +
			"[\"/tool\", \"print\"]\n",
	} {
		s := plan.Solve{
			Name: "undeclared", Dockerfile: []byte(dockerfile), Target: "package",
			Args: map[string]string{"SDK": e.sdk},
		}
		_, err := e.build(t.Context(), s, t.TempDir())
		var se *SolveError
		if !errors.As(err, &se) || se.class != Undeclared || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func (e *engineTest) missingSDK(t *testing.T) {
	s := e.request("nosdk", "", "print", "x")
	s.Args["SDK"] = "buildsys.invalid/test:none"
	_, err := e.build(t.Context(), s, t.TempDir())
	var se *SolveError
	if !errors.As(err, &se) || se.class != MissingSDK ||
		!strings.Contains(err.Error(), "buildsys sdk build makes it") {
		t.Errorf("error %v", err)
	}
}

func (e *engineTest) badContext(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "evil")))
	s := e.request("bad", mountPackage, "print", "x")
	s.Contexts = map[string]plan.Context{"package": {Dirs: []*plan.Dir{{Name: ".", Host: dir}}}}
	_, err := e.build(t.Context(), s, t.TempDir())
	var se *SolveError
	if !errors.As(err, &se) || se.class != BadInput || !strings.Contains(err.Error(),
		filepath.Join(dir, "evil")) {
		t.Errorf("error %v", err)
	}
}

func (e *engineTest) cancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("interrupt")
	s := e.request("cancelled", "", "print", "running", ",", "hang")
	began := false
	start := time.Now()
	err := e.b.Build(ctx, s, t.TempDir(), func(ev progress.Event) {
		began = true
		start = time.Now()
		cancel(why)
	})
	var se *SolveError
	if !began || !errors.As(err, &se) || se.class != Cancelled ||
		!errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("began %v, error %v", began, err)
	}
	t.Logf("returned %v after the cancel", time.Since(start).Round(time.Millisecond))
}

// lostConnection checks that a failure is transient if the connection breaks in the middle of a
// step, and that the same Builder works again as soon as the engine can be reached.
func (e *engineTest) lostConnection(t *testing.T) {
	b, relay := e.relayed(t, 0)
	err := b.Build(t.Context(), e.request("lost", "", "print", "running", ",", "hang"), t.TempDir(),
		func(progress.Event) { relay.cut() })
	var se *SolveError
	if !errors.As(err, &se) || !se.Transient() {
		t.Errorf("error %v, want a transient one", err)
	}
	must(t, b.Ping(t.Context()))
	if err := b.Build(t.Context(), e.request("again", "", "write", "/output/a", "x"), t.TempDir(),
		nil); err != nil {
		t.Errorf("after the connection came back: %v", err)
	}
}

// silentPartition lets all packets vanish in the middle of two steps. Both are given up, and once
// the engine can be reached again the same Builder works.
func (e *engineTest) silentPartition(t *testing.T) {
	b, relay := e.relayed(t, 2*time.Second)
	var running, done sync.WaitGroup
	running.Add(2)
	for i := range 2 {
		done.Go(func() {
			var once sync.Once
			err := b.Build(t.Context(), e.request(fmt.Sprint("silent-", i), "", "print", "running", ",",
				"hang"), t.TempDir(), func(progress.Event) { once.Do(running.Done) })
			var se *SolveError
			if !errors.As(err, &se) || se.class != EngineSilent || !se.Transient() ||
				!strings.Contains(err.Error(), relay.host) {
				t.Errorf("error %v, want one of a silent engine", err)
			}
		})
	}
	running.Wait()
	relay.freeze()
	start := time.Now()
	done.Wait()
	t.Logf("given up %v after the partition", time.Since(start).Round(time.Millisecond))
	relay.thaw()
	must(t, b.Await(t.Context(), 20*time.Second))
	if err := b.Build(t.Context(), e.request("heard", "", "write", "/output/a", "x"), t.TempDir(),
		nil); err != nil {
		t.Errorf("after the partition healed: %v", err)
	}
}

// shortPartition checks that a partition that heals before the watchdog's time only costs that
// time.
func (e *engineTest) shortPartition(t *testing.T) {
	b, relay := e.relayed(t, 0)
	partition := func(progress.Event) {
		relay.freeze()
		time.AfterFunc(2*time.Second, relay.thaw)
	}
	if err := b.Build(t.Context(), e.request("short", "", "print", "running", ",", "write",
		"/output/a", "x"), t.TempDir(), partition); err != nil {
		t.Error(err)
	}
}

// relayed returns a Builder on the same engine, with a relay in between.
func (e *engineTest) relayed(t *testing.T, silence time.Duration) (*Builder, *relay) {
	t.Helper()
	relay := newRelay(t, e.b.engine.host())
	opt := engine.Options{Host: relay.host, Silence: silence}
	if d, ok := e.b.engine.(*buildkitd); ok {
		opt = engine.Options{BuildKit: relay.host, OCILayout: d.layout.Dir, Silence: silence}
	}
	b, err := Dial(t.Context(), opt)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	return b, relay
}

// relay is an address that leads to the engine until its connections are cut or frozen.
type relay struct {
	host  string
	mu    sync.Mutex
	conns []net.Conn
	open  sync.RWMutex // held for writing while nothing gets through
}

func newRelay(t *testing.T, engine string) *relay {
	network, addr, _ := strings.Cut(engine, "://")
	need.Engine(t, network == "unix" || network == "tcp",
		"one on a socket or at a port, not at "+engine)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	r := &relay{host: "tcp://" + l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go r.connect(in, network, addr)
		}
	}()
	return r
}

func (r *relay) connect(in net.Conn, network, addr string) {
	r.open.RLock()
	out, err := net.Dial(network, addr)
	r.open.RUnlock()
	if err != nil {
		in.Close()
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, in, out)
	r.mu.Unlock()
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			defer way[0].Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := way[1].Read(buf)
				r.open.RLock()
				_, werr := way[0].Write(buf[:n])
				r.open.RUnlock()
				if err != nil || werr != nil {
					return
				}
			}
		}()
	}
}

// freeze diverts everything that is sent into a buffer until thaw is called.
func (r *relay) freeze() { r.open.Lock() }
func (r *relay) thaw()   { r.open.Unlock() }

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}
