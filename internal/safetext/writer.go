package safetext

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxHeld is how much of a line without an end a Writer holds back. Longer ones are cut there,
// because an endless line must not fill the memory.
const maxHeld = 1 << 20

// Writer passes on whole lines, each made safe by Line. It is safe for concurrent use.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	held []byte // of a line that has no end yet
	err  error  // the first one
}

// NewWriter returns a Writer in front of w. Flush passes on the rest.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, p...)
	end := bytes.LastIndexByte(w.held, '\n')
	if end < 0 && len(w.held) > maxHeld {
		end = len(w.held) - 1
	}
	if end < 0 {
		return len(p), nil
	}
	safe := Lines(string(w.held[:end+1]))
	w.held = append(w.held[:0], w.held[end+1:]...)
	if _, err := io.WriteString(w.w, safe); err != nil {
		if w.err == nil {
			w.err = err
		}
		return 0, err
	}
	return len(p), nil
}

// Flush passes on a last line without an end. It returns the first error of all writes.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := io.WriteString(w.w, Line(string(w.held))); w.err == nil {
		w.err = err
	}
	w.held = nil
	return w.err
}

// JSON returns a JSON document with the same meaning, but for the logins of URLs, that is safe to
// show: what would be dangerous in its texts is escaped.
func JSON(document []byte) []byte {
	document = []byte(WithoutLogins(string(document)))
	if plainJSON(document) {
		return document
	}
	var out bytes.Buffer
	for i := 0; i < len(document); {
		r, size := utf8.DecodeRune(document[i:])
		switch {
		case r == '#' && i > 0 && document[i-1] == '#':
			out.WriteString(`\u0023`) // "#" is in texts only
		case r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)):
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.Write(document[i : i+size])
		}
		i += size
	}
	return out.Bytes()
}

// plainJSON reports whether a document is one that JSON returns as it is, as most are.
func plainJSON(document []byte) bool {
	for i, c := range document {
		if c >= 0x7f || c == '#' && i > 0 && document[i-1] == c {
			return false
		}
	}
	return true
}
