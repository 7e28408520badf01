// The guest's serial console, read as clean lines.

package vm

import (
	"bufio"
	"bytes"
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

// Lines returns a writer for a console that calls line with each line of it, clean.
func Lines(line func(string)) io.Writer { return &lines{line: line} }

type lines struct {
	line func(string)
	held []byte // the beginning of a line
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part := p[:min(len(p), maxLine-len(l.held))]
		whole := end >= 0 && end < len(part)
		if whole {
			part = p[:end+1]
		}
		l.held = append(l.held, part...)
		p = p[len(part):]
		if !whole && len(l.held) < maxLine {
			continue
		}
		if text := strings.TrimSpace(safetext.Line(string(l.held))); text != "" {
			l.line(text)
		}
		l.held = l.held[:0]
	}
	return n, nil
}

func (c *console) remember(line string) {
	if len(c.tail) == tailLines {
		c.tail = append(c.tail[:0], c.tail[1:]...)
	}
	c.tail = append(c.tail, line)
}
