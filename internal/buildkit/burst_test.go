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
// of its output, or a warning and the last lines that it said over their socket.
func (e *engineTest) burst(t *testing.T) {
	for _, line := range []string{"100", "8000000"} {
		var last string
		var warnings []string
		const socket = "/last-lines"
		err := e.b.Build(t.Context(), e.request("burst", "--mount=type=ssh,id="+lastLinesID+",target="+
			socket+",mode=0600,required=false ", "burst", "8000000", line, ",", "print", "end", ",", "tell",
			socket, "first\nlast", ",", "exit", "7"), t.TempDir(), func(ev progress.Event) {
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
		if want := []string{"end", "last"}; len(warnings) > 1 || last != want[len(warnings)] {
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

// TestLastLines: of what a step says once more, a bounded part is shown after output that lacks
// something.
func TestLastLines(t *testing.T) {
	for name, test := range map[string]struct {
		said   string
		whole  bool // the output
		closed bool // by the step, without the zero byte
		want   []string
	}{
		"after lost output":  {said: "one\ntwo\n\x00", want: []string{lostLine, "one", "two"}},
		"after whole output": {said: "one\x00", whole: true, want: []string{"all"}},
		"without its end":    {said: "\x1b]0;title\aone", closed: true, want: []string{lostLine, "one"}},
		"much":               {said: strings.Repeat("12345678", maxLastLines), want: nil},
	} {
		var lines []string
		log := newStatusLog(func(line string) { lines = append(lines, line) })
		first := &bkclient.VertexLog{Stream: lostOutput}
		if test.whole {
			first = &bkclient.VertexLog{Stream: 1, Data: []byte("all\n")}
		}
		log.add(&bkclient.SolveStatus{Logs: []*bkclient.VertexLog{first}})
		var last lastLines
		step, client := net.Pipe()
		served := make(chan bool)
		go func() {
			last.serve(client)
			close(served)
		}()
		_, _ = io.WriteString(step, test.said)
		if test.closed {
			step.Close()
		}
		<-served
		if _, err := step.Write([]byte("x")); err == nil {
			t.Errorf("%s: the connection is open", name)
		}
		last.addTo(log)
		if total := len(strings.Join(lines, "")); total > maxLastLines ||
			test.want != nil && !slices.Equal(lines, test.want) {
			t.Errorf("%s: %d bytes, lines %.300q, want %q", name, total, lines, test.want)
		}
	}
}

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
