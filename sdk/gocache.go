//go:build ignore

// gocache is the go command's cache (GOCACHEPROG) inside a step: a directory of the step, and
// behind it the cache that buildsys serves on a socket, which knows what earlier builds compiled.
//
//	gocache SOCKET DIRECTORY
//
// The directory outlives the process, as a spec may run the go command more than once. Whatever is
// wrong with the socket counts as a miss. It is not used with cgo, as keys of the go command hold
// nothing of the headers and libraries that C code is compiled with, nor for results of tests,
// whose keys have the times of files instead of their content.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxValue = 64 << 20         // of what the socket takes
	patience = 10 * time.Second // for one request
	maxFails = 3                // then the socket is not used any more
)

// request and response are those of cmd/go/internal/cacheprog.
type request struct {
	ID       int64
	Command  string
	ActionID []byte
	OutputID []byte
	BodySize int64
}

type response struct {
	ID            int64
	Err           string   `json:",omitempty"`
	KnownCommands []string `json:",omitempty"`
	Miss          bool     `json:",omitempty"`
	OutputID      []byte   `json:",omitempty"`
	Size          int64    `json:",omitempty"`
	DiskPath      string   `json:",omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: gocache SOCKET DIRECTORY")
		os.Exit(2)
	}
	c := &cache{dir: os.Args[2], socket: os.Args[1]}
	if os.Getenv("CGO_ENABLED") != "0" {
		c.fails.Store(maxFails)
	}
	if err := c.serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gocache:", err)
		os.Exit(1)
	}
}

type cache struct {
	dir, socket string
	fails       atomic.Int32
	mu          sync.Mutex
	idle        []net.Conn
}

// serve answers the go command until it says that it needs no more.
func (c *cache) serve(from io.Reader, to io.Writer) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	var mu sync.Mutex
	out := bufio.NewWriter(to)
	answer := func(r response) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(out).Encode(r)
		_ = out.Flush()
	}
	answer(response{KnownCommands: []string{"get", "put", "close"}})
	var running sync.WaitGroup
	defer running.Wait()
	for in := json.NewDecoder(bufio.NewReader(from)); ; {
		var r request
		var body []byte
		if err := in.Decode(&r); err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		if r.Command == "put" && r.BodySize > 0 {
			if err := in.Decode(&body); err != nil {
				return err
			}
		}
		if r.Command == "close" {
			running.Wait()
			answer(response{ID: r.ID})
			return nil
		}
		running.Add(1)
		go func() {
			defer running.Done()
			answer(c.handle(r, body))
		}()
	}
}

func (c *cache) handle(r request, body []byte) response {
	var done response
	var err error
	switch r.Command {
	case "get":
		done, err = c.get(r)
	case "put":
		done, err = c.put(r, body)
	default:
		err = errors.New("unknown command " + r.Command)
	}
	done.ID = r.ID
	if err != nil {
		done.Err = err.Error()
	}
	return done
}

func (c *cache) get(r request) (response, error) {
	id, err := os.ReadFile(c.index(r.ActionID))
	if err == nil {
		if info, err := os.Stat(c.data(id)); err == nil {
			return response{OutputID: id, Size: info.Size(), DiskPath: c.data(id)}, nil
		}
	}
	value := c.ask(r.ActionID)
	if len(value) < sha256.Size {
		return response{Miss: true}, nil
	}
	id, body := value[:sha256.Size], value[sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], id) {
		return response{Miss: true}, nil
	}
	err = c.keep(r.ActionID, id, body)
	return response{OutputID: id, Size: int64(len(body)), DiskPath: c.data(id)}, err
}

func (c *cache) put(r request, body []byte) (response, error) {
	if err := c.keep(r.ActionID, r.OutputID, body); err != nil {
		return response{}, err
	}
	sum := sha256.Sum256(body)
	if bytes.Equal(sum[:], r.OutputID) && !bytes.HasPrefix(body, []byte("# test log\n")) {
		c.tell(r.ActionID, append(sum[:], body...))
	}
	return response{DiskPath: c.data(r.OutputID)}, nil
}

func (c *cache) index(action []byte) string {
	return filepath.Join(c.dir, hex.EncodeToString(action)+"-a")
}

func (c *cache) data(id []byte) string { return filepath.Join(c.dir, hex.EncodeToString(id)+"-d") }

// keep writes an object to the directory.
func (c *cache) keep(action, id, body []byte) error {
	if err := replace(c.data(id), body); err != nil {
		return err
	}
	return replace(c.index(action), id)
}

func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "tmp-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return os.Rename(f.Name(), name)
}

// ask returns the value that the socket has, or nil.
func (c *cache) ask(action []byte) (value []byte) {
	c.talk(func(in *bufio.Reader, conn net.Conn) error {
		if err := send(conn, []byte("GET"), key(action)); err != nil {
			return err
		}
		n, err := length(in, '$')
		if err != nil || n < 0 {
			return err
		}
		value = make([]byte, n+2)
		if _, err := io.ReadFull(in, value); err != nil {
			value = nil
			return err
		}
		value = value[:n]
		return nil
	})
	return value
}

// tell offers a value to the socket.
func (c *cache) tell(action, value []byte) {
	if len(value) > maxValue {
		return
	}
	c.talk(func(in *bufio.Reader, conn net.Conn) error {
		if err := send(conn, []byte("SET"), key(action), value); err != nil {
			return err
		}
		line, err := in.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "+") {
			err = errors.New(line)
		}
		return err
	})
}

// talk does one exchange on a connection, unless too many have failed.
func (c *cache) talk(do func(*bufio.Reader, net.Conn) error) {
	if c.fails.Load() >= maxFails {
		return
	}
	conn, err := c.connect()
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(patience))
		if err = do(bufio.NewReader(conn), conn); err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		c.fails.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, conn)
}

func (c *cache) connect() (net.Conn, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	return net.DialTimeout("unix", c.socket, patience)
}

func key(action []byte) []byte { return []byte("go:" + hex.EncodeToString(action)) }

// send writes a command of the Redis protocol.
func send(to io.Writer, words ...[]byte) error {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n", len(w))
		b = append(append(b, w...), "\r\n"...)
	}
	_, err := to.Write(b)
	return err
}

// length reads the line before a value; -1 means that there is none.
func length(in *bufio.Reader, sign byte) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != sign {
		return 0, errors.New(line)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err == nil && n > maxValue {
		err = errors.New("too long")
	}
	return n, err
}
