// screen: rows at the end of what a terminal shows, below lines that scroll.

package live

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Device is a terminal.
type Device struct {
	Out io.Writer
	// Size returns its columns and rows; 0 if they are not known.
	Size func() (columns, rows int)
	// Ours reports whether the terminal is this process's now: a shell has it while the
	// process is in the background. Nil means always.
	Ours func() bool
	// Rewraps says that a terminal that becomes narrower shows a long row on several of its
	// own, and does not cut it off.
	Rewraps bool
	// Echo says whether the terminal shows what is typed. Nil if it is none.
	Echo func(on bool)
}

func (d Device) ours() bool { return d.Ours == nil || d.Ours() }

// maxPending is how many bytes of lines wait for the next frame.
const maxPending = 64 << 10

// Screen shows rows below the lines that are written to it. Without rows it passes lines on. It is
// safe for concurrent use. What is written must be safe for a terminal, in whole lines.
type Screen struct {
	device Device

	mu      sync.Mutex
	on      bool
	widths  []int // of the rows that are drawn
	rows    []string
	pending bytes.Buffer // lines for the next frame
	err     error
}

// NewScreen returns a Screen without rows.
func NewScreen(d Device) *Screen { return &Screen{device: d} }

// Write implements io.Writer. Of lines that many wait for the next frame, as drawing the rows anew
// for each would take longer than a step takes to print them.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return s.device.Out.Write(p)
	}
	s.pending.Write(p)
	if s.pending.Len() > maxPending {
		s.draw(s.rows)
	}
	return len(p), s.err
}

// Beside returns a writer to the same terminal by another way, such as standard output.
func (s *Screen) Beside(w io.Writer) io.Writer { return beside{s, w} }

type beside struct {
	s *Screen
	w io.Writer
}

func (b beside) Write(p []byte) (int, error) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.s.on {
		b.s.erase()
	}
	return b.w.Write(p)
}

// Show draws rows in the place of those before.
func (s *Screen) Show(rows []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = true
	s.draw(rows)
}

// Clear removes the rows.
func (s *Screen) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on {
		s.erase()
	}
	s.on = false
}

const (
	hideCursor, showCursor = "\x1b[?25l", "\x1b[?25h"
	beginFrame, endFrame   = "\x1b[?2026h", "\x1b[?2026l"
	clearRest, clearBelow  = "\x1b[K", "\x1b[J"
)

// draw writes one frame: the lines that wait, and the rows below them.
func (s *Screen) draw(rows []string) {
	if !s.device.ours() { // the rows would come between what the shell prints
		s.erase()
		s.rows = rows
		return
	}
	if s.pending.Len() == 0 && len(s.widths) > 0 && equal(rows, s.rows) {
		return
	}
	var b strings.Builder
	b.WriteString(beginFrame + hideCursor + s.top())
	if s.pending.Len() > 0 {
		b.WriteString(clearBelow + crlf(s.pending.String()))
		s.pending.Reset()
	}
	s.widths = s.widths[:0]
	for i, row := range rows {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(row + clearRest)
		s.widths = append(s.widths, wide.String(row))
	}
	b.WriteString(clearBelow + endFrame)
	s.rows = rows
	s.write(b.String())
}

// erase removes the rows, and writes the lines that wait.
func (s *Screen) erase() {
	text := ""
	if len(s.widths) > 0 {
		text = s.top() + clearBelow + showCursor
	}
	text += crlf(s.pending.String())
	s.pending.Reset()
	s.widths, s.rows = nil, nil
	if text != "" {
		s.write(text)
	}
}

// top returns what moves the cursor to the first column of the first row.
func (s *Screen) top() string {
	columns, rows := s.device.Size()
	up := 0
	for i, width := range s.widths {
		if i > 0 {
			up++
		}
		if s.device.Rewraps && columns > 0 && width > columns {
			up += (width - 1) / columns
		}
	}
	if up = min(up, max(rows-1, 0)); up == 0 {
		return "\r"
	}
	return "\r\x1b[" + strconv.Itoa(up) + "A"
}

func (s *Screen) write(text string) {
	if _, err := io.WriteString(s.device.Out, text); err != nil && s.err == nil {
		s.err = err
	}
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func equal(a, b []string) bool {
	return strings.Join(a, "\n") == strings.Join(b, "\n")
}
