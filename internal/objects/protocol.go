// Protocol: as much of that of Redis as ccache and the go command's helper speak. Every byte comes
// from a step.

package objects

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Prefixes of keys, by who makes them. The digits of a hash follow.
const (
	ccachePrefix = "ccache:"
	goPrefix     = "go:"
)

const (
	maxLine = 32  // bytes of a line, which has a sign and a number
	maxWord = 128 // bytes of the name of a command, or of a key
	maxArgs = 3
)

// errProtocol ends a connection.
var errProtocol = errors.New("not understood")

// command is what a client asks for. The value of a SET is still to be read.
type command struct {
	name string // upper case
	key  string
	size int64 // of the value; -1 if there is none
}

// readCommand reads a command. The error is io.EOF if there is none.
func readCommand(r *bufio.Reader) (c command, err error) {
	if _, err := r.Peek(1); err != nil {
		return c, io.EOF
	}
	n, err := readNumber(r, '*', maxArgs)
	if err != nil || n < 1 {
		return c, errProtocol
	}
	c.size = -1
	name, err := readWord(r)
	c.name = strings.ToUpper(name)
	if err == nil && n > 1 {
		if c.key, err = readWord(r); err == nil && !validKey(c.key) {
			err = errProtocol
		}
	}
	if err == nil && n > 2 {
		c.size, err = readNumber(r, '$', MaxValue)
	}
	if err != nil {
		return c, err
	}
	args, known := map[string]int64{"PING": 1, "EXISTS": 2, "GET": 2, "DEL": 2, "SET": 3}[c.name]
	if !known || args != n {
		return c, errProtocol
	}
	return c, nil
}

// readNumber reads a line that is a sign and a number of at most limit.
func readNumber(r *bufio.Reader, sign byte, limit int64) (int64, error) {
	var line []byte
	for len(line) < maxLine {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		line = append(line, b)
		if b == '\n' {
			break
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok || text == "" || text[0] != sign || strings.Trim(text[1:], "0123456789") != "" {
		return 0, errProtocol
	}
	n, err := strconv.ParseInt(text[1:], 10, 64)
	if err != nil || n > limit {
		return 0, errProtocol
	}
	return n, nil
}

// readWord reads a short value.
func readWord(r *bufio.Reader) (string, error) {
	n, err := readNumber(r, '$', maxWord)
	if err != nil {
		return "", err
	}
	word := make([]byte, n+2)
	if _, err := io.ReadFull(r, word); err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(word), "\r\n")
	if !ok {
		return "", errProtocol
	}
	return text, nil
}

// validKey reports whether a key has the form of one of ccache or the go command.
func validKey(key string) bool {
	digits, ok := strings.CutPrefix(key, ccachePrefix)
	if !ok {
		digits, ok = strings.CutPrefix(key, goPrefix)
	}
	// ccache has digits to the base 32, or 16 before 4.7 and after 4.11.
	return ok && len(digits) >= 32 && len(digits) <= 64 &&
		strings.Trim(digits, "0123456789abcdefghijklmnopqrstuv") == ""
}

// Serve answers a client until it ends, breaks a rule, or the step is closed. It closes conn.
func (s *Step) Serve(conn io.ReadWriteCloser) {
	defer conn.Close()
	select {
	case s.slots <- struct{}{}:
	default:
		s.count(func(t *Stats) { t.Refused++ })
		return
	}
	defer func() { <-s.slots }()
	if !s.enter(conn) {
		return
	}
	defer s.leave(conn)
	c := client{s, bufio.NewReaderSize(conn, 4<<10), bufio.NewWriterSize(conn, 32<<10)}
	for {
		if err := c.one(); err != nil {
			if errors.Is(err, errProtocol) {
				s.count(func(t *Stats) { t.Refused++ })
				_, _ = io.WriteString(conn, "-ERR "+err.Error()+"\r\n")
			}
			return
		}
	}
}

func (s *Step) enter(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[c]++
	}
	return !s.closed
}

func (s *Step) leave(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// client is one connection.
type client struct {
	s *Step
	r *bufio.Reader
	w *bufio.Writer
}

// one answers one command.
func (c client) one() error {
	cmd, err := readCommand(c.r)
	if err != nil {
		return err
	}
	if c.s.asked.Add(1) > maxAsked {
		return errProtocol
	}
	switch cmd.name {
	case "PING":
		_, err = c.w.WriteString("+PONG\r\n")
	case "EXISTS":
		known := 0
		if e := c.s.have(cmd.key); e {
			known = 1
		}
		_, err = fmt.Fprintf(c.w, ":%d\r\n", known)
	case "DEL": // ccache does it with what it cannot read
		_, err = fmt.Fprintf(c.w, ":%d\r\n", c.s.remove(cmd.key))
	case "GET":
		err = c.get(cmd.key)
	case "SET":
		err = c.set(cmd)
	}
	if err != nil {
		return err
	}
	return c.w.Flush()
}

func (c client) get(key string) error {
	e := c.s.find(key)
	if e == nil {
		c.s.count(func(t *Stats) { t.Asked++ })
		_, err := c.w.WriteString("$-1\r\n")
		return err
	}
	defer e.Close()
	c.s.count(func(t *Stats) { t.Asked++; t.Known++; t.Served += e.size })
	if _, err := fmt.Fprintf(c.w, "$%d\r\n", e.size); err != nil {
		return err
	}
	if n, err := io.Copy(c.w, e); err != nil || n != e.size {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	_, err := c.w.WriteString("\r\n")
	return err
}

func (c client) set(cmd command) error {
	if err := c.s.keep(cmd.key, &io.LimitedReader{R: c.r, N: cmd.size}); err != nil {
		return err
	}
	end := make([]byte, 2)
	if _, err := io.ReadFull(c.r, end); err != nil {
		return err
	}
	if string(end) != "\r\n" {
		return errProtocol
	}
	_, err := c.w.WriteString("+OK\r\n")
	return err
}
