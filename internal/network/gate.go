// gate: a proxy on this machine for another program, which connects only to what is within reach.

package network

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"syscall"
	"time"

	"buildsys/internal/bytesize"
)

// Gate is such a proxy, for one transfer of one program. Whoever does not know its URL cannot use
// it.
type Gate struct {
	host   string // of the transfer; what it redirects to is reached only as NoMetadata allows
	reach  Reach
	floor  Floor // while a connection is open
	max    int64 // bytes that servers may send
	server http.Server
	url    string
	secret string
	ctx    context.Context
	stop   context.CancelCauseFunc

	mu    sync.Mutex
	got   int64
	meter *Meter
	open  int // connections
}

// dialTime is how long a connection may take to come about.
const dialTime = 30 * time.Second

// OpenGate opens a gate for a transfer from a URL. It has to be closed.
func OpenGate(ctx context.Context, from string, reach Reach, floor Floor, max int64) (*Gate,
	error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &Gate{host: u.Hostname(), reach: reach, floor: floor, max: max, secret: rand.Text()}
	g.url = "http://" + gateUser + ":" + g.secret + "@" + l.Addr().String()
	g.ctx, g.stop = context.WithCancelCause(ctx)
	g.server = http.Server{Handler: g, ReadHeaderTimeout: dialTime,
		BaseContext: func(net.Listener) context.Context { return g.ctx }}
	go func() { _ = g.server.Serve(l) }()
	return g, nil
}

const gateUser = "buildsys"

// Context ends when something was refused, too slow or too much; its cause says what.
func (g *Gate) Context() context.Context { return g.ctx }

// URL is what the program needs to know.
func (g *Gate) URL() string { return g.url }

// Close ends all connections.
func (g *Gate) Close() {
	_ = g.server.Close()
	g.fail(errGateClosed)
}

var errGateClosed = errors.New("the transfer is over")

// fail ends the transfer, for the first reason that is given.
func (g *Gate) fail(err error) {
	g.stop(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.meter != nil {
		g.meter.Stop()
		g.meter = nil
	}
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(gateUser+":"+g.secret))
	switch {
	case r.Header.Get("Proxy-Authorization") != want:
		w.Header().Set("Proxy-Authenticate", "Basic realm=buildsys")
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		g.tunnel(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		g.forward(w, r)
	default:
		w.WriteHeader(http.StatusBadRequest)
	}
}

// dial connects to a server if it is within reach.
func (g *Gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	reach := g.reach
	if host, _, err := net.SplitHostPort(address); err != nil || host != g.host {
		reach = max(reach, NoMetadata)
	}
	d := net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		return reach.checkAddress(address)
	}}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		if refused := new(AddressError); errors.As(err, &refused) {
			err = refused
		}
		g.fail(err)
		return nil, err
	}
	counted := &gateConn{Conn: c, g: g}
	if err := g.opened(); err != nil {
		_ = counted.Close()
		return nil, err
	}
	return counted, nil
}

// opened begins to watch the rate with the first open connection.
func (g *Gate) opened() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open++; g.meter == nil && g.ctx.Err() == nil {
		g.meter = g.floor.Watch(func(slow error) { g.fail(slow) })
	}
	return context.Cause(g.ctx)
}

// closed ends the watching with the last one: the program works with what it has.
func (g *Gate) closed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open--; g.open == 0 && g.meter != nil {
		g.meter.Stop()
		g.meter = nil
	}
}

// count counts what a server sends.
func (g *Gate) count(n int) {
	g.mu.Lock()
	g.got += int64(n)
	much, meter := g.got > g.max, g.meter
	g.mu.Unlock()
	if meter != nil {
		meter.Add(n)
	}
	if much {
		g.fail(fmt.Errorf("more than %s", bytesize.Format(g.max)))
	}
}

// gateConn counts what is read.
type gateConn struct {
	net.Conn
	g    *Gate
	once sync.Once
}

func (c *gateConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.g.count(n)
	return n, err
}

func (c *gateConn) Close() error {
	c.once.Do(c.g.closed)
	return c.Conn.Close()
}

// tunnel connects the program with a server and passes on what both say.
func (g *Gate) tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := g.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.fail(err)
		return
	}
	defer here.Close()
	stop := context.AfterFunc(r.Context(), func() { _, _ = here.Close(), there.Close() })
	defer stop()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connected\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(there, buffered)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}

// forward makes a request without TLS.
func (g *Gate) forward(w http.ResponseWriter, r *http.Request) {
	t := &http.Transport{DialContext: g.dial, DisableKeepAlives: true, DisableCompression: true}
	defer t.CloseIdleConnections()
	(&httputil.ReverseProxy{Transport: t, FlushInterval: -1, ErrorLog: silent,
		Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
}

// ProxyFor returns the proxy of the environment for a URL, nil if there is none, and an
// *AddressError if its host alone says that it is out of reach: behind a proxy nobody here can know
// its address.
func ProxyFor(to string, reach Reach) (*url.URL, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	proxy, err := environment()(u)
	if proxy != nil && err == nil {
		err = reach.checkName(u.Hostname())
	}
	return proxy, err
}

// silent drops what the library would log: the error reaches the caller.
var silent = log.New(io.Discard, "", 0)
