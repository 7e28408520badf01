// Images that a build starts from, on an engine that only answers questions about them.

package buildkit

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	bkclient "github.com/moby/buildkit/client"

	"buildsys/internal/plan"
)

// answering is an engine of which nothing is asked but images.
type answering struct {
	daemon
	has func(ref string) (bool, error)
}

func (a answering) image(_ context.Context, _ *Builder, ref string) (sdkImage, bool, error) {
	ok, err := a.has(ref)
	return sdkImage{id: ref}, ok, err
}

func (answering) dial(ctx context.Context) (*bkclient.Client, error) {
	return bkclient.New(ctx, "unix:///nobody.sock") // connects when it is used
}

// TestLookUp checks that the SDK and the other images of a Dockerfile are treated alike, apart from
// the advice.
func TestLookUp(t *testing.T) {
	s := plan.Solve{Name: "bash x86_64", Args: map[string]string{sdkArg: "sdk"},
		Images: []string{"docker.io/library/rust:1"}}
	for _, ref := range []string{"sdk", s.Images[0]} {
		for _, c := range []struct {
			err  error
			want Class
		}{{nil, map[string]Class{"sdk": MissingSDK, s.Images[0]: MissingImage}[ref]},
			{io.EOF, EngineLost}, {context.Canceled, Cancelled}} {
			ctx, cancel := context.WithCancel(t.Context())
			b := &Builder{engine: answering{has: func(asked string) (bool, error) {
				if asked != ref {
					return true, nil
				}
				if c.want == Cancelled {
					cancel()
				}
				return false, c.err
			}}}
			var err error
			b.buildkit, err = b.engine.dial(ctx)
			must(t, err)
			err = b.Build(ctx, s, t.TempDir(), nil)
			failed, ok := errors.AsType[*SolveError](err)
			if !ok || failed.class != c.want || failed.SDK != "sdk" {
				t.Errorf("%s, %v: %v, want the class %s", ref, c.err, err, c.want)
			}
			switch c.want {
			case MissingSDK, MissingImage:
				pull := strings.Contains(err.Error(), "docker pull "+ref)
				setup := strings.Contains(err.Error(), "sdk build makes it")
				if pull != (ref != "sdk") || setup == pull {
					t.Errorf("advice: %v", err)
				}
			}
			cancel()
			must(t, b.client().Close())
		}
	}
}
