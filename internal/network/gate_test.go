package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// through makes a request through a gate, and returns the answer or the cause of its end.
func through(t *testing.T, g *Gate, to string, trust *http.Transport) (string, error) {
	t.Helper()
	proxy, err := url.Parse(g.URL())
	if err != nil {
		t.Fatal(err)
	}
	trust = trust.Clone()
	trust.Proxy = http.ProxyURL(proxy)
	defer trust.CloseIdleConnections()
	resp, err := (&http.Client{Transport: trust}).Get(to)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errors.New(resp.Status)
		}
	}
	if cause := context.Cause(g.Context()); cause != nil {
		err = cause
	}
	return string(body), err
}

func TestGate(t *testing.T) {
	answer := strings.Repeat("x", 1000)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "" {
			t.Error("the server learns the secret of the gate")
		}
		_, _ = io.WriteString(w, answer)
	})
	plain, secure := httptest.NewServer(h), httptest.NewUnstartedServer(h)
	secure.Config.ErrorLog = silent
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	trust := secure.Client().Transport.(*http.Transport)
	port := secure.URL[strings.LastIndexByte(secure.URL, ':'):]
	for name, c := range map[string]struct {
		from, to string
		reach    Reach
		max      int64
		want     string // of the error
	}{
		"plain":             {plain.URL, plain.URL, Anywhere, 1 << 20, ""},
		"over TLS":          {secure.URL, secure.URL, NoMetadata, 1 << 20, ""},
		"elsewhere":         {plain.URL, secure.URL, Anywhere, 1 << 20, ""},
		"plain, not public": {plain.URL, plain.URL, PublicOnly, 1 << 20, "it is not a public address"},
		"not public": {secure.URL, secure.URL, PublicOnly, 1 << 20,
			"it is not a public address"},
		"by name": {secure.URL, "https://localhost" + port, PublicOnly,
			1 << 20, "not a public address"},
		"elsewhere, metadata": {plain.URL, "http://169.254.169.254/", Anywhere, 1 << 20,
			"metadata service"},
		"plain, too much": {plain.URL, plain.URL, Anywhere, 900, "more than 900 bytes"},
		"too much":        {secure.URL, secure.URL, Anywhere, 900, "more than 900 bytes"},
	} {
		g, err := OpenGate(t.Context(), c.from, c.reach, DefaultFloor, c.max)
		if err != nil {
			t.Fatal(err)
		}
		body, err := through(t, g, c.to, trust)
		if c.want == "" && (err != nil || body != answer) || c.want != "" && (err == nil ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d bytes, %v, want %q", name, len(body), err, c.want)
		}
		g.Close()
		if g.Context().Err() == nil {
			t.Errorf("%s: the context goes on", name)
		}
	}
}

// TestGateIsForOne: other programs of this machine do not use it.
func TestGateIsForOne(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	g, err := OpenGate(t.Context(), server.URL, Anywhere, DefaultFloor, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	u, _ := url.Parse(g.URL())
	for _, user := range []*url.Userinfo{nil, url.UserPassword(gateUser, "x")} {
		proxy := &url.URL{Scheme: "http", User: user, Host: u.Host}
		client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
		resp, err := client.Get(server.URL)
		if err != nil || resp.StatusCode != http.StatusProxyAuthRequired {
			t.Errorf("%v: %v, %v", user, resp, err)
		}
		client.CloseIdleConnections()
	}
}

// TestGateEndsWhatIsSlow has a server that answers nothing.
func TestGateEndsWhatIsSlow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := "https://" + l.Addr().String()
	g, err := OpenGate(t.Context(), to, Anywhere, Floor{Bytes: 1, Window: time.Millisecond}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := through(t, g, to, &http.Transport{}); !errors.As(err, new(*SlowError)) {
		t.Errorf("error %v", err)
	}
}

// TestProxyFor: what a proxy is asked for is judged by its spelling.
func TestProxyFor(t *testing.T) {
	usual := environment
	defer func() { environment = usual }()
	environment = func() func(*url.URL) (*url.URL, error) {
		return proxyFunc(func(name string) string {
			return map[string]string{"HTTPS_PROXY": "http://proxy.example.com",
				"NO_PROXY": "direct.example.com"}[name]
		})
	}
	for to, want := range map[string]string{
		"https://git.example.com/r":    "http://proxy.example.com <nil>",
		"https://direct.example.com/r": "<nil>",
		"https://10.1.2.3/r":           "refused",
		"https://git.internal/r":       "refused",
	} {
		proxy, err := ProxyFor(to, PublicOnly)
		got := "<nil>"
		switch {
		case err != nil:
			got = err.Error()
		case proxy != nil:
			got = proxy.String() + " <nil>"
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
}
