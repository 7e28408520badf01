// Status stream: what an engine tells about a build, made to go on where an engine gets stuck.

package buildkit

import (
	"context"
	"io"

	controlapi "github.com/moby/buildkit/api/services/control"
	bkclient "github.com/moby/buildkit/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// BuildKit up to 0.8, the one in Docker 20.10, never leaves a batch of more than 1 MiB of output
// that it has split: once all of it is sent it sends empty messages, without end and as fast as it
// can (control.go: "retry" is never false again). What follows, the end of the build included,
// never comes. No other engine sends a message with nothing in it, so a few in a row are the sign;
// another stream for the same build then goes on with what comes from there on.

const (
	statusMethod = "/moby.buildkit.v1.Control/Status"
	// stuckAfter is the number of empty messages in a row that show that a stream is stuck.
	stuckAfter = 3
	// outputWindow is how many bytes an engine may send before they are read. With gRPC's 64 KiB a
	// burst of output soon waits in the engine, and becomes a batch there. It bounds memory, too.
	outputWindow = 16 << 20
	// lostOutput is the stream number of a message of ours: output was lost here. Engines send those
	// of standard output and of standard error.
	lostOutput = -1
	// lostLine stands in the place of lost output.
	lostLine = "[output lost here]"
)

// statusOptions make a client's status streams go on when they are stuck, and make that rare.
func statusOptions() []bkclient.ClientOpt {
	return []bkclient.ClientOpt{
		bkclient.WithGRPCDialOption(grpc.WithChainStreamInterceptor(openStatus)),
		bkclient.WithGRPCDialOption(grpc.WithInitialWindowSize(outputWindow)),
		bkclient.WithGRPCDialOption(grpc.WithInitialConnWindowSize(outputWindow)),
	}
}

// openStatus is a grpc.StreamClientInterceptor.
func openStatus(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if method != statusMethod {
		return streamer(ctx, desc, cc, method, opts...)
	}
	s := &statusStream{open: func() (grpc.ClientStream, context.CancelFunc, error) {
		ctx, cancel := context.WithCancel(ctx)
		stream, err := streamer(ctx, desc, cc, method, opts...)
		return stream, cancel, err
	}}
	var err error
	s.ClientStream, s.cancel, err = s.open()
	if err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// statusStream is the stream of one build's status. One goroutine receives from it.
type statusStream struct {
	grpc.ClientStream
	open    func() (grpc.ClientStream, context.CancelFunc, error)
	cancel  context.CancelFunc
	request any
	empty   int  // messages in a row
	again   bool // this is not the first stream of the build
}

// SendMsg keeps the request, which is the only message.
func (s *statusStream) SendMsg(m any) error {
	s.request = m
	return s.ClientStream.SendMsg(m)
}

// RecvMsg receives the next message that says something.
func (s *statusStream) RecvMsg(m any) error {
	for {
		if err := s.ClientStream.RecvMsg(m); err != nil {
			s.cancel()
			if s.again && status.Code(err) == codes.NotFound {
				return io.EOF // the build ended before the engine was asked again
			}
			return err
		}
		got, ok := m.(*controlapi.StatusResponse)
		if !ok || len(got.Vertexes)+len(got.Statuses)+len(got.Logs)+len(got.Warnings) > 0 {
			s.empty = 0
			return nil
		}
		if s.empty++; s.empty < stuckAfter {
			continue
		}
		if err := s.reopen(); err != nil {
			return err
		}
		got.Logs = []*controlapi.VertexLog{{Stream: lostOutput}}
		return nil
	}
}

// reopen replaces a stream that is stuck.
func (s *statusStream) reopen() error {
	s.cancel()
	stream, cancel, err := s.open()
	s.cancel = cancel
	if err == nil {
		err = stream.SendMsg(s.request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	s.ClientStream, s.empty, s.again = stream, 0, true
	return err
}
