// A client of QMP, QEMU's control protocol: just enough to end a machine and to learn why it ended.

package vm

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"syscall"
)

// qmp is one connection. QEMU inherits its end as a file, so no socket appears in the file system.
type qmp struct {
	conn   net.Conn
	done   chan struct{} // closed when QEMU hangs up
	reason string        // from the SHUTDOWN event; read it after done
}

// newQMP makes a connection and returns the file for QEMU.
func newQMP() (*qmp, *os.File, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp-peer")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	return &qmp{conn: conn, done: make(chan struct{})}, theirs, nil
}

// socketpair makes two sockets that no child inherits unless it is given them. Not every system can
// say so in the one call.
func socketpair() (fds [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	return fds, err
}

// listen negotiates, starts the machine and receives events until QEMU hangs up. A machine that ran
// before the negotiation could end before QEMU may report why.
func (q *qmp) listen() {
	defer close(q.done)
	q.execute("qmp_capabilities")
	q.execute("cont")
	var message struct {
		Event string
		Data  struct{ Reason string }
	}
	for in := json.NewDecoder(q.conn); ; {
		message.Event = ""
		if in.Decode(&message) != nil {
			return
		}
		if message.Event == "SHUTDOWN" {
			q.reason = message.Data.Reason
		}
	}
}

// execute sends a command. It returns no error: a QEMU that does not accept the command is ended in
// another way.
func (q *qmp) execute(command string) {
	fmt.Fprintf(q.conn, "{\"execute\":%q}\n", command)
}
