// Last lines: what a step that fails says once more over a socket of its recipe. An engine may have
// left out the end of a long output, which says why.

package buildkit

import (
	"bytes"
	"io"
	"maps"
	"sync"

	digest "github.com/opencontainers/go-digest"
)

const (
	// lastLinesID is the name of the ssh mount in recipes. They send text that ends with a zero byte,
	// and wait until the connection is closed.
	lastLinesID  = "buildsys-last-lines"
	maxLastLines = 64 << 10 // bytes of text that are kept
)

// lastLines is what a step has said. The step is not trusted: of what it sends only so much counts.
type lastLines struct {
	mu   sync.Mutex
	text []byte
}

// serve reads what comes on one connection.
func (l *lastLines) serve(c io.ReadWriteCloser) {
	defer c.Close()
	var text []byte
	buf := make([]byte, 4<<10)
	for len(text) < maxLastLines {
		n, err := c.Read(buf)
		part, _, end := bytes.Cut(buf[:n], []byte{0})
		text = append(text, part[:min(len(part), maxLastLines-len(text))]...)
		if end || err != nil {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = text
}

// sockets returns the sockets of a build with that of its last lines.
func (l *lastLines) sockets(others map[string]func(io.ReadWriteCloser)) sockets {
	all := map[string]func(io.ReadWriteCloser){lastLinesID: l.serve}
	maps.Copy(all, others)
	return newSockets(all)
}

// addTo adds the lines to a log that lacks a part of the output.
func (l *lastLines) addTo(log *statusLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if log.lost {
		log.write(logStream{vertex: digest.FromString(lastLinesID)}, l.text)
		log.flush()
	}
}
