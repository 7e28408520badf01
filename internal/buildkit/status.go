// Status stream: the engine's chunks of output become clean lines, and its vertices show which step
// failed.

package buildkit

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

const (
	maxLine   = 8 << 10 // bytes of a line that are kept
	tailLines = 40      // lines kept for the hints of an error
)

// statusLog turns status messages into lines. Only one goroutine uses it.
type statusLog struct {
	emit   func(line string)
	open   map[logStream]*partialLine
	order  []logStream
	tail   []string
	failed *client.Vertex // the first that failed, or nil
	begun  bool           // the engine has sent something about the build
	layers *layerUse      // nil without a layer cache
	lost   bool           // a part of the output was left out
}

type logStream struct {
	vertex digest.Digest
	stream int
}

type partialLine struct {
	buf   []byte
	extra bool // the line was longer than maxLine
}

func newStatusLog(emit func(string)) *statusLog {
	return &statusLog{emit: emit, open: map[logStream]*partialLine{}}
}

// failure returns what the log knows about a build that failed; g knows the lines of its
// Dockerfile.
func (l *statusLog) failure(g *guard) failure {
	f := failure{tail: l.tail, begun: l.begun}
	if v := l.failed; v != nil {
		f.step, f.text, f.line = v.Name, v.Error, g.line(v.Digest)
	}
	return f
}

// add processes one status message.
func (l *statusLog) add(s *client.SolveStatus) {
	l.begun = l.begun || len(s.Vertexes) > 0
	l.layers.follow(s)
	for _, v := range s.Vertexes {
		if v.Error != "" && l.failed == nil && !isLayerWork(v) {
			l.failed = v
		}
	}
	for _, log := range s.Logs {
		if log.Stream == lostOutput {
			l.flush()
			l.lost = true
			l.emit(lostLine)
			continue
		}
		l.write(logStream{log.Vertex, log.Stream}, log.Data)
	}
}

// write splits data into lines; a line may come in several chunks.
func (l *statusLog) write(key logStream, data []byte) {
	p, ok := l.open[key]
	if !ok {
		p = &partialLine{}
		l.open[key] = p
		l.order = append(l.order, key)
	}
	for {
		line, rest, found := bytes.Cut(data, []byte("\n"))
		p.add(line)
		if !found {
			return
		}
		l.line(p)
		data = rest
	}
}

// flush emits lines without a final newline, once no more output can come.
func (l *statusLog) flush() {
	for _, key := range l.order {
		if p := l.open[key]; len(p.buf) > 0 {
			l.line(p)
		}
	}
}

func (l *statusLog) line(p *partialLine) {
	text := cleanLine(p.buf)
	if p.extra {
		text += " … (line cut)"
	}
	p.buf, p.extra = p.buf[:0], false
	if len(l.tail) == tailLines {
		l.tail = append(l.tail[:0], l.tail[1:]...)
	}
	l.tail = append(l.tail, text)
	l.lost = l.lost || lossWarning(text) != ""
	l.emit(text)
}

func (p *partialLine) add(b []byte) {
	if room := maxLine - len(p.buf); len(b) > room {
		b, p.extra = b[:room], true
	}
	p.buf = append(p.buf, b...)
}

// cleanLine makes a line of a program's output harmless for a terminal and a log. It drops escape
// sequences (ECMA-48 CSI, OSC and other strings) and control characters, replaces invalid UTF-8
// with U+FFFD, and keeps only the last state of a progress line that rewrites itself with carriage
// returns.
func cleanLine(b []byte) string {
	b = bytes.TrimRight(b, "\r")
	if i := bytes.LastIndexByte(b, '\r'); i >= 0 {
		b = b[i+1:]
	}
	var out strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == 0x1b:
			b = skipEscape(b[1:])
			continue
		case r == 0x9b: // CSI as one C1 character
			b = skipCSI(b[size:])
			continue
		case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f: // DCS, SOS, OSC, PM, APC
			b = skipString(b[size:])
			continue
		case r == utf8.RuneError && size == 1:
			out.WriteRune(utf8.RuneError)
		case r == '\t':
			out.WriteByte('\t')
		case r < 0x20 || r >= 0x7f && r < 0xa0:
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // bidirectional overrides
		default:
			out.WriteRune(r)
		}
		b = b[size:]
	}
	return out.String()
}

// skipEscape skips what follows an ESC.
func skipEscape(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	switch b[0] {
	case '[':
		return skipCSI(b[1:])
	case ']', 'P', 'X', '^', '_':
		return skipString(b[1:])
	}
	for len(b) > 0 && b[0] >= 0x20 && b[0] <= 0x2f { // intermediate bytes, as in ESC ( B
		b = b[1:]
	}
	if len(b) > 0 && b[0] >= 0x30 && b[0] <= 0x7e {
		b = b[1:]
	}
	return b
}

// skipCSI skips parameters, intermediates and the final byte of a control sequence.
func skipCSI(b []byte) []byte {
	for len(b) > 0 && b[0] >= 0x20 && b[0] <= 0x3f {
		b = b[1:]
	}
	if len(b) > 0 && b[0] >= 0x40 && b[0] <= 0x7e {
		b = b[1:]
	}
	return b
}

// skipString skips a control string up to BEL or ST; one that does not end takes the rest of the
// line.
func skipString(b []byte) []byte {
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == 0x07:
			return b[i+1:]
		case b[i] == 0x1b && i+1 < len(b) && b[i+1] == '\\':
			return b[i+2:]
		case b[i] == 0xc2 && i+1 < len(b) && b[i+1] == 0x9c: // ST as a C1 character in UTF-8
			return b[i+2:]
		}
	}
	return nil
}
