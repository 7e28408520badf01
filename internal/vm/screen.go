// The screen of a terminal, which firmware clears before it has shown anything.

package vm

import (
	"bytes"
	"io"
	"regexp"
	"slices"
)

// firmwareBytes is within what firmware clears the screen, several times.
const firmwareBytes = 4 << 10

var (
	// clearing matches what empties a screen or goes to its beginning.
	clearing = regexp.MustCompile(`\x1b\[(2J|0?1;0?1H|=3h)`)
	// unfinished matches the beginning of one of these at the end of a text.
	unfinished = regexp.MustCompile(`\x1b(\[[0-9;=]{0,5})?$`)
)

// KeepScreen returns a writer to a terminal for what a guest prints, from which the firmware's
// clearing of the screen is left out: what was said before the guest started stays to be read.
func KeepScreen(w io.Writer) io.Writer { return &screen{w: w, left: firmwareBytes} }

type screen struct {
	w    io.Writer
	held []byte // the beginning of a sequence, perhaps
	left int
}

func (s *screen) Write(p []byte) (int, error) {
	data := slices.Concat(s.held, p)
	s.held = nil
	if s.left > 0 {
		s.left -= len(p)
		data = clearing.ReplaceAll(data, nil)
		if at := unfinished.FindIndex(data); at != nil {
			s.held, data = bytes.Clone(data[at[0]:]), data[:at[0]]
		}
	}
	if _, err := s.w.Write(data); err != nil {
		return 0, err
	}
	return len(p), nil
}
