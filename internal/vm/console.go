// The guest's serial console, read as clean lines.

package vm

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"buildsys/internal/safetext"
)

// tailLines is how many lines of the console an error shows.
const tailLines = 30

// maxLine is the length, in bytes, at which a line is cut: a guest in trouble may print without
// end.
const maxLine = 16 << 10

// console reads lines, saves the bytes and keeps the last lines.
type console struct {
	save io.Writer // may be nil
	tail []string
}

// read calls line for every line until the reader ends. The last one may lack its newline. It
// returns the first error of saving.
func (c *console) read(r io.Reader, line func(string)) (err error) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		raw, readErr := in.ReadSlice('\n')
		if c.save != nil && err == nil {
			_, err = c.save.Write(raw)
		}
		if text := strings.TrimSpace(safetext.Line(string(raw))); text != "" {
			c.remember(text)
			line(text)
		}
		if readErr != nil && !errors.Is(readErr, bufio.ErrBufferFull) {
			return err // the guest is gone: the error of the pipe says nothing
		}
	}
}

func (c *console) remember(line string) {
	if len(c.tail) == tailLines {
		c.tail = append(c.tail[:0], c.tail[1:]...)
	}
	c.tail = append(c.tail, line)
}
