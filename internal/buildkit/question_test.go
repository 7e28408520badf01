// Tests of engines that answer pings and then nothing more.

package buildkit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"google.golang.org/grpc"
)

// briefly is the silence that these tests grant an engine that will never answer.
const briefly = 50 * time.Millisecond

// hungDocker is a Docker engine that answers pings and what answers has; it reads other requests
// and then hangs.
func hungDocker(t *testing.T, answers map[string]string) engine.Options {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	over := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", minAPI)
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if strings.HasSuffix(r.URL.Path, "/_ping") || upgraded(w, r) {
			return
		} else if text, ok := answers[path]; ok {
			_, _ = io.WriteString(w, text)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-over
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(func() { close(over); server.Close() })
	return engine.Options{Host: "unix://" + socket, Silence: briefly}
}

// upgraded answers as an engine with BuildKit does that is asked for a connection to it, which then
// ends, and reports whether that was asked for.
func upgraded(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/grpc" && r.URL.Path != "/session" {
		return false
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "h2c")
	w.WriteHeader(http.StatusSwitchingProtocols)
	return true
}

// hungControl is a buildkitd that answers only what it is and, as its ping, that it lives.
type hungControl struct {
	controlapi.UnimplementedControlServer
}

func (hungControl) Info(context.Context, *controlapi.InfoRequest) (*controlapi.InfoResponse,
	error) {
	return &controlapi.InfoResponse{
		BuildkitVersion: &apitypes.BuildkitVersion{Version: "v0.33.1"}}, nil
}

func (hungControl) ListWorkers(ctx context.Context,
	_ *controlapi.ListWorkersRequest) (*controlapi.ListWorkersResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hungControl) Solve(ctx context.Context,
	_ *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hungControl) Session(s controlapi.Control_SessionServer) error {
	<-s.Context().Done()
	return s.Context().Err()
}

func hungBuildkitd(t *testing.T) engine.Options {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	s := grpc.NewServer()
	controlapi.RegisterControlServer(s, hungControl{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return engine.Options{BuildKit: "unix://" + socket, Silence: briefly}
}

// TestQuestionsToHungEngineEnd asks engines that answer a ping everything that is asked besides
// builds.
func TestQuestionsToHungEngineEnd(t *testing.T) {
	inspect := "images/sdk:1/json"
	sdk := map[string]string{inspect: `{"RootFS":{"Layers":["sha256:1"]},"Config":{}}`}
	solve := plan.Solve{Name: "bash", Target: "package", Args: map[string]string{"SDK": "sdk:1"},
		Dockerfile: []byte("ARG SDK\nFROM ${SDK}\nRUN true\nFROM scratch AS package\n")}
	build := func(b *Builder, ctx context.Context) error {
		return b.Build(ctx, solve, t.TempDir(), nil)
	}
	info := func(b *Builder, ctx context.Context) error { _, err := b.Info(ctx); return err }
	for _, c := range []struct {
		name string
		opt  engine.Options
		ask  func(*Builder, context.Context) error
	}{
		{"Docker's info", hungDocker(t, nil), info},
		{"Docker's images", hungDocker(t, nil), func(b *Builder, ctx context.Context) error {
			_, _, err := b.HasImage(ctx, "sdk:1")
			return err
		}},
		{"Docker's import", hungDocker(t, nil), func(b *Builder, ctx context.Context) error {
			return b.ImportImage(ctx, "sdk:1", strings.NewReader("a tar"))
		}},
		{"build with an unknown image", hungDocker(t, nil), build},
		{"build with a known image", hungDocker(t, sdk), build},
		{"buildkitd's workers", hungBuildkitd(t), info},
		{"buildkitd's images", hungBuildkitd(t), func(b *Builder, ctx context.Context) error {
			_, _, err := b.HasImage(ctx, "registry.invalid/sdk:1")
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Dial(t.Context(), c.opt)
			must(t, err)
			defer b.Close()
			err = c.ask(b, t.Context())
			if !errkind.Is[*HungError](err) || errkind.Of(err) != errkind.Environment {
				t.Fatalf("kind %v: %v", errkind.Of(err), err)
			}
			if text := err.Error(); !strings.Contains(text, "it hangs") ||
				!strings.Contains(text, hungHint) || !strings.Contains(text, c.opt.Host+c.opt.BuildKit) {
				t.Errorf("error %q does not say what, where and what to do", text)
			}
			if failed, ok := errors.AsType[*SolveError](err); ok &&
				(failed.class != EngineHung || !failed.Transient() || failed.Attempts() != 2) {
				t.Errorf("class %q, %d attempts", failed.class, failed.Attempts())
			}
		})
	}
}

// TestLoadFromHungEngineBlamesTheOther copies an image between engines of which one hangs.
func TestLoadFromHungEngineBlamesTheOther(t *testing.T) {
	dial := func(opt engine.Options) *node {
		b, err := Dial(t.Context(), opt)
		must(t, err)
		t.Cleanup(func() { b.Close() })
		return &node{b: b, host: opt.Host}
	}
	sends := dial(hungDocker(t, map[string]string{"images/get": "an image"}))
	hangs := dial(hungDocker(t, nil))
	for _, c := range []struct{ from, to, want *node }{{sends, hangs, hangs}, {hangs, sends, hangs}} {
		err := c.to.b.engine.(*dockerd).loadFrom(t.Context(), c.from, "sdk:1")
		blamed := c.to
		if source, ok := errors.AsType[*sourceError](err); ok {
			blamed = source.from
		}
		if !errkind.Is[*HungError](err) || blamed != c.want {
			t.Errorf("blamed %s instead of %s: %v", blamed.host, c.want.host, err)
		}
	}
}

// TestQuestionLastsWhileItGoesOn: what counts is the time without progress.
func TestQuestionLastsWhileItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dockerd{}
		count, err := question(t.Context(), d, "it", time.Minute,
			func(ctx context.Context, alive func()) (n int, err error) {
				for ; n < 100; n++ {
					select {
					case <-ctx.Done():
						return n, ctx.Err()
					case <-time.After(50 * time.Second):
						alive()
					}
				}
				<-ctx.Done()
				return n, ctx.Err()
			})
		if count != 100 || !errkind.Is[*HungError](err) {
			t.Errorf("%d, %v", count, err)
		}
	})
}
