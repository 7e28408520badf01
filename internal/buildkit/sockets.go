// Sockets: what programs in a build reach over the recipe's ssh mounts is served by this process.
// The engine forwards bytes, whatever they are; there is no socket on this machine.

package buildkit

import (
	"context"
	"io"
	"sync"

	"github.com/moby/buildkit/session/sshforward"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// maxConnections is how many a build may have at once; more are refused.
const maxConnections = 512

// sockets serves connections of a build.
type sockets struct {
	serve map[string]func(io.ReadWriteCloser) // by the names of ssh mounts
	slots chan struct{}                       // one for each connection
}

func newSockets(serve map[string]func(io.ReadWriteCloser)) sockets {
	return sockets{serve, make(chan struct{}, maxConnections)}
}

// Register implements session.Attachable.
func (s sockets) Register(server *grpc.Server) { sshforward.RegisterSSHServer(server, s) }

// CheckAgent implements BuildKit's sshforward: the engine asks before it makes a mount.
func (s sockets) CheckAgent(_ context.Context, req *sshforward.CheckAgentRequest) (
	*sshforward.CheckAgentResponse, error) {
	if s.serve[req.ID] == nil {
		return nil, status.Error(codes.NotFound, "nothing is served by that name")
	}
	return &sshforward.CheckAgentResponse{}, nil
}

// ForwardAgent implements BuildKit's sshforward: each call is a connection.
func (s sockets) ForwardAgent(stream sshforward.SSH_ForwardAgentServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	ids := md.Get(sshforward.KeySSHID)
	if len(ids) != 1 || s.serve[ids[0]] == nil {
		return status.Error(codes.NotFound, "nothing is served by that name")
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return status.Error(codes.ResourceExhausted, "too many connections")
	}
	c := &streamConn{stream: stream, done: make(chan struct{})}
	go func() {
		defer c.Close()
		s.serve[ids[0]](c)
	}()
	select { // returning ends the connection, and with it a Read that waits
	case <-c.done:
	case <-stream.Context().Done():
	}
	return nil
}

// streamConn is a connection. Its bytes come in messages.
type streamConn struct {
	stream sshforward.SSH_ForwardAgentServer
	rest   []byte // of the last message
	once   sync.Once
	done   chan struct{}
}

// maxMessage is how much is sent at once.
const maxMessage = 32 << 10

// Read implements io.Reader.
func (c *streamConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		c.rest = m.Data
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write implements io.Writer.
func (c *streamConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		m := &sshforward.BytesMessage{Data: p[n:min(len(p), n+maxMessage)]}
		if err = c.stream.Send(m); err == nil {
			n += len(m.Data)
		}
	}
	return n, err
}

// Close ends the connection.
func (c *streamConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}
