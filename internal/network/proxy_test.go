package network

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	for _, c := range []struct{ env, url, want string }{
		{"ALL_PROXY=http://all:1", "https://h.example/", "http://all:1"},
		{"all_proxy=socks5://all:1", "http://h.example/", "socks5://all:1"},
		{"ALL_PROXY=http://all:1 HTTPS_PROXY=http://s:2", "https://h.example/", "http://s:2"},
		{"ALL_PROXY=http://all:1 HTTPS_PROXY=http://s:2", "http://h.example/", "http://all:1"},
		{"ALL_PROXY=http://all:1 NO_PROXY=.example", "https://h.example/", ""},
		{"ALL_PROXY=http://all:1", "http://127.0.0.1/", ""},
		{"", "https://h.example/", ""},
	} {
		env := map[string]string{}
		for _, word := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(word, "=")
			env[name] = value
		}
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := proxyFunc(func(name string) string { return env[name] })(u)
		text := ""
		if got != nil {
			text = got.String()
		}
		if err != nil || text != c.want {
			t.Errorf("%s, %s: %q, %v", c.env, c.url, text, err)
		}
	}
}

// TestUnknownAuthority: the error about a certificate says how its authority is added.
func TestUnknownAuthority(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	client := http.Client{Transport: NewTransport(Anywhere, net.Dialer{}, &http.Transport{})}
	_, err := client.Get(server.URL)
	if err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("got %v", err)
	}
}
