// SSH: a connection to an engine's socket on another machine, through the ssh program and the
// engine's own client there.

package buildkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sshCommand returns the ssh command line that connects its input and output with the remote
// command's.
func sshCommand(a address, remote ...string) []string {
	args := []string{"ssh", "-o", "ConnectTimeout=15", "-o", "BatchMode=yes", "-T"}
	if a.user != "" {
		args = append(args, "-l", a.user)
	}
	if a.port != "" {
		args = append(args, "-p", a.port)
	}
	return append(append(args, "--", a.host), remote...)
}

// dockerOverSSH returns the command that the docker command runs for the same address.
func dockerOverSSH(a address) []string {
	if a.path != "" && a.path != "/" {
		return sshCommand(a, "docker", "--host", "unix://"+a.path, "system", "dial-stdio")
	}
	return sshCommand(a, "docker", "system", "dial-stdio")
}

// buildkitOverSSH returns the command that buildctl runs for the same address.
func buildkitOverSSH(a address) []string {
	if a.path != "" && a.path != "/" {
		return sshCommand(a, "buildctl", "--addr", "unix://"+a.path, "dial-stdio")
	}
	return sshCommand(a, "buildctl", "dial-stdio")
}

// dialCommand runs a command and makes a connection of its input and output. The command lives
// until the connection is closed; ctx limits only the dialling.
func dialCommand(ctx context.Context, args []string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd := exec.Command(args[0], args[1:]...)
	c := &commandConn{cmd: cmd, name: args[0]}
	cmd.Stderr = &c.stderr
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.out, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", args[0], err)
	}
	return c, nil
}

// commandConn is a net.Conn over a command's input and output.
type commandConn struct {
	cmd    *exec.Cmd
	name   string
	in     io.WriteCloser
	out    io.ReadCloser
	stderr syncBuffer

	once sync.Once
	end  error // error of the command
}

// Read reads what the command wrote. Once the command has ended, the error has its complaint.
func (c *commandConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if n == 0 && err != nil {
		if said := c.wait(); said != nil {
			return 0, said
		}
		return 0, io.EOF
	}
	return n, nil
}

func (c *commandConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil {
		if said := c.wait(); said != nil {
			err = said
		}
	}
	return n, err
}

// wait ends the command and returns its complaint, if it has one.
func (c *commandConn) wait() error {
	c.once.Do(func() {
		_ = c.in.Close()
		kill := time.AfterFunc(3*time.Second, func() { _ = c.cmd.Process.Kill() })
		err := c.cmd.Wait()
		kill.Stop()
		if text := strings.TrimSpace(c.stderr.String()); err != nil && text != "" {
			c.end = fmt.Errorf("%s: %s", c.name, cleanLine([]byte(strings.Join(strings.Fields(text), " "))))
		} else if err != nil {
			c.end = fmt.Errorf("%s: %w", c.name, err)
		}
	})
	return c.end
}

// Close ends the command.
func (c *commandConn) Close() error {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill() // do not wait for an ssh that waits for a dead network
	_ = c.wait()
	return nil
}

// The other methods of net.Conn. Deadlines are not supported, as in the docker command's own
// connection of this kind.

func (c *commandConn) LocalAddr() net.Addr              { return commandAddr(c.name) }
func (c *commandConn) RemoteAddr() net.Addr             { return commandAddr(c.name) }
func (c *commandConn) SetDeadline(time.Time) error      { return nil }
func (c *commandConn) SetReadDeadline(time.Time) error  { return nil }
func (c *commandConn) SetWriteDeadline(time.Time) error { return nil }

type commandAddr string

func (commandAddr) Network() string  { return "command" }
func (a commandAddr) String() string { return string(a) }

// syncBuffer keeps the first bytes of a command's complaints.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := 4096 - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
