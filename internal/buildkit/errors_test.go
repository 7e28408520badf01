// Tests of the error classes, the messages, the image guard and an engine that cannot be reached.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestClassify(t *testing.T) {
	grpcError := func(c codes.Code, text string) error {
		return fmt.Errorf("failed to solve: %w",
			status.Error(c, text))
	}
	exit := func(code uint32) error {
		return fmt.Errorf("failed to solve: %w", &gatewaypb.ExitError{ExitCode: code})
	}
	other := errors.New("failed to solve: something")
	for _, c := range []struct {
		name string
		f    failure
		want Class
		exit int
	}{
		{"cancelled", failure{ctx: context.Canceled, err: exit(137),
			text: "exit code: 137: context canceled"}, Cancelled, 0},
		{"cancelled beats refusal", failure{ctx: context.Canceled, err: other, own: &UndeclaredError{}},
			Cancelled, 0},
		{"undeclared input", failure{err: other, own: &UndeclaredError{What: "image x"}}, Undeclared, 0},
		{"changed input", failure{err: context.Canceled, own: &ContextError{Err: errChanged}}, BadInput,
			0},
		{"typed exit", failure{err: exit(2)}, StepFailed, 2},
		{"typed kill", failure{err: exit(137)}, OutOfMemory, 137},
		{"exit in the vertex's text (20.10)",
			failure{err: other, text: "executor failed running [/tool]: exit code: 3"}, StepFailed, 3},
		{"killed by an engine that lost us",
			failure{err: fmt.Errorf("%w: %w", exit(137), context.Canceled)}, SessionLost, 137},
		{"killed by an engine that lost us (20.10)", failure{err: grpcError(codes.Canceled, "x"),
			text: "executor failed running [x]: exit code: 137: context canceled"}, SessionLost, 0},
		{"silent engine", failure{err: context.Canceled, own: &SilentError{}}, EngineSilent, 0},
		{"frozen while a step was killed", failure{err: exit(137), own: &SilentError{}}, EngineSilent,
			137},
		{"disk of an engine that says Unavailable",
			failure{err: grpcError(codes.Unavailable, "write cache.db: no space left on device")}, DiskFull,
			0},
		{"lost snapshot", failure{err: grpcError(codes.Unknown,
			"failed to compute cache key: snapshot x does not exist: not found")}, EngineCache, 0},
		{"locked layer", failure{err: grpcError(codes.Unavailable,
			"failed to load cache: ref buildkit/1/layer-sha256:0: locked: unavailable")}, EngineCache, 0},
		{"part of a layer", failure{err: grpcError(codes.Unknown,
			"failed to compute cache key: failed to copy: unsupported offset")}, EngineCache, 0},
		{"registry's limit", failure{err: grpcError(codes.Unknown,
			"unexpected status from HEAD request to https://r/v2/x/manifests/1: 429 Too Many Requests")},
			RegistryBusy, 0},
		{"registry's failure", failure{err: grpcError(codes.Unknown,
			"unexpected status from GET request to https://r/v2/x: 503 Service Unavailable")}, RegistryBusy,
			0},
		{"registry's other bytes",
			failure{err: grpcError(codes.Unknown,
				`failed commit on ref "layer-sha256:a7e5": unexpected commit digest `+
					`sha256:8efc, expected sha256:a7e5: failed precondition`)}, OtherImage, 0},
		{"no such image in the registry",
			failure{err: grpcError(codes.Unknown,
				"unexpected status from HEAD request to https://r/v2/x: 404 Not Found")}, Unknown, 0},
		{"nobody there", failure{err: &engine.Error{Err: fmt.Errorf("%w: x", errNobody)}}, EngineLost, 0},
		{"kill in the vertex's text",
			failure{err: other, text: "executor failed running [x]: exit code: 137"}, OutOfMemory, 137},
		{"exit code only in the command",
			failure{err: other, text: "executor failed running [echo exit code: 137]: exit code: 1"},
			StepFailed, 1},
		{"ENOSPC in the log", failure{err: exit(1), tail: []string{"cc: write: No space left on device",
			"make: *** 1"}}, DiskFull, 1},
		{"transient words in the log",
			failure{err: exit(1), tail: []string{"code = Unavailable", "unexpected EOF",
				"no active session for x"}}, StepFailed, 1},
		{"engine gone", failure{err: grpcError(codes.Unavailable, "error reading from server: EOF")},
			EngineLost, 0},
		{"session lost while we live", failure{err: grpcError(codes.Canceled, "context canceled")},
			SessionLost, 0},
		{"engine's deadline", failure{err: grpcError(codes.DeadlineExceeded, "x")}, SessionLost, 0},
		{"no session", failure{err: grpcError(codes.Unknown,
			"no active session for abc: context deadline exceeded")}, SessionLost, 0},
		{"engine lost our session", failure{err: errors.New("failed to solve: rpc error: " +
			"code = Canceled desc = grpc: the client connection is closing")}, SessionLost, 0},
		{"message cut off", failure{err: errors.New("failed to solve: rpc error: " +
			"code = Internal desc = unexpected EOF")}, SessionLost, 0},
		{"cut connection", failure{err: fmt.Errorf("read: %w", io.ErrUnexpectedEOF)}, EngineLost, 0},
		{"reset", failure{err: fmt.Errorf("read: %w", syscall.ECONNRESET)}, EngineLost, 0},
		{"disk of the engine", failure{err: grpcError(codes.ResourceExhausted,
			"mkdir: no space left on device")}, DiskFull, 0},
		{"disk, untyped", failure{err: errors.New("failed to copy: write x: no space left on device")},
			DiskFull, 0},
		{"message limit", failure{err: grpcError(codes.ResourceExhausted,
			"grpc: received message larger than max")}, Unknown, 0},
		{"user error", failure{err: other}, Unknown, 0},
	} {
		if c.f.step == "" {
			c.f.step = "[build 2/2] RUN x"
		}
		e := c.f.solveError("bash x86_64", "sdk")
		if e.class != c.want || e.ExitCode != c.exit || e.Transient() != (attempts[c.want] > 0) {
			t.Errorf("%s: %s with exit code %d, want %s with %d", c.name, e.class, e.ExitCode, c.want,
				c.exit)
		}
		if text := e.Error(); !strings.HasPrefix(text, "building bash x86_64: ") ||
			strings.ContainsAny(text, "\n") {
			t.Errorf("%s: text %q", c.name, text)
		}
		if c.want == Cancelled && !errors.Is(e, context.Canceled) {
			t.Errorf("%s: not context.Canceled", c.name)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		e    SolveError
		want errkind.Kind
	}{
		{SolveError{class: Cancelled}, errkind.Unexpected},
		{SolveError{class: BadInput}, errkind.Usage},
		{SolveError{class: Undeclared}, errkind.Usage},
		{SolveError{class: OtherImage}, errkind.Integrity},
		{SolveError{class: MissingSDK}, errkind.Environment},
		{SolveError{class: MissingImage}, errkind.Environment},
		{SolveError{class: EngineLost}, errkind.Environment},
		{SolveError{class: DiskFull}, errkind.Environment},
		{SolveError{class: DiskFull, ExitCode: 1}, errkind.StepFailed},
		{SolveError{class: OutOfMemory, ExitCode: 137}, errkind.StepFailed},
		{SolveError{class: StepFailed, ExitCode: 1}, errkind.StepFailed},
		{SolveError{class: Unknown}, errkind.StepFailed},
	} {
		if got := c.e.ErrorKind(); got != c.want {
			t.Errorf("%s, exit code %d: kind %v, want %v", c.e.class, c.e.ExitCode, got, c.want)
		}
	}
}

func TestSolveErrorText(t *testing.T) {
	f := failure{
		err: &gatewaypb.ExitError{ExitCode: 7},
		step: "[rpmbuild 2/2] RUN --mount=x   bash\n /host/recipe/tools/package/build-rpm " +
			strings.Repeat("y", 200),
		line: "Dockerfile:7",
	}
	want := "building bash x86_64: RUN bash /host/recipe/tools/package/build-rpm " +
		strings.Repeat("y", 53) + "… (Dockerfile:7) failed with exit code 7"
	if got := f.solveError("bash x86_64", "sdk").Error(); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func TestSameImage(t *testing.T) {
	const hash = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{"buildsys.invalid/sdk:dev", "buildsys.invalid/sdk:dev", true},
		{"buildsys.invalid/sdk:dev" + hash, "buildsys.invalid/sdk:dev", true},
		{"docker.io/library/sdk:latest", "sdk", true},
		{"buildsys.invalid/sdk" + hash, "buildsys.invalid/sdk" + hash, true},
		{"buildsys.invalid/sdk:other", "buildsys.invalid/sdk:dev", false},
		{"docker.io/library/sdk:dev", "buildsys.invalid/sdk:dev", false},
		{"buildsys.invalid/rpms:dev", "buildsys.invalid/sdk:dev", false},
		{"buildsys.invalid/sdk:dev", "buildsys.invalid/sdk" + hash, false},
		{"buildsys.invalid/sdk:dev", "", false},
		{"", "buildsys.invalid/sdk:dev", false},
	} {
		if sameImage(c.got, c.want) != c.same {
			t.Errorf("sameImage(%q, %q) is not %v", c.got, c.want, c.same)
		}
	}
}

func TestDialWithoutEngine(t *testing.T) {
	host := "unix://" + t.TempDir() + "/none.sock"
	t.Setenv("DOCKER_HOST", host)
	for _, opt := range []engine.Options{{}, {Host: host}} {
		_, err := Dial(t.Context(), opt)
		var ee *engine.Error
		if !errors.As(err, &ee) || ee.Host != host {
			t.Fatalf("error %v, want an *engine.Error for %s", err, host)
		}
		for _, word := range []string{host, "script/setup", "DOCKER_HOST", "privileged"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not name %s", err, word)
			}
		}
	}
	t.Setenv("DOCKER_HOST", "nonsense")
	var ee *engine.Error
	if _, err := Dial(t.Context(), engine.Options{}); !errors.As(err, &ee) {
		t.Errorf("bad DOCKER_HOST: error %v", err)
	}
}

// TestPingEnds: a ping of a host that swallows packets ends with its context, or the watchdog would
// not notice.
func TestPingEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	dead, err := newDockerd(engine.Options{Host: "tcp://" + deadAddress(t)})
	must(t, err)
	_, failed := dead.(*dockerd).docker.Ping(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &dockerd{address: address{scheme: "tcp", host: l.Addr().String()}}
	err = d.unreachable(ctx, failed)
	if !errors.Is(err, errNobody) || strings.Contains(err.Error(), "closed the connection") {
		t.Errorf("it dialed on: %v", err)
	}
}

func TestDialUnusableEngine(t *testing.T) {
	done := make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer mute.Close()
	defer close(done)
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.Header().Set("Api-Version", "1.39")
	}))
	defer old.Close()
	without := func(missing, maker string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", minAPI)
			switch {
			case r.URL.Path == missing:
				http.Error(w, "Forbidden", http.StatusForbidden)
			case upgraded(w, r):
			case strings.HasSuffix(r.URL.Path, "/version"):
				fmt.Fprint(w, maker)
			}
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	for srv, want := range map[*httptest.Server]string{mute: "no answer within 100ms",
		old: "API 1.39, at least 1.41",
		without("/grpc", `{"Components":[{"Name":"Podman Engine\u001b","Version":"5.4.2"}]}`): "it has " +
			"no BuildKit, or something before it does not let /grpc through; it calls itself " +
			`"Podman Engine\x1b" "5.4.2": unable to upgrade to h2c, received 403; use Docker`,
		without("/session", "{}"): "does not let /session through: unable"} {
		_, err := Dial(t.Context(), engine.Options{Host: "tcp://" + srv.Listener.Addr().String(),
			Timeout: 100 * time.Millisecond})
		var ee *engine.Error
		if !errors.As(err, &ee) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want an *engine.Error with %q", err, want)
		}
	}
}
