// Tests of steps that print more at once than an engine passes on.

package buildkit

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	bkclient "github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"buildsys/internal/progress"
)

// burst checks that a step ends that prints 8 MB at once, with its exit status and with either all
// of its output or a warning.
func (e *engineTest) burst(t *testing.T) {
	for _, line := range []string{"100", "8000000"} {
		var last string
		var warnings []string
		err := e.b.Build(t.Context(), e.request("burst", "", "burst", "8000000", line, ",", "print",
			"last", ",", "exit", "7"), t.TempDir(), func(ev progress.Event) {
			switch ev.Kind {
			case progress.StepLog:
				last = ev.Text
			case progress.Warning:
				warnings = append(warnings, ev.Text)
			}
		})
		var se *SolveError
		if !errors.As(err, &se) || se.class != StepFailed || se.ExitCode != 7 {
			t.Errorf("lines of %s: error %v", line, err)
		}
		if len(warnings) > 1 || len(warnings) == 0 && last != "last" {
			t.Errorf("lines of %s: last line %.20q, warnings %q", line, last, warnings)
		}
	}
}

// stuckControl is an engine whose status streams behave as those of BuildKit 0.8: after the first
// messages of the first come empty ones, without end. A later stream has what comes from then on,
// or is refused because the build has ended.
type stuckControl struct {
	controlapi.UnimplementedControlServer
	streams chan bool // one value for each stream
	ended   bool
}

func (c stuckControl) Status(_ *controlapi.StatusRequest,
	to controlapi.Control_StatusServer) error {
	c.streams <- true
	logged := func(text string) *controlapi.StatusResponse {
		log := &controlapi.VertexLog{Stream: 1, Msg: []byte(text)}
		return &controlapi.StatusResponse{Logs: []*controlapi.VertexLog{log}}
	}
	if len(c.streams) == 2 {
		if c.ended {
			return status.Error(codes.NotFound, "no such job")
		}
		return to.Send(logged("end\n"))
	}
	err := to.Send(logged("begin\nhalf of"))
	for err == nil {
		err = to.Send(&controlapi.StatusResponse{})
	}
	return err
}

func TestStuckStatusGoesOn(t *testing.T) {
	for _, ended := range []bool{false, true} {
		listener, err := net.Listen("unix", t.TempDir()+"/socket")
		must(t, err)
		server := grpc.NewServer()
		control := stuckControl{streams: make(chan bool, 9), ended: ended}
		controlapi.RegisterControlServer(server, control)
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		address := "unix://" + listener.Addr().String()
		client, err := bkclient.New(t.Context(), address, statusOptions()...)
		must(t, err)
		defer client.Close()

		stream, err := client.ControlClient().Status(t.Context(), &controlapi.StatusRequest{Ref: "a"})
		must(t, err)
		var lines []string
		log := newStatusLog(func(line string) { lines = append(lines, line) })
		for {
			var got *controlapi.StatusResponse
			if got, err = stream.Recv(); err != nil {
				break
			}
			log.add(bkclient.NewSolveStatus(got))
		}
		want := []string{"begin", "half of", lostLine, "end"}
		if ended {
			want = want[:3]
		}
		if err != io.EOF || !slices.Equal(lines, want) {
			t.Errorf("ended %v: %v, lines %q, want %q", ended, err, lines, want)
		}
	}
}

// TestStatusStreamsEnd: a stream that is stuck again and again ends with its context.
func TestStatusStreamsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string,
		_ ...grpc.CallOption) (grpc.ClientStream, error) {
		return emptyStream{ctx: ctx}, nil
	}
	stream, err := openStatus(ctx, nil, nil, statusMethod, open)
	must(t, err)
	for n := 0; err == nil; n++ {
		if err = stream.RecvMsg(&controlapi.StatusResponse{}); n == 10 {
			cancel()
		}
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// emptyStream has empty messages for ever.
type emptyStream struct {
	grpc.ClientStream
	ctx context.Context
}

func (emptyStream) SendMsg(any) error { return nil }
func (emptyStream) CloseSend() error  { return nil }

func (s emptyStream) RecvMsg(any) error { return s.ctx.Err() }

func TestLostOutputIsAWarning(t *testing.T) {
	var warnings []string
	line := reporter(func(ev progress.Event) {
		if ev.Kind == progress.Warning {
			warnings = append(warnings, ev.Text)
		}
	})
	for range 2 {
		line(lostLine)
		line("[output clipped, log limit 1MiB reached]")
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "lost part of this step's output") {
		t.Errorf("warnings %q", warnings)
	}
}
